//! What a task gets from the worker that runs it.

use crate::{AttemptId, Exchange, Failure, Membership, TaskId, exchange};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio_util::sync::CancellationToken;

/// Everything a running task may use of its worker.
#[derive(Clone)]
pub struct TaskContext {
    /// Which task this is.
    pub task: TaskId,
    /// Which try of it.
    pub attempt: AttemptId,
    /// Set when the task must stop; ask [`TaskContext::is_cancelled`] at least every 100 ms of work.
    pub cancel: CancellationToken,
    /// How far the task is.
    pub progress: Arc<Progress>,
    /// Where its lines go.
    pub log: LogSink,
    /// The worker's compute threads, shared by its tasks.
    pub pool: Arc<rayon::ThreadPool>,
    /// The bytes of memory that this task may hold at most.
    pub memory: u64,
    /// The way to the other members, if this task is in a gang.
    pub membership: Option<Membership>,
}

/// How far a task is, in bytes read and written of what its demand names. Written by compute threads, read by the session.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    reused: AtomicU64,
}

/// Takes the lines that a task writes for people.
pub type LogSink = Arc<dyn Fn(LogLine) + Send + Sync>;

/// A line of a task's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The task that says it.
    pub task: TaskId,
    /// One line of text.
    pub text: String,
}

impl TaskContext {
    /// Whether the task must stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Meets the other members of the task's gang. A task in no gang is alone with itself. Set `cancel` ends the exchange.
    ///
    /// # Errors
    /// A [`Failure`] that is not held against the task when another member is gone, and a retry otherwise.
    pub fn exchange(&self) -> Result<Arc<dyn Exchange>, Failure> {
        match &self.membership {
            Some(Membership { gang, join }) => Ok(join.join(gang, &self.cancel)?),
            None => match exchange::local::group(1).pop() {
                Some(alone) => Ok(Arc::new(alone)),
                None => Err(Failure::fatal("a group of one has no member")),
            },
        }
    }

    /// Writes a line to the log of the task.
    pub fn log(&self, text: impl Into<String>) {
        (self.log)(LogLine { task: self.task, text: text.into() });
    }
}

impl Progress {
    /// Counts bytes that the task has just read or written.
    pub fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes that an earlier run had done and this one could keep.
    pub fn add_reused(&self, bytes: u64) {
        self.reused.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes done by this run so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Bytes kept from an earlier run.
    pub fn reused(&self) -> u64 {
        self.reused.load(Ordering::Relaxed)
    }
}
