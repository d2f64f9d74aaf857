//! The text of a category as shards: ranges of its files.
//!
//! Where a file is cut depends on the files alone, so that counts do not depend on who counts. What is read of a range is the
//! business of `read`.

use crate::{
    infer::InferError,
    text::{Kind, Packing},
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Bytes of a shard, but for the rest of its last line.
pub const SHARD_BYTES: u64 = 8 << 20;

/// A range of a file: the lines that begin in it, or the row groups. A file that is compressed as a whole is one shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// The file.
    pub path: PathBuf,
    /// The first byte of the range.
    pub start: u64,
    /// The byte after the last.
    pub end: u64,
}

/// The shards of a category: of a file, or of all files below a folder in the order of their names.
///
/// # Errors
/// [`InferError::NoText`] where there is none, [`InferError::File`] for what cannot be read.
pub fn shards(name: &str, path: &Path, bytes: u64) -> Result<Vec<Shard>, InferError> {
    let none = |problem| InferError::NoText { name: name.to_owned(), path: path.to_owned(), problem };
    if !path.exists() {
        return Err(none("is not there"));
    }
    let (mut files, mut open) = (Vec::new(), vec![path.to_owned()]);
    while let Some(path) = open.pop() {
        let kind = fs::metadata(&path).map_err(InferError::file("read", &path))?;
        if kind.is_dir() {
            for entry in fs::read_dir(&path).map_err(InferError::file("list", &path))? {
                let entry = entry.map_err(InferError::file("list", &path))?;
                // A link inside a folder may lead back to it; one that the user names is followed.
                if !entry.file_type().map_err(InferError::file("read", entry.path()))?.is_symlink() {
                    open.push(entry.path());
                }
            }
        } else if kind.is_file() && kind.len() > 0 {
            files.push((path, kind.len()));
        }
    }
    if files.is_empty() {
        return Err(none("is empty"));
    }
    files.sort();
    let bytes = bytes.max(1);
    let cut = |(path, length): (PathBuf, u64)| {
        let bytes = if Kind::of(&path).packing == Packing::Plain { bytes } else { length };
        let starts = (0..length.div_ceil(bytes)).map(move |index| index * bytes);
        starts.map(move |start| Shard { path: path.clone(), start, end: length.min(start + bytes) })
    };
    Ok(files.into_iter().flat_map(cut).collect())
}
