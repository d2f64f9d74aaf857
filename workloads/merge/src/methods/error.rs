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
    /// A tensor of a method that looks at whole models, before anything is known about them.
    #[error("tensor {tensor:?} is merged by what is known about whole models, which have not been looked at")]
    Unknown {
        /// The tensor.
        tensor: String,
    },
    /// More models that hold infinite values than may be faulty.
    #[error(
        "{strange} models hold values that are not finite (or are farther from the base than can be told), but only {faulty} may be faulty; \
         {honest} are left"
    )]
    NotFinite {
        /// How many do.
        strange: usize,
        /// How many may.
        faulty: usize,
        /// How many do not, the base among them.
        honest: usize,
    },
    /// Squares that are negative.
    #[error("{model} holds negative numbers, and what a model knows about an element (its Fisher information) is never negative")]
    NegativeFisher {
        /// The checkpoint that holds them.
        model: String,
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
