//! Turning a complete staging folder into the result, at once.
//!
//! Every step may be repeated: a publish that was killed and is run again leaves the same files.

use super::{
    files::{remove_folder, sync_folder, write_durable},
    layout::Layout,
    staging::StagingFolder,
    target::Found,
};
use crate::MergeError;
use rustix::io::Errno;
use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    time::SystemTime,
};

/// A file of the result beside its shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extra {
    /// Its name in the folder.
    pub name: String,
    /// What it holds.
    pub content: Content,
}

/// Where the bytes of a file come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// These.
    Text(Vec<u8>),
    /// These, in a file that is to have this time.
    Dated(Vec<u8>, SystemTime),
    /// A file of one of the models.
    CopyOf(PathBuf),
}

/// Writes the extras, makes everything durable, and gives the folder its name. All tensors must be written.
///
/// # Errors
/// A file that cannot be written; the output folder was filled meanwhile.
pub(crate) fn publish(staging: StagingFolder, layout: &Layout, extras: &[Extra]) -> Result<(), MergeError> {
    let (tree, folder) = (staging.tree(), staging.folder().clone());
    for shard in &layout.shards {
        let path = staging.shard(&shard.name);
        File::open(&path).and_then(|file| file.sync_all()).map_err(MergeError::io("write", &path))?;
    }
    for extra in extras {
        write_extra(extra, &tree.join(&extra.name))?;
    }
    sync_folder(&tree)?;
    let found = folder.find()?;
    if found != Found::Free {
        return Err(folder.not_empty(&found));
    }
    fs::rename(&tree, &folder.out).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NOTEMPTY | Errno::EXIST) => folder.not_empty(&Found::Free),
        Some(Errno::BUSY) => folder.refuse("is in use as a mount point".into(), Some("give a folder inside it")),
        _ => MergeError::io("rename the result to", &folder.out)(error),
    })?;
    sync_folder(folder.parent())?;
    // The result is there: what cannot be removed now is only in the way.
    let _ = remove_folder(&folder.staging);
    drop(staging);
    Ok(())
}

fn write_extra(extra: &Extra, path: &std::path::Path) -> Result<(), MergeError> {
    match &extra.content {
        Content::Text(bytes) => write_durable(path, bytes),
        Content::Dated(bytes, time) => {
            write_durable(path, bytes)?;
            let dated = File::options().write(true).open(path).and_then(|file| file.set_modified(*time));
            dated.map_err(MergeError::io("set the time of", path))
        }
        // Not `fs::copy`, which copies the mode too: files in a download cache are often read-only or private.
        Content::CopyOf(source) => {
            let mut from = File::open(source).map_err(MergeError::io("open", source))?;
            let mut to = File::create(path).map_err(MergeError::io("create", path))?;
            io::copy(&mut from, &mut to).and_then(|_| to.sync_all()).map_err(MergeError::io("write", path))
        }
    }
}
