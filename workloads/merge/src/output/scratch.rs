//! Shards that are made on the disk of one worker before they go to a store.
//!
//! Their files are in the temporary folder of the system (`TMPDIR`) and have no names, so that nothing of them outlives the process.

use super::{layout::Shard, shard_file::ShardFile};
use crate::{MergeError, open_files::OpenFiles};
use rustix::fs::statvfs;
use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Some shards that are being made.
#[derive(Debug)]
pub(crate) struct Scratch {
    files: Arc<BTreeMap<PathBuf, ShardFile>>,
}

impl Scratch {
    /// Files for these shards, of their length and with their headers.
    ///
    /// # Errors
    /// A folder without room for them, or that nothing can be written to.
    pub(crate) fn of(shards: &[&Shard]) -> Result<Self, MergeError> {
        let folder = env::temp_dir();
        let needed = shards.iter().map(|shard| shard.bytes).fold(0u64, u64::saturating_add);
        let system = statvfs(&folder).map_err(|error| MergeError::io("look at", &folder)(error.into()))?;
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        if free < needed {
            return Err(MergeError::NoScratch { path: folder, needed, free });
        }
        let file = |shard: &&Shard| Ok((PathBuf::from(&shard.name), ShardFile::unnamed(&folder, shard)?));
        Ok(Self { files: Arc::new(shards.iter().map(file).collect::<Result<_, MergeError>>()?) })
    }

    /// The file of a shard.
    pub(crate) fn file(&self, shard: &Shard) -> Result<&ShardFile, MergeError> {
        self.files.get(Path::new(&shard.name)).ok_or_else(|| missing(Path::new(&shard.name)))
    }

    /// The same files for those who write into them, by the name of their shard.
    pub(crate) fn to_fill(&self) -> OpenFiles<ShardFile> {
        let files = Arc::clone(&self.files);
        OpenFiles::new(files.len(), move |name| files.get(name).ok_or_else(|| missing(name))?.again())
    }

    /// For those who look at tensors and write nothing.
    pub(crate) fn of_nothing() -> OpenFiles<ShardFile> {
        let empty = Shard { name: String::new(), header: Vec::new(), bytes: 0, tensors: Vec::new() };
        OpenFiles::new(1, move |_| ShardFile::unnamed(&env::temp_dir(), &empty))
    }
}

fn missing(name: &Path) -> MergeError {
    MergeError::Task(format!("shard {} is none of those that are being made", name.display()))
}
