//! What a task gets from the worker that runs it.

use crate::{AttemptId, Exchange, ExchangeError, Membership, TaskId, exchange};
use serde::{Deserialize, Serialize};
use std::{
    fmt::Display,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How often a task that talks to others is asked whether it must stop.
const LOOK_EVERY: Duration = Duration::from_millis(20);

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
    /// The GPUs that are this task's alone while it runs, by the names that CUDA knows on the node.
    pub gpus: Vec<String>,
    /// The way to the other members, if this task is in a gang.
    pub membership: Option<Membership>,
}

/// How far a task is, in bytes read and written of what its demand names, and how fast it can end. Written by compute threads,
/// read by the session.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    reused: AtomicU64,
    /// Milliseconds.
    grace: AtomicU64,
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
    /// Who says it.
    pub source: LogSource,
}

/// Who says a line of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    /// The task itself, for people.
    #[default]
    Task,
    /// A program that it runs, on its standard output.
    Stdout,
    /// A program that it runs, on its standard error.
    Stderr,
}

impl TaskContext {
    /// Whether the task must stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Meets the other members of the task's gang and does `work` with them. A task in no gang is alone with itself.
    ///
    /// When this task is told to stop, or its work fails, the exchange ends for all members.
    ///
    /// # Errors
    /// Those of `work`, and those of meeting the others.
    pub fn together<R, E: From<ExchangeError> + Display>(
        &self,
        work: impl FnOnce(&dyn Exchange) -> Result<R, E>,
    ) -> Result<R, E> {
        let exchange: Arc<dyn Exchange> = match &self.membership {
            Some(Membership { gang, join }) => join.join(gang, &self.cancel).inspect_err(|error| self.late(error))?,
            None => Arc::new(exchange::local::group(1).remove(0)),
        };
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let watch = scope.spawn(|| {
                while !over.load(Ordering::Acquire) {
                    if self.is_cancelled() {
                        return exchange.abort("it was told to stop");
                    }
                    thread::park_timeout(LOOK_EVERY);
                }
            });
            // Also when the work panics: the scope waits for the watch.
            let _over = Over { over: &over, watch: watch.thread() };
            let done = work(&*exchange);
            if let Err(error) = &done {
                exchange.abort(&error.to_string());
            }
            done
        })
    }

    /// Says which members a gang waited for in vain: its end is no failure, which would be told elsewhere.
    fn late(&self, error: &ExchangeError) {
        if let ExchangeError::Deadline { operation: exchange::Operation::Connect, .. } = error {
            self.log(format!("the gang has not started, is released, and waits again: {error}"));
        }
    }

    /// Writes a line to the log of the task.
    pub fn log(&self, text: impl Into<String>) {
        self.log_from(LogSource::Task, text);
    }

    /// Passes a line on to the log of the task.
    pub fn log_from(&self, source: LogSource, text: impl Into<String>) {
        (self.log)(LogLine { task: self.task, text: text.into(), source });
    }
}

/// Ends the watch over a task's work when it is dropped.
struct Over<'a> {
    over: &'a AtomicBool,
    watch: &'a Thread,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        self.watch.unpark();
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

    /// Says how long the task may take to end once it is told to: a worker that is to end waits for so long. A task that says
    /// nothing looks at its flag ten times a second.
    pub fn set_grace(&self, grace: Duration) {
        self.grace.store(u64::try_from(grace.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long the task may take to end once it is told to.
    pub fn grace(&self) -> Duration {
        Duration::from_millis(self.grace.load(Ordering::Relaxed))
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
