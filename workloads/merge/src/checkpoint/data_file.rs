//! Files that tensors are read from, by position and by many threads at once.
//!
//! Reads go into buffers of ours. Mapping the file would save a copy, but then a file that somebody truncates kills the
//! process (SIGBUS), and how much memory is resident is no longer ours to say.

use super::{folder::Stamp, store::Object};
use crate::MergeError;
use braid_gpu::{Arithmetic, StoredFile};
use std::{
    fs::File,
    io::ErrorKind,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

/// A file open for positional reads.
#[derive(Debug)]
pub struct DataFile {
    path: PathBuf,
    bytes: Bytes,
    /// As GPUs read it by themselves, if they do, once that was asked for.
    stored: OnceLock<Option<StoredFile>>,
}

#[derive(Debug)]
enum Bytes {
    Mounted(File),
    Remote(Arc<dyn Object>),
}

impl DataFile {
    /// Opens a file of a mounted file system.
    ///
    /// # Errors
    /// [`MergeError::Io`] with its path.
    pub fn open(path: &Path) -> Result<Self, MergeError> {
        let file = File::open(path).map_err(MergeError::io("open", path))?;
        Ok(Self { path: path.to_owned(), bytes: Bytes::Mounted(file), stored: OnceLock::new() })
    }

    /// An object of a store.
    pub(super) fn remote(path: &Path, object: Arc<dyn Object>) -> Self {
        Self { path: path.to_owned(), bytes: Bytes::Remote(object), stored: OnceLock::new() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length and when it was last written.
    ///
    /// # Errors
    /// [`MergeError::Io`] with its path.
    pub fn stamp(&self) -> Result<Stamp, MergeError> {
        match &self.bytes {
            Bytes::Mounted(file) => Ok(Stamp::of(&file.metadata().map_err(MergeError::io("look at", &self.path))?)),
            Bytes::Remote(object) => Ok(object.stamp()),
        }
    }

    /// Says that all of these bytes will be read, in pieces, mostly one after the other.
    pub fn will_read(&self, range: Range<u64>) {
        if let Bytes::Remote(object) = &self.bytes {
            object.will_read(range);
        }
    }

    /// The file as the GPUs of `arithmetic` read it by themselves; none where they cannot.
    pub fn stored(&self, arithmetic: &Arithmetic) -> Option<&StoredFile> {
        let Bytes::Mounted(file) = &self.bytes else { return None };
        let known = || arithmetic.stored_file(file, &self.path);
        if arithmetic.reads_files() { self.stored.get_or_init(known).as_ref() } else { None }
    }

    /// Fills `buffer` with the bytes at `offset`.
    ///
    /// # Errors
    /// [`MergeError::ShortRead`] when the file ends before, [`MergeError::Io`] when it cannot be read, [`MergeError::Remote`] when an
    /// object cannot.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), MergeError> {
        let file = match &self.bytes {
            Bytes::Mounted(file) => file,
            Bytes::Remote(object) => return object.read_exact_at(buffer, offset),
        };
        let mut got = 0;
        while got < buffer.len() {
            match file.read_at(&mut buffer[got..], offset + got as u64) {
                Ok(0) => {
                    let (path, wanted, got) = (self.path.clone(), buffer.len() as u64, got as u64);
                    return Err(MergeError::ShortRead { path, offset, wanted, got });
                }
                Ok(n) => got += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(MergeError::io("read", &self.path)(error)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_past_the_end_names_the_file_and_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shard");
        std::fs::write(&path, b"0123456789").unwrap();
        let file = DataFile::open(&path).unwrap();
        let mut buffer = [0; 4];
        file.read_exact_at(&mut buffer, 3).unwrap();
        assert_eq!(&buffer, b"3456");
        let text = file.read_exact_at(&mut buffer, 8).unwrap_err().to_string();
        assert!(text.ends_with("shard: expected 4 bytes at offset 8, but the file ends after 2 of them"), "{text}");
    }
}
