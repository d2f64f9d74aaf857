//! Whole tensors as matrices.

use crate::{MergeError, run::Room};
use braid_kernels::{KernelError, linalg::Dense};

/// Sources of a piece as matrices: the first axis are the rows, all others the columns.
pub(crate) trait Matrices {
    /// Source `source` whole.
    ///
    /// # Errors
    /// As [`Room::read`].
    fn matrix(&self, source: usize) -> Result<Dense, MergeError>;

    /// What a kernel refused, with the name of the first tensor that the piece makes.
    fn refused(&self, error: KernelError) -> MergeError;
}

impl Matrices for Room<'_> {
    fn matrix(&self, source: usize) -> Result<Dense, MergeError> {
        let data = self.read(source)?;
        let rows = self.shape(source).first().map_or(1, |&rows| rows as usize);
        let cols = data.len().checked_div(rows).unwrap_or(0);
        Ok(Dense::new(rows, cols, data))
    }

    fn refused(&self, error: KernelError) -> MergeError {
        MergeError::Kernel { tensor: self.name().to_owned(), source: error }
    }
}
