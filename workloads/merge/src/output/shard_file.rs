//! A shard that is being written: of its final length from the start, so that every tile has its place.

use crate::{MergeError, output::Shard};
use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// A shard of the output, open for writing by position from many threads.
#[derive(Debug)]
pub struct ShardFile {
    path: PathBuf,
    file: File,
}

impl ShardFile {
    /// Gives the shard its length and its header. Tensors that it holds already stay.
    ///
    /// # Errors
    /// [`MergeError::Io`] with its path.
    pub(crate) fn prepare(path: &Path, shard: &Shard) -> Result<(), MergeError> {
        let options = File::options().create(true).truncate(false).write(true).open(path);
        let file = options.map_err(MergeError::io("create", path))?;
        file.set_len(shard.bytes).map_err(MergeError::io("extend", path))?;
        file.write_all_at(&shard.header, 0).map_err(MergeError::io("write", path))
    }

    /// Opens a shard that has been prepared.
    ///
    /// # Errors
    /// [`MergeError::Io`] with its path.
    pub fn open(path: &Path) -> Result<Self, MergeError> {
        let file = File::options().write(true).open(path).map_err(MergeError::io("open", path))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Writes `bytes` at `offset`.
    ///
    /// # Errors
    /// [`MergeError::Io`] with its path; a full disk is one of kind [`StorageFull`](std::io::ErrorKind::StorageFull).
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), MergeError> {
        self.file.write_all_at(bytes, offset).map_err(MergeError::io("write", &self.path))
    }

    /// Waits until what was written is on disk.
    ///
    /// # Errors
    /// [`MergeError::Io`] with its path: some of it may be lost.
    pub fn sync(&self) -> Result<(), MergeError> {
        self.file.sync_data().map_err(MergeError::io("write", &self.path))
    }
}
