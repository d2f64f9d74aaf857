//! The merging kernels on a stream: a method for each CPU form of `braid_kernels`, with its signature and its bytes.
//!
//! ```text
//!   operands ── upload ──▶ device ── launch ──▶ output, first NaN ── download ──▶ output, or an error
//! ```
//!
//! A call waits for its end. Work overlaps between lanes: while one waits, another reads its tile, and a third is copied.

mod call;
mod convert;
mod gram;
mod hash;
mod l1;
mod linear;
mod operand;
mod ranks;
mod rule;
mod select;
mod task_vectors;

pub(crate) use call::{Call, Operand};
pub use hash::{ChainingValue, HASHED};
pub(crate) use operand::{Table, kind, same_length};
pub(crate) use select::Difference;
pub(crate) use task_vectors::Term;

use braid_kernels::KernelError;

use crate::{Accelerator, GpuError, Inputs, Stored, Stream};

/// Elements that a thread works on together; as in `kernels/cuda/common.cuh`.
const RUN: usize = 8;
/// Threads of a block.
const THREADS: u32 = 256;
/// Elements that a block works on together.
const STRETCH: usize = RUN * THREADS as usize;

/// One stream of a device, and the arithmetic of merging on it.
pub struct Lane {
    stream: Box<dyn Stream>,
    /// Blocks of a launch whose blocks go over the elements several times.
    most_blocks: u32,
}

impl Lane {
    /// A lane of `device`.
    ///
    /// # Errors
    /// As [`Accelerator::stream`].
    pub fn new(device: &dyn Accelerator) -> Result<Self, GpuError> {
        Ok(Self { stream: device.stream()?, most_blocks: device.description().processors.max(1).saturating_mul(8) })
    }

    /// Has the device read `inputs` by itself, and does `work` with them there.
    ///
    /// # Errors
    /// [`GpuError::Storage`] of a file that it cannot read; those of `work`; those of the device.
    pub fn stored<R>(
        &mut self,
        inputs: &[Stored<'_>],
        work: impl FnOnce(&Inputs<'_>) -> Result<R, KernelError>,
    ) -> Result<R, GpuError> {
        let mut call = self.begin();
        match inputs.iter().map(|input| call.read("reading", input)).collect() {
            Ok(operands) => {
                let inputs = Inputs::there(call, operands);
                let done = work(&inputs);
                match inputs.end() {
                    Some(problem) => Err(problem),
                    None => Ok(done?),
                }
            }
            Err(error) => {
                call.end();
                Err(error)
            }
        }
    }
}
