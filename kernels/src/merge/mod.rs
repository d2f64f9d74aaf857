//! The last pass of a merge: from the inputs of a tile to its output, decode → compute → encode, block by block.
//!
//! All arithmetic is in f32 in the order of the inputs and rounds once more at the end, to the output's type. Elements do not
//! see each other, so any cut of a tensor into tiles gives the same bytes.

mod copy;
mod linear;
mod task_vectors;

pub use copy::{convert, scale};
pub use linear::linear;
pub(crate) use task_vectors::difference;
pub use task_vectors::{Combine, TaskVector, task_vectors};
