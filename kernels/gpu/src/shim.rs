//! A device for tests: the `.cu` files compiled as C++ with the sanitizers (`kernels/cuda/shim`), each stream a process of its own.
//!
//! What is out of bounds, undefined, or waits at a barrier that others pass ends the process with a message; the stream is then lost.

mod stand_in;

pub use stand_in::{Otherwise, StandIn};

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::{
    Accelerator, Argument, Description, GpuError, Launch, Place, Product, StoredFile, Stream,
    products::{Factor, Turned},
};

/// In which order the threads and blocks of a kernel run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// From the first to the last.
    Forward,
    /// From the last to the first.
    Reverse,
    /// Shuffled, anew at every barrier, from a seed.
    Random(u64),
}

/// The device.
#[derive(Debug, Clone)]
pub struct Shim {
    program: PathBuf,
    order: Order,
    memory: u64,
    description: Description,
}

struct Process {
    child: Child,
    orders: Option<ChildStdin>,
    answers: ChildStdout,
    name: String,
}

/// The folder of the `.cu` files.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../cuda")
}

/// Compiles `source` of the folder `shim` with `flags` to `target`. `CXX` names another compiler than `g++`.
///
/// # Errors
/// There is no compiler, or what it says.
pub fn compile(source: &str, flags: &[&str], target: &Path) -> io::Result<()> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "g++".into());
    let fresh = target.with_extension(format!("{}.new", std::process::id()));
    // f32 arithmetic as a GPU has it: no product is contracted with a sum
    let common = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-ffp-contract=off"];
    let output = Command::new(&compiler)
        .args(common)
        .args(flags)
        .arg(sources().join("shim").join(source))
        .arg("-o")
        .arg(&fresh)
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", compiler.display())))?;
    if !output.status.success() {
        return Err(io::Error::other(format!("{source}: {}", String::from_utf8_lossy(&output.stderr))));
    }
    fs::rename(fresh, target)
}

/// Compiles a `libcuda.so.1` without a GPU into `folder`, for programs started with this `LD_LIBRARY_PATH`; `driver.cpp` says which
/// variables make it another GPU, or none.
///
/// # Errors
/// As [`compile`].
pub fn build_driver(folder: &Path) -> io::Result<()> {
    compile("driver.cpp", &["-O1", "-shared", "-fPIC", "-fvisibility=hidden"], &folder.join("libcuda.so.1"))
}

/// Compiles a `libnccl.so.2` between processes of this machine into `folder`, beside that driver.
///
/// # Errors
/// As [`compile`].
pub fn build_nccl(folder: &Path) -> io::Result<()> {
    compile("nccl.cpp", &["-O1", "-shared", "-fPIC", "-pthread"], &folder.join("libnccl.so.2"))
}

/// Compiles a `libcufile.so.0` that reads into that driver's memory into `folder`, beside it.
///
/// # Errors
/// As [`compile`].
pub fn build_cufile(folder: &Path) -> io::Result<()> {
    compile("cufile.cpp", &["-O1", "-shared", "-fPIC"], &folder.join("libcufile.so.0"))
}

/// Compiles a `libcublas.so.13` on a processor into `folder`, beside that driver.
///
/// # Errors
/// As [`compile`].
pub fn build_blas(folder: &Path) -> io::Result<()> {
    compile("cublas.cpp", &["-O2", "-shared", "-fPIC"], &folder.join("libcublas.so.13"))
}

impl Shim {
    /// Compiles the device into `folder`.
    ///
    /// # Errors
    /// As [`compile`].
    pub fn build(folder: &Path) -> io::Result<Self> {
        let program = folder.join("braid-shim");
        let flags = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
        compile("server.cpp", &flags, &program)?;
        let description = Description { name: "the shim".into(), memory: 1 << 30, processors: 1 };
        Ok(Self { program, order: Order::Forward, memory: 1 << 30, description })
    }

    /// The same, with kernels that run in another order.
    pub fn in_order(self, order: Order) -> Self {
        Self { order, ..self }
    }

    /// The same, with so many bytes for each stream.
    pub fn with_memory(self, memory: u64) -> Self {
        Self { memory, description: Description { memory, ..self.description }, ..self }
    }
}

impl Accelerator for Shim {
    fn description(&self) -> &Description {
        &self.description
    }

    fn stream(&self) -> Result<Box<dyn Stream>, GpuError> {
        let (order, seed) = match self.order {
            Order::Forward => ("forward", 0),
            Order::Reverse => ("reverse", 0),
            Order::Random(seed) => ("random", seed),
        };
        let name = self.description.name.clone();
        let lost = |problem: String| GpuError::Lost { device: name.clone(), problem };
        let mut child = Command::new(&self.program)
            .args([order, &seed.to_string(), &self.memory.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| lost(error.to_string()))?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(lost("it has no pipes".into()));
        };
        Ok(Box::new(Process { child, orders: Some(orders), answers, name }))
    }
}

impl Process {
    /// Sends an order and takes its status.
    fn order(&mut self, parts: &[&[u8]]) -> Result<u8, GpuError> {
        let sent = match &mut self.orders {
            Some(orders) => parts.iter().try_for_each(|part| orders.write_all(part)).and_then(|()| orders.flush()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        let mut status = [0];
        sent.and_then(|()| self.answers.read_exact(&mut status)).map_err(|error| self.lost(&error))?;
        Ok(status[0])
    }

    fn done(&mut self, parts: &[&[u8]]) -> Result<(), GpuError> {
        match self.order(parts)? {
            0 => Ok(()),
            status => Err(GpuError::Lost { device: self.name.clone(), problem: format!("it answered {status}") }),
        }
    }

    fn lost(&mut self, error: &io::Error) -> GpuError {
        let problem = match self.child.try_wait() {
            Ok(Some(status)) => format!("its process has ended, {status}"),
            _ => error.to_string(),
        };
        GpuError::Lost { device: self.name.clone(), problem }
    }
}

impl Stream for Process {
    fn allocate(&mut self, bytes: usize) -> Result<Place, GpuError> {
        if self.order(&[b"a", &(bytes as u64).to_le_bytes()])? != 0 {
            return Err(GpuError::OutOfMemory { device: self.name.clone(), bytes });
        }
        let mut address = [0; 8];
        self.answers.read_exact(&mut address).map_err(|error| self.lost(&error))?;
        Ok(Place { address: u64::from_le_bytes(address), bytes })
    }

    fn release(&mut self, place: Place) {
        // A process that has ended holds nothing.
        self.done(&[b"f", &place.address.to_le_bytes()]).unwrap_or_default();
    }

    fn upload(&mut self, bytes: &[u8], to: Place) -> Result<(), GpuError> {
        self.done(&[b"w", &to.address.to_le_bytes(), &(bytes.len() as u64).to_le_bytes(), bytes])
    }

    fn fill(&mut self, byte: u8, place: Place) -> Result<(), GpuError> {
        self.done(&[b"s", &place.address.to_le_bytes(), &(place.bytes as u64).to_le_bytes(), &[byte]])
    }

    fn copy(&mut self, from: Place, to: Place) -> Result<(), GpuError> {
        let bytes = from.bytes.min(to.bytes) as u64;
        self.done(&[b"c", &from.address.to_le_bytes(), &to.address.to_le_bytes(), &bytes.to_le_bytes()])
    }

    fn launch(&mut self, launch: &Launch<'_>) -> Result<(), GpuError> {
        let text = |bytes: &[u8]| [&(bytes.len() as u32).to_le_bytes(), bytes].concat();
        let arguments = launch.arguments.iter().map(Argument::bytes).map(|bytes| text(&bytes)).collect::<Vec<_>>().concat();
        let numbers = [launch.grid.0, launch.grid.1, launch.block, launch.arguments.len() as u32].map(u32::to_le_bytes);
        self.done(&[b"k", &text(launch.kernel.name().as_bytes()), numbers.as_flattened(), &arguments])
    }

    fn multiply(&mut self, product: &Product) -> Result<(), GpuError> {
        let Turned { size, alpha, beta, a, b, c } = Turned::of(product)?;
        let sizes = size.map(|size| (size as u64).to_le_bytes());
        let factor = |of: Factor| {
            let Factor { address, number, transposed, column, matrix } = of;
            let words = [number, u32::from(transposed)].map(u32::to_le_bytes);
            [&address.to_le_bytes()[..], words.as_flattened(), &i64::from(column).to_le_bytes(), &matrix.to_le_bytes()].concat()
        };
        let factors = [a, b, c].map(factor).concat();
        self.done(&[b"m", sizes.as_flattened(), &alpha.to_le_bytes(), &beta.to_le_bytes(), &factors])
    }

    fn read(&mut self, file: &StoredFile, offset: u64, to: Place) -> Result<(), GpuError> {
        let mut bytes = vec![0; to.bytes];
        file.plain().read_exact_at(&mut bytes, offset).map_err(|error| file.fail(error.to_string()))?;
        self.upload(&bytes, to)
    }

    fn download(&mut self, from: Place, bytes: &mut [u8]) -> Result<(), GpuError> {
        self.done(&[b"r", &from.address.to_le_bytes(), &(bytes.len() as u64).to_le_bytes()])?;
        self.answers.read_exact(bytes).map_err(|error| self.lost(&error))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The end of its orders is the end of the process; the sanitizers may have more to say then.
        drop(self.orders.take());
        self.child.wait().map(drop).unwrap_or_default();
    }
}
