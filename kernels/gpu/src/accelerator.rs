//! What a device is to those who launch kernels: streams of copies and launches, each in order. Not which device, nor whose.

use braid_kernels::Dtype;

use crate::{GpuError, Kernel, StoredFile};

/// A device.
pub trait Accelerator: Send + Sync {
    /// What it is.
    fn description(&self) -> &Description;

    /// A further stream, independent of the others.
    ///
    /// # Errors
    /// The device is lost, or has no memory for one.
    fn stream(&self) -> Result<Box<dyn Stream>, GpuError>;
}

/// What a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its name and number, as messages have it: `GPU 0 (NVIDIA H100 80GB HBM3)`.
    pub name: String,
    /// Bytes of its memory.
    pub memory: u64,
    /// How many blocks it can work on at a time is a small multiple of this.
    pub processors: u32,
}

/// Memory of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// As kernels see it; a multiple of 256.
    pub address: u64,
    /// How much.
    pub bytes: usize,
}

/// What is done on a device, one thing after the other. Only [`Stream::download`] waits until it is done.
pub trait Stream: Send {
    /// Memory that holds anything.
    ///
    /// # Errors
    /// [`GpuError::OutOfMemory`], after which the stream can still be used; the device is lost.
    fn allocate(&mut self, bytes: usize) -> Result<Place, GpuError>;

    /// Gives memory back, once all that was asked for before is done.
    fn release(&mut self, place: Place);

    /// Copies `bytes` to the start of `to`, which holds at least as many. They may change as soon as this returns.
    ///
    /// # Errors
    /// The device is lost.
    fn upload(&mut self, bytes: &[u8], to: Place) -> Result<(), GpuError>;

    /// Sets every byte.
    ///
    /// # Errors
    /// The device is lost.
    fn fill(&mut self, byte: u8, place: Place) -> Result<(), GpuError>;

    /// Copies the start of `from` to the start of `to`, as much as both hold.
    ///
    /// # Errors
    /// The device is lost.
    fn copy(&mut self, from: Place, to: Place) -> Result<(), GpuError>;

    /// Runs a kernel.
    ///
    /// # Errors
    /// The device is lost, or has no such kernel.
    fn launch(&mut self, launch: &Launch<'_>) -> Result<(), GpuError>;

    /// Multiplies matrices.
    ///
    /// # Errors
    /// There is no library for it, or it has failed; the device is lost.
    fn multiply(&mut self, _: &Product) -> Result<(), GpuError> {
        Err(GpuError::Unsupported { operation: "products", what: "matrix products on this device".into() })
    }

    /// Fills `to` with what is at byte `offset` of a file, which the device reads by itself. Waits until it is there.
    ///
    /// # Errors
    /// [`GpuError::Storage`]; the file is then not asked for again. The device is lost.
    fn read(&mut self, file: &StoredFile, _offset: u64, _to: Place) -> Result<(), GpuError> {
        Err(file.fail("this device reads no files".into()))
    }

    /// Waits until all that was asked for is done, and copies from the start of `from`.
    ///
    /// # Errors
    /// The device is lost, or something asked for earlier has failed.
    fn download(&mut self, from: Place, bytes: &mut [u8]) -> Result<(), GpuError>;
}

/// A kernel on a grid of blocks.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// Which one.
    pub kernel: Kernel,
    /// Blocks in x and y; neither is zero.
    pub grid: (u32, u32),
    /// Threads of a block.
    pub block: u32,
    /// What it takes, in its order.
    pub arguments: &'a [Argument],
}

/// C = α A B + β C of some matrices in float32, whose rows lie one after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Product {
    /// Rows and columns of C.
    pub size: (usize, usize),
    /// Columns of A and rows of B.
    pub inner: usize,
    /// How many there are of each.
    pub count: usize,
    /// α.
    pub scale: f32,
    /// A, rows × inner.
    pub a: Matrices,
    /// B, inner × columns. Of A's type.
    pub b: Matrices,
    /// What is there of C is added to; if not, it may hold anything.
    pub add: bool,
    /// C: float32, not transposed.
    pub c: Matrices,
}

/// Matrices on the device, equally far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matrices {
    /// The first element.
    pub address: u64,
    /// Type of the elements: float32, float16 or bfloat16.
    pub dtype: Dtype,
    /// Whether columns and not rows lie one after the other.
    pub transposed: bool,
    /// Elements from one row, or column, to the next.
    pub stride: usize,
    /// Elements from one matrix to the next.
    pub step: usize,
}

/// An argument of a kernel.
#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    /// A pointer; 0 for none.
    Address(u64),
    /// An unsigned number of 32 bits.
    U32(u32),
    /// One of 64.
    U64(u64),
    /// A float of 32 bits.
    F32(f32),
    /// One of 64.
    F64(f64),
    /// A struct, as it lies in memory.
    Struct(Vec<u8>),
}

impl Argument {
    /// The bytes that the kernel sees.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Address(value) | Self::U64(value) => value.to_le_bytes().to_vec(),
            Self::U32(value) => value.to_le_bytes().to_vec(),
            Self::F32(value) => value.to_le_bytes().to_vec(),
            Self::F64(value) => value.to_le_bytes().to_vec(),
            Self::Struct(bytes) => bytes.clone(),
        }
    }
}

impl From<Place> for Argument {
    fn from(place: Place) -> Self {
        Self::Address(place.address)
    }
}
