//! Files that `torch.save` writes (`.bin`, `.pt`, `.pth`), read without running anything.
//!
//! ```text
//! the file is a zip ── archive (its directory: where each entry lies)
//!     data.pkl      ── pickle  (a machine that knows dicts, numbers, texts and five functions) ── state (names → tensors)
//!     data/0, 1, …  ── the storages: bytes of tensors, as they are
//! ```
//!
//! Pickles are programs. Of what they may ask for only what state dicts need is known here, and none of it is called: a request to
//! rebuild a tensor becomes a description of one. Any other name is an error that says it. Tensors are then read by position, like those of
//! a safetensors file. Not here: the format before PyTorch 1.6, which is no zip.

mod archive;
mod pickle;
mod problem;
mod source;
mod state;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod writer;

pub use problem::TorchProblem;

use super::header::HeaderTensor;
use archive::Archive;
use pickle::Pickle;
use source::{Read, Source};
use std::collections::HashMap;

/// The description of a file's tensors.
const PICKLE: &str = "data.pkl";

/// More description than any checkpoint has.
const MAX_PICKLE: u64 = 64 << 20;

/// A file of which the description has been read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TorchFile {
    /// The tensors in the order of the state dict. Several may share bytes.
    pub tensors: Vec<HeaderTensor>,
    /// The bytes that describe them.
    pub description: Vec<u8>,
}

impl TorchFile {
    /// Reads the description of a file of `length` bytes, of which `read` fills a buffer from a position.
    ///
    /// # Errors
    /// What `read` says, or what `refuse` makes of a [`TorchProblem`].
    pub(crate) fn read<E>(length: u64, read: &Read<'_, E>, refuse: &dyn Fn(TorchProblem) -> E) -> Result<Self, E> {
        let source = Source { length, read, refuse };
        let archive = Archive::read(&source)?;
        let (prefix, entry) = archive.find(PICKLE).map_err(refuse)?;
        if entry.bytes > MAX_PICKLE {
            return Err(refuse(TorchProblem::Zip(format!(
                "{PICKLE} is {} bytes long; at most {MAX_PICKLE} are read",
                entry.bytes
            ))));
        }
        if let Some(order) = archive.get(&format!("{prefix}byteorder"))
            && order.bytes < 16
        {
            let order = source.bytes(archive.place(&source, "byteorder", order)?, order.bytes)?;
            if order != b"little" {
                return Err(refuse(TorchProblem::ByteOrder(String::from_utf8_lossy(&order).into_owned())));
            }
        }
        let description = source.bytes(archive.place(&source, PICKLE, entry)?, entry.bytes)?;
        let described = Pickle::run(&description).and_then(|pickle| state::tensors(&pickle)).map_err(refuse)?;
        let mut places: HashMap<String, (u64, u64)> = HashMap::new();
        let mut tensors = Vec::with_capacity(described.len());
        for tensor in described {
            let (offset, bytes) = match places.get(&tensor.storage) {
                Some(place) => *place,
                None => {
                    let name = format!("{prefix}data/{}", tensor.storage);
                    let entry = archive.get(&name).ok_or_else(|| refuse(TorchProblem::NoStorage { name: name.clone() }))?;
                    let place = (archive.place(&source, &name, entry)?, entry.bytes);
                    places.insert(tensor.storage.clone(), place);
                    place
                }
            };
            tensors.push(tensor.at(offset, bytes).map_err(refuse)?);
        }
        Ok(Self { tensors, description })
    }

    /// Reads the description of a whole file in memory.
    ///
    /// # Errors
    /// The first [`TorchProblem`] found.
    pub fn of_bytes(file: &[u8]) -> Result<Self, TorchProblem> {
        let read = |offset: u64, buffer: &mut [u8]| {
            let start = usize::try_from(offset).ok();
            let part = start.and_then(|start| file.get(start..start.checked_add(buffer.len())?));
            part.map(|part| buffer.copy_from_slice(part)).ok_or(TorchProblem::Short)
        };
        Self::read(file.len() as u64, &read, &|problem| problem)
    }
}
