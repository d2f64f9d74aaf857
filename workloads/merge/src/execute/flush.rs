//! Getting what a task wrote onto the disk while the next task computes.
//!
//! Waiting for the disk at the end of each task would leave the processors idle, and not asking it to write would leave all
//! of that to the end. So each task starts one flush and waits only for that of the task before, which also bounds how much
//! unwritten data there can be.

use crate::{
    MergeError,
    output::{Progress, ShardFile},
};
use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    thread::JoinHandle,
};

/// At most one flush at a time.
#[derive(Debug, Default)]
pub(super) struct Flusher(Mutex<Option<JoinHandle<Result<(), MergeError>>>>);

impl Flusher {
    /// Starts to flush `shards`; when they are on disk, `progress` says so.
    ///
    /// # Errors
    /// What the flush before this one met.
    pub(super) fn start(&self, shards: Vec<PathBuf>, progress: Progress) -> Result<(), MergeError> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        finish(running.take())?;
        let work = move || flush(&shards, &progress);
        let thread = std::thread::Builder::new().name("braid-flush".into()).spawn(work);
        *running = Some(thread.map_err(MergeError::io("start a thread for", "braid-flush"))?);
        Ok(())
    }

    /// Waits until nothing is being flushed.
    ///
    /// # Errors
    /// What the last flush met.
    pub(super) fn finish(&self) -> Result<(), MergeError> {
        finish(self.0.lock().unwrap_or_else(PoisonError::into_inner).take())
    }
}

fn finish(thread: Option<JoinHandle<Result<(), MergeError>>>) -> Result<(), MergeError> {
    match thread.map(JoinHandle::join) {
        None => Ok(()),
        Some(Ok(result)) => result,
        Some(Err(_)) => Err(MergeError::Task("flushing a shard panicked".into())),
    }
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
