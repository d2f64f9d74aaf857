//! What can go wrong with a model.

use crate::parallel::ParallelError;

/// Why a model cannot be made or run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A size that no model has.
    #[error("model.{field}: {problem}")]
    Size {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The ranks of a group cannot compute a layer together.
    #[error(transparent)]
    Parallel(#[from] ParallelError),
}
