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
mod l1;
mod linear;
mod operand;
mod ranks;
mod rule;
mod select;
mod task_vectors;

pub(crate) use call::Call;
pub(crate) use operand::{Table, kind, same_length};

use crate::{Accelerator, GpuError, Stream};

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
}
