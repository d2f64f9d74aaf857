//! Pure compute on slices: the arithmetic of merging.
mod block;
mod convert;
mod dtype;
mod error;
mod keep;
mod mask;
mod merge;
mod philox;
mod slice;
mod select;
mod statistics;
#[cfg(test)]
mod testing;

pub use dtype::Dtype;
pub use error::KernelError;
pub use keep::{Keep, TileTrim, magnitude};
pub use mask::{Mask, MaskKey};
pub use merge::{Combine, TaskVector, convert, linear, scale, task_vectors};
pub use philox::philox4x32;
pub use select::{Part, Pass, Pieces, Selection, Trim, kept, measure_together};
pub use slice::{Slice, SliceMut};
pub use statistics::{Dots, GRANULE, L1, dots, l1, slerp_coefficients};
