//! The lines that tasks write for people: one file a job, of JSON lines, beside the store and not in it.
//!
//! Lines are a convenience, not a promise: they are not synced, a file stops growing at a size, and lines that come
//! faster than the disk takes them are dropped and counted.

use braid_proto::v1;
use braid_telemetry::metrics::FleetMetrics;
use braid_workload::{JobId, LogSource};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The most that is kept of one job's lines.
const MAX_FILE: u64 = 16 << 20;
/// Lines that may wait for the disk.
const QUEUE: usize = 4096;
/// Lines written at a time.
const BATCH: usize = 1024;
/// How long a worker may be kept waiting for the disk, once: then its lines are dropped until the disk has caught up.
const PATIENCE: Duration = Duration::from_millis(250);
/// The last line of a file that has reached its size.
const FULL: &str = "(the log is full: what follows is not kept)";
/// What one read takes from a file at most: more than the longest line that a message can carry.
const READ: u64 = 2 << 20;

/// Where lines go and come from; cheap to clone.
#[derive(Clone)]
pub(crate) struct Logs {
    dir: Option<Arc<Path>>,
    queue: mpsc::Sender<Entry>,
    dropped: Arc<AtomicU64>,
    metrics: Arc<FleetMetrics>,
    /// The disk has let somebody wait for too long.
    behind: Arc<AtomicBool>,
}

/// What waits for the disk.
enum Entry {
    Line(v1::LogLine),
    /// Says when all before it is written.
    Flush(oneshot::Sender<()>),
}

#[derive(Serialize, Deserialize)]
struct Line {
    at: u64,
    task: u32,
    text: String,
    #[serde(default)]
    source: LogSource,
}

impl Logs {
    /// Keeps lines in files of `dir`, or nowhere.
    pub(crate) fn start(
        dir: Option<PathBuf>,
        tasks: &TaskTracker,
        cancel: CancellationToken,
        metrics: Arc<FleetMetrics>,
    ) -> Self {
        let (send, queue) = mpsc::channel(QUEUE);
        let logs = Self { dir: dir.map(Arc::from), queue: send, dropped: Arc::default(), metrics, behind: Arc::default() };
        if let Some(dir) = logs.dir.clone() {
            tasks.spawn(keep(dir, queue, logs.dropped.clone(), cancel));
        }
        logs
    }

    /// Takes a line. Whoever brings lines faster than the disk takes them waits, so that a program that prints a lot waits in the
    /// end; where the disk hangs, lines are dropped.
    pub(crate) async fn write(&self, line: v1::LogLine) {
        if self.dir.is_none() {
            return;
        }
        let line = match self.queue.try_send(Entry::Line(line)) {
            Ok(()) => return self.behind.store(false, Ordering::Relaxed),
            Err(refused) => refused.into_inner(),
        };
        if self.behind.load(Ordering::Relaxed) || self.queue.send_timeout(line, PATIENCE).await.is_err() {
            self.behind.store(true, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.metrics.log_line_lost();
        }
    }

    /// Whole lines of a job from byte `at` on, and where to go on. What was taken before the call is among them, unless the disk
    /// hangs.
    pub(crate) async fn read(&self, job: JobId, at: u64) -> io::Result<(Vec<v1::LogLine>, u64)> {
        let Some(path) = self.dir.as_ref().map(|dir| path(dir, job)) else { return Ok((Vec::new(), at)) };
        let (done, written) = oneshot::channel();
        if self.queue.send_timeout(Entry::Flush(done), PATIENCE).await.is_ok() {
            // Late or never: then what is there has to do.
            let _ = tokio::time::timeout(PATIENCE, written).await;
        }
        tokio::task::spawn_blocking(move || read(&path, job, at)).await.map_err(io::Error::other)?
    }
}

fn path(dir: &Path, job: JobId) -> PathBuf {
    dir.join(format!("{job}.jsonl"))
}

/// Writes lines as they come, some at a time; when cancelled, those that are there.
async fn keep(dir: Arc<Path>, mut queue: mpsc::Receiver<Entry>, dropped: Arc<AtomicU64>, cancel: CancellationToken) {
    let mut entries = Vec::new();
    loop {
        tokio::select! {
            count = queue.recv_many(&mut entries, BATCH) => if count == 0 { return },
            () = cancel.cancelled(), if !queue.is_closed() => {
                queue.close();
                continue;
            }
        }
        let (mut lines, mut flushes) = (Vec::new(), Vec::new());
        for entry in entries.drain(..) {
            match entry {
                Entry::Line(line) => lines.push(line),
                Entry::Flush(done) => flushes.push(done),
            }
        }
        if !lines.is_empty() {
            let (dir, lost) = (dir.clone(), dropped.swap(0, Ordering::Relaxed));
            let written = tokio::task::spawn_blocking(move || append_all(&dir, &lines, lost)).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(%error, "lines of a job's log are lost");
            }
        }
        for done in flushes {
            // Whoever asked may have given up.
            let _ = done.send(());
        }
    }
}

fn append_all(dir: &Path, lines: &[v1::LogLine], mut dropped: u64) -> io::Result<()> {
    let job = |line: &v1::LogLine| JobId(line.task.unwrap_or_default().job);
    for lines in lines.chunk_by(|a, b| job(a) == job(b)) {
        let Some(first) = lines.first() else { continue };
        fs::create_dir_all(dir)?;
        let mut file = OpenOptions::new().create(true).append(true).open(path(dir, job(first)))?;
        let mut room = MAX_FILE.saturating_sub(file.metadata()?.len());
        let mut bytes = Vec::new();
        for line in lines {
            if room == 0 {
                break;
            }
            let before = bytes.len();
            encode(line, std::mem::take(&mut dropped), &mut bytes)?;
            room = room.saturating_sub((bytes.len() - before) as u64);
            if room == 0 {
                encode(&v1::LogLine { text: FULL.into(), source: v1::LogSource::Task.into(), ..line.clone() }, 0, &mut bytes)?;
            }
        }
        file.write_all(&bytes)?;
    }
    Ok(())
}

fn encode(line: &v1::LogLine, dropped: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    let lost = if dropped > 0 { format!("({dropped} lines were lost) ") } else { String::new() };
    let (task, text) = (line.task.unwrap_or_default().index, format!("{lost}{}", line.text));
    serde_json::to_writer(&mut *bytes, &Line { at: line.unix_millis, task, text, source: line.source().into() })?;
    bytes.push(b'\n');
    Ok(())
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
        .map(|line| v1::LogLine {
            task: Some(job.task(line.task).into()),
            text: line.text,
            unix_millis: line.at,
            source: v1::LogSource::from(line.source).into(),
        })
        .collect();
    Ok((lines, at + whole as u64))
}
