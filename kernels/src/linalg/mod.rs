//! Linear algebra of whole tensors: products, singular values, orthogonal factors, assignments.
//!
//! | step | functions |
//! |---|---|
//! | matrices in memory | [`Dense`], [`multiply`] |
//! | factors | [`svd`], [`random_svd`], [`svd_of_product`], [`orthonormal`], [`polar`] |
//! | one-to-one matching, groups | [`assign`], [`cluster`] |
//!
//! Decompositions are `faer`'s, products `gemm`'s; here are the shapes, the checks, and what is built of them. Results are the same bits
//! for the same matrices on the same machine, whatever the number of threads: products are cut into rows at fixed places, and
//! everything else stays on one thread. A machine with other vector registers may differ in the last bits, which the rest of this
//! crate does not.

mod assign;
mod cluster;
mod dense;
mod factor;
mod polar;
mod random;
#[cfg(test)]
mod testing;

pub use assign::assign;
pub use cluster::{Clusters, cluster};
pub use dense::{Dense, multiply};
pub use factor::{Svd, orthonormal, svd, svd_of_product};
pub use polar::polar;
pub use random::{Sketch, random_svd};
