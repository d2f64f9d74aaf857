//! Reading checkpoints as Hugging Face lays them out: `config.json` and tensors, in one file or in shards with an index.
//!
//! Files are safetensors, or what `torch.save` writes; of these nothing is run.
//!
//! Opening one reads headers only, and trusts nothing in them. The bytes of tensors are read later, by position, from a
//! [`DataFile`]. They may lie on a mounted file system or in a store ([`Sources`]). Not here: what the tensors mean, and the tokenizer.

mod data_file;
mod folder;
mod header;
mod header_problem;
mod index;
mod quantised;
mod sources;
mod store;
mod torch;
mod weights;

pub use data_file::DataFile;
pub use folder::{Checkpoint, Fold, Stamp, TensorInfo};
pub use header::{Header, HeaderTensor};
pub use header_problem::HeaderProblem;
pub use index::Index;
pub use quantised::Scales;
pub use sources::{Sources, url};
pub(crate) use store::part_bytes;
pub use store::{Object, Store, Upload, Written};
#[cfg(test)]
pub(crate) use torch::writer::torch_file;
pub use torch::{TorchFile, TorchProblem};
