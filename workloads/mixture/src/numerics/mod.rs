//! The little linear algebra and statistics that mixtures need, on matrices of a few dozen rows. Not for tensors.

mod least;
mod linear;
mod rank;

pub(crate) use least::minimize_from;
pub(crate) use linear::solve;
pub(crate) use rank::{explained, spearman};

/// Rows of equal length.
pub(crate) type Matrix = Vec<Vec<f64>>;
