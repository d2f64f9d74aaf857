//! The little linear algebra and statistics that mixtures need, on matrices of a few dozen rows. Not for tensors.

mod least;
mod linear;

pub(crate) use least::minimize_from;
pub(crate) use linear::solve;

/// Rows of equal length.
pub(crate) type Matrix = Vec<Vec<f64>>;
