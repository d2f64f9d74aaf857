//! Reading checkpoints as Hugging Face lays them out: `config.json` and safetensors, one file or shards with an index.
//!
//! Opening one reads headers only, and trusts nothing in them. The bytes of tensors are read later, by position, from a
//! [`DataFile`]. Not here: what the tensors mean, and the tokenizer.

mod data_file;
mod folder;
mod header;
mod header_problem;
mod index;

pub use data_file::DataFile;
pub use folder::{Checkpoint, Fold, Stamp, TensorInfo};
pub use header::{Header, HeaderTensor};
pub use header_problem::HeaderProblem;
pub use index::Index;
