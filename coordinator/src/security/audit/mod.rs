//! The audit log: who asked for what, from where, on which object, and how it ended. JSON lines, only ever appended to,
//! in files of the data folder that are renamed when they are full.
//!
//! One task writes; callers wait for room when the disk is slow, so nothing that was done is left out while the
//! coordinator lives. Refusals are kept to so many a second: a stranger who knocks all night must not push out the rest.

mod entry;
mod file;
mod limit;

pub use entry::Entry;

use file::Files;
use limit::Limit;
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Entries that may wait for the disk.
const QUEUE: usize = 1024;
/// Entries written at a time.
const BATCH: usize = 256;
/// Entries that one reading gives at most.
pub const MOST: usize = 10_000;

/// Writes and reads the log; cheap to clone.
#[derive(Clone)]
pub struct Audit(Option<Arc<Log>>);

struct Log {
    folder: PathBuf,
    entries: mpsc::Sender<Entry>,
    refusals: Mutex<Limit>,
    start: Instant,
}

impl Audit {
    /// Keeps none: a fleet inside one process has nobody to watch.
    pub fn none() -> Self {
        Self(None)
    }

    /// Keeps one in this folder.
    ///
    /// # Errors
    /// When it cannot be opened: a coordinator that cannot say who did what does not start.
    pub fn start(folder: &Path, tasks: &TaskTracker, cancel: CancellationToken) -> io::Result<Self> {
        let files = Files::open(folder)?;
        let (entries, queue) = mpsc::channel(QUEUE);
        tasks.spawn(keep(files, queue, cancel));
        let log = Log { folder: folder.to_owned(), entries, refusals: Mutex::default(), start: Instant::now() };
        Ok(Self(Some(Arc::new(log))))
    }

    /// Notes what was done.
    pub(crate) async fn write(&self, entry: Entry) {
        if let Some(log) = &self.0
            && log.entries.send(entry).await.is_err()
        {
            tracing::warn!("the audit log has ended before the last call");
        }
    }

    /// Notes what was refused, if not too much was.
    pub(crate) async fn refused(&self, mut entry: Entry) {
        let Some(log) = &self.0 else { return };
        let millis = u64::try_from(log.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let taken = log.refusals.lock().unwrap_or_else(PoisonError::into_inner).take(millis);
        let Some(left_out) = taken else { return };
        if left_out > 0 {
            entry.outcome += &format!(" ({left_out} refusals before this are not in the log)");
        }
        self.write(entry).await;
    }

    /// The newest entries, oldest first.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub async fn read(&self, last: usize) -> io::Result<Vec<Entry>> {
        let Some(log) = &self.0 else { return Ok(Vec::new()) };
        let folder = log.folder.clone();
        tokio::task::spawn_blocking(move || file::read(&folder, last.min(MOST))).await.map_err(io::Error::other)?
    }
}

async fn keep(mut files: Files, mut queue: mpsc::Receiver<Entry>, cancel: CancellationToken) {
    let mut entries = Vec::new();
    loop {
        tokio::select! {
            count = queue.recv_many(&mut entries, BATCH) => if count == 0 { return },
            () = cancel.cancelled(), if !queue.is_closed() => {
                queue.close();
                continue;
            }
        }
        let batch = std::mem::take(&mut entries);
        let written = tokio::task::spawn_blocking(move || {
            let result = files.append(&batch);
            (files, result, batch.len())
        });
        match written.await {
            Ok((back, result, count)) => {
                files = back;
                if let Err(error) = result {
                    tracing::error!(%error, count, "entries of the audit log are lost");
                }
            }
            Err(error) => return tracing::error!(%error, "the audit log has ended"),
        }
    }
}
