//! Getting what a task wrote onto the disk while the next task computes.
//!
//! Waiting for the disk at the end of each task would leave the processors idle, and not asking it to write would leave all
//! of that to the end. So each task starts one flush and waits only for that of the task before, which also bounds how much
//! unwritten data there can be.
//!
//! What a flush meets is told to tasks of the same merge alone: attempts that were given up flush too, into folders that may
//! have become results meanwhile, and a worker has tasks of several merges.

use crate::{
    MergeError,
    output::{Progress, ShardFile},
};
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread::JoinHandle,
};

/// At most one flush at a time.
#[derive(Debug, Default)]
pub(super) struct Flusher(Mutex<Option<Flush>>);

#[derive(Debug)]
struct Flush {
    /// The staging folder.
    folder: PathBuf,
    thread: JoinHandle<Result<(), MergeError>>,
}

impl Flusher {
    /// Starts to flush `shards` of this staging folder; when they are on disk, `progress` says so.
    ///
    /// # Errors
    /// What the flush before this one met, if it was of the same folder.
    pub(super) fn start(&self, folder: &Path, shards: Vec<PathBuf>, progress: Progress) -> Result<(), MergeError> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        finish(running.take(), folder)?;
        let work = move || flush(&shards, &progress);
        let thread = std::thread::Builder::new().name("braid-flush".into()).spawn(work);
        let thread = thread.map_err(MergeError::io("start a thread for", "braid-flush"))?;
        *running = Some(Flush { folder: folder.to_owned(), thread });
        Ok(())
    }

    /// Waits until nothing is being flushed.
    ///
    /// # Errors
    /// What the last flush met, if it was of this staging folder.
    pub(super) fn finish(&self, folder: &Path) -> Result<(), MergeError> {
        finish(self.0.lock().unwrap_or_else(PoisonError::into_inner).take(), folder)
    }
}

fn finish(flush: Option<Flush>, folder: &Path) -> Result<(), MergeError> {
    let Some(flush) = flush else { return Ok(()) };
    let result = flush.thread.join().unwrap_or_else(|_| Err(MergeError::Task("flushing a shard panicked".into())));
    if flush.folder == folder { result } else { Ok(()) }
}

fn flush(shards: &[PathBuf], progress: &Progress) -> Result<(), MergeError> {
    let flushed = shards.iter().try_for_each(|path| ShardFile::open(path)?.sync());
    if flushed.is_err() {
        // The system has dropped what it could not write: nothing of this attempt may be relied on.
        progress.lost()?;
        return flushed;
    }
    progress.synced()
}
