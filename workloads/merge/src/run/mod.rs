//! Computing output tensors: the passes over tiles, the buffers they use, the digests they leave.
//!
//! Nothing here knows a recipe or a formula: a method is handed [`Tiles`] for one output tensor and decides how many
//! passes it takes. [`each`] spreads the tensors of a task over the threads of the worker, [`Tiles`] the tiles of one
//! tensor, so that neither a model of many small tensors nor one huge tensor leaves a thread idle.

mod buffers;
mod composed;
mod digest;
mod failure;
mod gathered;
mod lanes;
mod lens;
mod origin;
mod phases;
mod room;
mod tiles;
mod verify;

pub use buffers::Buffers;
pub(crate) use buffers::keep_freed_pages;
pub use composed::Composed;
pub use digest::TensorDigests;
pub use gathered::Gathered;
pub(crate) use gathered::mean_bytes;
pub use lanes::each;
pub use lens::Lens;
pub use origin::{Origin, Reader, Stored};
pub use phases::Phases;
pub use room::{Room, Whole};
pub use tiles::{Extent, Input, Passes, Rows, Scaling, Target, Tile, Tiles, tile_elements};
pub(crate) use verify::{copy_range, hash_range};
