//! The lines that tasks write for people: one file a job, of JSON lines, beside the store and not in it.
//!
//! Lines are a convenience, not a promise: they are not synced, a file stops growing at a size, and lines that come
//! faster than the disk takes them are dropped and counted.

use braid_proto::v1;
use braid_workload::{JobId, TaskId};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The most that is kept of one job's lines.
const MAX_FILE: u64 = 16 << 20;
/// Lines that may wait for the disk.
const QUEUE: usize = 4096;
/// Lines written at a time.
const BATCH: usize = 256;
/// What one read takes from a file at most: more than the longest line that a message can carry.
const READ: u64 = 2 << 20;

/// Where lines go and come from; cheap to clone.
#[derive(Clone)]
pub(crate) struct Logs {
    dir: Option<Arc<Path>>,
    lines: mpsc::Sender<v1::LogLine>,
    dropped: Arc<AtomicU64>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    at: u64,
    task: u32,
    text: String,
}

impl Logs {
    /// Keeps lines in files of `dir`, or nowhere.
    pub(crate) fn start(dir: Option<PathBuf>, tasks: &TaskTracker, cancel: CancellationToken) -> Self {
        let (lines, queue) = mpsc::channel(QUEUE);
        let logs = Self { dir: dir.map(Arc::from), lines, dropped: Arc::default() };
        if let Some(dir) = logs.dir.clone() {
            tasks.spawn(keep(dir, queue, logs.dropped.clone(), cancel));
        }
        logs
    }

    /// Takes a line; drops it when the disk is behind.
    pub(crate) fn write(&self, line: v1::LogLine) {
        if self.dir.is_some() && self.lines.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whole lines of a job from byte `at` on, and where to go on.
    pub(crate) async fn read(&self, job: JobId, at: u64) -> io::Result<(Vec<v1::LogLine>, u64)> {
        let Some(path) = self.dir.as_ref().map(|dir| path(dir, job)) else { return Ok((Vec::new(), at)) };
        tokio::task::spawn_blocking(move || read(&path, job, at)).await.map_err(io::Error::other)?
    }
}

fn path(dir: &Path, job: JobId) -> PathBuf {
    dir.join(format!("{job}.jsonl"))
}

/// Writes lines as they come, some at a time; when cancelled, those that are there.
async fn keep(dir: Arc<Path>, mut queue: mpsc::Receiver<v1::LogLine>, dropped: Arc<AtomicU64>, cancel: CancellationToken) {
    let mut lines = Vec::new();
    loop {
        tokio::select! {
            count = queue.recv_many(&mut lines, BATCH) => if count == 0 { return },
            () = cancel.cancelled(), if !queue.is_closed() => {
                queue.close();
                continue;
            }
        }
        let (dir, batch, lost) = (dir.clone(), std::mem::take(&mut lines), dropped.swap(0, Ordering::Relaxed));
        let written = tokio::task::spawn_blocking(move || append_all(&dir, batch, lost)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "lines of a job's log are lost");
        }
    }
}

fn append_all(dir: &Path, lines: Vec<v1::LogLine>, mut dropped: u64) -> io::Result<()> {
    let mut open = None;
    for line in lines {
        append(dir, &mut open, line, std::mem::take(&mut dropped))?;
    }
    Ok(())
}

fn append(dir: &Path, open: &mut Option<(JobId, File)>, line: v1::LogLine, dropped: u64) -> io::Result<()> {
    let task: TaskId = line.task.unwrap_or_default().into();
    if open.as_ref().is_none_or(|(job, _)| *job != task.job) {
        fs::create_dir_all(dir)?;
        *open = Some((task.job, OpenOptions::new().create(true).append(true).open(path(dir, task.job))?));
    }
    let Some((_, file)) = open else { return Ok(()) };
    if file.metadata()?.len() >= MAX_FILE {
        return Ok(());
    }
    let mut text = line.text;
    if dropped > 0 {
        text = format!("({dropped} lines were lost) {text}");
    }
    let mut bytes = serde_json::to_vec(&Line { at: line.unix_millis, task: task.index, text })?;
    bytes.push(b'\n');
    file.write_all(&bytes)
}

fn read(path: &Path, job: JobId, at: u64) -> io::Result<(Vec<v1::LogLine>, u64)> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), at)),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.take(READ).read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let lines = bytes[..whole]
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Line>(line).ok())
        .map(|line| v1::LogLine { task: Some(job.task(line.task).into()), text: line.text, unix_millis: line.at })
        .collect();
    Ok((lines, at + whole as u64))
}
