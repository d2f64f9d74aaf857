//! A shard that is being written: of its final length from the start, so that every tile has its place.

use crate::{MergeError, output::Shard};
use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
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
        begin(&file, path, shard)
    }

    /// A shard in a file of this folder that has no name, and ends with the last who has it open.
    ///
    /// # Errors
    /// [`MergeError::Io`] with the path that it has for a moment.
    pub(crate) fn unnamed(folder: &Path, shard: &Shard) -> Result<Self, MergeError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let path = folder.join(format!("braid-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let file =
            File::options().create_new(true).read(true).write(true).open(&path).map_err(MergeError::io("create", &path))?;
        fs::remove_file(&path).map_err(MergeError::io("remove", &path))?;
        begin(&file, &path, shard)?;
        Ok(Self { path, file })
    }

    /// The same file, once more.
    pub(crate) fn again(&self) -> Result<Self, MergeError> {
        let file = self.file.try_clone().map_err(MergeError::io("open", &self.path))?;
        Ok(Self { path: self.path.clone(), file })
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &File {
        &self.file
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

/// Gives a file the length of a shard, and its header.
fn begin(file: &File, path: &Path, shard: &Shard) -> Result<(), MergeError> {
    file.set_len(shard.bytes).map_err(MergeError::io("extend", path))?;
    file.write_all_at(&shard.header, 0).map_err(MergeError::io("write", path))
}
