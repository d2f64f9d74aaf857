//! Small file operations that survive a crash: what was written is whole or absent.

use crate::MergeError;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// Writes a file of ours, on disk when this returns. Its mode is what the umask makes of 0666.
pub(crate) fn write_durable(path: &Path, bytes: &[u8]) -> Result<(), MergeError> {
    let mut file = File::create(path).map_err(MergeError::io("create", path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(MergeError::io("write", path))
}

/// Replaces a file at once: a reader sees the old bytes or the new.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), MergeError> {
    let next = path.with_extension("new");
    write_durable(&next, bytes)?;
    fs::rename(&next, path).map_err(MergeError::io("replace", path))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), MergeError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(MergeError::io("write", path))
}

/// Removes a folder with all that is in it; that it is gone already is fine.
pub(crate) fn remove_folder(path: &Path) -> Result<(), MergeError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(MergeError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The text of a file, or `None` where there is no such file.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, MergeError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(MergeError::io("read", path)(error)),
    }
}
