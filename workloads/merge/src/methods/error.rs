//! What a method can meet while it runs, beside what reading, computing and writing meet.

use braid_kernels::Dtype;

/// Inputs that a method cannot merge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    /// A buffer that is not the same everywhere.
    #[error(
        "tensor {tensor:?} is of {dtype}, which is copied and not merged, but differs between {} and {} (first in element {element})",
        models.0, models.1
    )]
    BuffersDiffer {
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: Dtype,
        /// The first element that differs.
        element: u64,
        /// The two models.
        models: (String, String),
    },
    /// Directions that cancel.
    #[error(
        "tensor {tensor:?}: the weighted directions of the models cancel each other, so that their mean has none; other weights may do"
    )]
    NoDirection {
        /// The tensor.
        tensor: String,
    },
}
