//! How fast kernels are on a device, beside its own copies and a library's matrix product in the same run.
//!
//! Everything lies on the device before the clock starts. A kernel is launched again and again, and the stream waited for once; the best
//! of some rounds counts. Bytes are those that a kernel must read and write at least; operations are those of the formulas that it goes
//! by, a product and a sum as two.

mod attention;
mod merging;
mod products;

use std::time::{Duration, Instant};

use braid_gpu::{Accelerator, Argument, GpuError, Kernel, Launch, Place, Stream};

/// What was measured.
#[derive(Debug, Clone)]
pub struct Measured {
    /// What of.
    pub name: &'static str,
    /// Time of one launch.
    pub time: Duration,
    /// Bytes that it moves at least; 0 where operations alone count.
    pub bytes: u64,
    /// Operations on numbers; 0 where bytes alone count.
    pub operations: u64,
}

impl Measured {
    /// Bytes per second, in billions.
    pub fn rate(&self) -> f64 {
        self.bytes as f64 / self.time.as_secs_f64() / 1e9
    }

    /// Operations per second, in trillions.
    pub fn speed(&self) -> f64 {
        self.operations as f64 / self.time.as_secs_f64() / 1e12
    }
}

/// All that was measured in one run.
#[derive(Debug, Clone)]
pub struct Report {
    /// A copy inside the device.
    pub copy: Measured,
    /// A matrix product of bfloat16 by the library; or why there is none.
    pub product: Result<Measured, GpuError>,
    /// What is held against them.
    pub kernels: Vec<Measured>,
}

/// How much is measured on.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Elements of a tensor of a merge; a multiple of 65 536.
    pub elements: u64,
    /// Tokens of attention, of 64 heads of 128 channels.
    pub tokens: u32,
    /// Rows and columns of the matrices that are multiplied.
    pub matrix: usize,
    /// Launches that are waited for together, and how often that is done.
    pub launches: u32,
    /// See `launches`.
    pub rounds: u32,
}

impl Size {
    /// Too large for any cache.
    pub const LARGE: Self = Self { elements: 1 << 27, tokens: 8192, matrix: 8192, launches: 20, rounds: 5 };
    /// To see that it runs.
    pub const SMALL: Self = Self { elements: 1 << 16, tokens: 20, matrix: 48, launches: 1, rounds: 1 };
}

/// bfloat16 in `element.cuh`.
const BF16: u32 = 3;

struct Bench {
    stream: Box<dyn Stream>,
    size: Size,
    blocks: u32,
}

impl Bench {
    fn filled(&mut self, bytes: u64) -> Result<Place, GpuError> {
        let place = self.stream.allocate(bytes as usize)?;
        // 0x3c3c is a small number in bfloat16 as well as in float32
        self.stream.fill(0x3c, place)?;
        Ok(place)
    }

    fn table(&mut self, words: &[u32]) -> Result<Place, GpuError> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let place = self.stream.allocate(bytes.len())?;
        self.stream.upload(&bytes, place)?;
        Ok(place)
    }

    fn time(
        &mut self,
        name: &'static str,
        (bytes, operations): (u64, u64),
        mut once: impl FnMut(&mut dyn Stream) -> Result<(), GpuError>,
    ) -> Result<Measured, GpuError> {
        let probe = self.filled(8)?;
        let mut best = Duration::MAX;
        for _ in 0..self.size.rounds {
            self.stream.download(probe, &mut [0; 8])?;
            let start = Instant::now();
            for _ in 0..self.size.launches {
                once(&mut *self.stream)?;
            }
            self.stream.download(probe, &mut [0; 8])?;
            best = best.min(start.elapsed() / self.size.launches);
        }
        self.stream.release(probe);
        Ok(Measured { name, time: best, bytes, operations })
    }

    fn kernel(
        &mut self,
        name: &'static str,
        (bytes, operations): (u64, u64),
        (kernel, grid): (Kernel, (u32, u32)),
        arguments: &[Argument],
    ) -> Result<Measured, GpuError> {
        self.time(name, (bytes, operations), |stream| stream.launch(&Launch { kernel, grid, block: kernel.threads(), arguments }))
    }
}

/// Measures.
///
/// # Errors
/// Those of the device.
pub fn measure(device: &dyn Accelerator, size: Size) -> Result<Report, GpuError> {
    let blocks = device.description().processors.max(1).saturating_mul(8);
    let mut bench = Bench { stream: device.stream()?, size, blocks };
    let (copy, mut kernels) = bench.merging()?;
    kernels.extend(bench.linear_attention()?);
    let product = match bench.product() {
        Err(error @ (GpuError::NoBlas { .. } | GpuError::BrokenLibrary { .. })) => Err(error),
        product => Ok(product?),
    };
    if product.is_ok() {
        kernels.push(bench.softmax()?);
    }
    Ok(Report { copy, product, kernels })
}
