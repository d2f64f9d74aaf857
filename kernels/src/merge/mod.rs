//! The last pass of a merge: from the inputs of a tile to its output, decode → compute → encode, block by block.
//!
//! All arithmetic is in f32 in the order of the inputs and rounds once more at the end, to the output's type. Elements do not
//! see each other, so any cut of a tensor into tiles gives the same bytes.

mod balance;
mod block_scales;
mod copy;
mod fisher;
mod fusion;
mod linear;
mod low_rank;
mod nearswap;
mod noise;
mod ram;
mod sce;
mod task_vectors;
mod weighted;

pub(crate) use balance::balance;
pub use balance::{Clamp, Contender, balanced};
pub use block_scales::BlockScales;
pub use copy::{convert, decode, scale};
pub use fisher::{Informed, informed_mean};
pub use fusion::fuse;
pub use linear::linear;
pub use low_rank::LowRank;
pub use nearswap::nearswap;
pub use noise::{Noise, noisy};
pub use ram::{Overlap, overlaps, ram};
pub(crate) use sce::spread;
pub use sce::{Floor, Selected, energies, sce};
pub(crate) use task_vectors::difference;
pub use task_vectors::{Combine, TaskVector, task_vectors};
pub use weighted::weighted;
