//! The arithmetic of merging: pure functions from slices of tensors to slices, on one thread.
//!
//! | step | functions |
//! |---|---|
//! | what a tensor is made of | [`Dtype`], [`Slice`], [`SliceMut`] |
//! | statistics, a pass before the last | [`dots`] → [`slerp_coefficients`]; [`gram`] → [`nuslerp`], [`multislerp`], [`karcher`], [`model_stock`]; [`l1`] → [`L1::rescale`]; [`Selection`] → [`Trim`]; over several tensors, [`count_in_buckets`], [`sign_balance`] |
//! | which elements of a task vector stay | [`Keep`]: all, [`Trim::keep`], [`Mask`], [`ranked`], [`chosen`] |
//! | whole tensors at once: singular values, matching | [`linalg`] |
//! | the output, the last pass | [`linear`], [`task_vectors`], [`weighted`], [`sce`], [`ram`], [`nearswap`], [`fuse`], [`balanced`], [`informed_mean`], [`scale`], [`convert`], [`LowRank`], [`BlockScales`], [`noisy`] |
//!
//! Promises, each of them tested:
//!
//! * **The same bits everywhere**, [`linalg`] and [`attention`] aside. Each function is compiled for several instruction sets, and none of them fuses, reorders or
//!   approximates what another does not. Nothing depends on how a tensor is cut into tiles.
//! * **f32 arithmetic, f64 sums, one rounding.** Inputs are decoded to f32 (exactly, but for F64), computed with in the order of
//!   the inputs, and rounded to nearest even at the end.
//! * **No NaN gets out unnoticed.** The functions of the last pass name the first element that is not a number.
//!
//! There are no files, threads, clocks or recipes here; those who call decide what is a tile and which thread works on it.

pub mod attention;
mod bits;
mod block;
mod convert;
mod dtype;
mod error;
mod exponential;
mod geometry;
mod keep;
pub mod linalg;
mod mask;
mod merge;
mod normal;
mod philox;
mod ranks;
mod select;
mod slice;
mod statistics;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use dtype::Dtype;
pub use error::KernelError;
pub use geometry::{Calibration, karcher, model_stock, multislerp, nuslerp, widen_columns, widen_elements};
pub use keep::{Keep, TileTrim, magnitude};
pub use mask::{Mask, MaskKey};
pub use merge::{
    BlockScales, Clamp, Combine, Contender, Floor, Informed, LowRank, Noise, Overlap, Selected, TaskVector, balanced, convert,
    decode, energies, fuse, informed_mean, linear, nearswap, noisy, overlaps, ram, scale, sce, task_vectors, weighted,
};
pub use normal::{normal, uniform};
pub use philox::philox4x32;
pub use ranks::{Chances, MaskedPiece, RankCounts, RankTable, ranked};
pub use select::{
    Buckets, Found, Loose, Part, Pass, Pieces, RowFactors, Selection, Source, Trim, Wanted, chosen, count_in_buckets, kept,
    measure_sources, measure_together, of_ordered, ordered, sampled,
};
pub use slice::{Slice, SliceMut};
pub use statistics::{
    Dots, GRANULE, Gram, L1, LogSum, column_dots, divergences, dots, gram, l1, log_sums, row_divergences, sign_balance,
    slerp_coefficients,
};
