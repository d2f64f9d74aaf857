//! Runs attempts on compute threads of its own, never on the threads of the runtime that serves the session.
//!
//! One OS thread for each narrow attempt that may run at once, one for the wide one, and one rayon pool that all of them
//! share. The threads live as long as the executor and take their next attempt themselves, so that an empty task costs
//! microseconds. The order is [`queue`]'s. Ends and log lines come back through one bounded queue, in the order in which
//! they happened on a thread: a task's lines before its end.

mod assignment;
mod queue;
mod reports;
mod run;

pub(crate) use assignment::{Assignment, Bytes, Ended, JobSpec, Line, Report};

use crate::{WorkerError, bounds::Bounds, key::Key};
use braid_telemetry::metrics::{TaskEnd, WorkerMetrics};
use braid_workload::{Execute, Failure, FailureKind, Join, LogLine, LogSink, Membership, Progress, Registry, TaskContext};
use queue::{Lane, Queue};
use reports::Reports;
use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroUsize,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio_util::sync::CancellationToken;

/// Reports that may wait for the session before compute threads wait for it.
const REPORTS: usize = 1024;
/// The longest line of a log, in bytes.
const MAX_LINE: usize = 4 << 10;

/// The compute threads of a worker. Dropping it cancels what runs and lets the threads end by themselves.
pub(crate) struct Executor(Arc<Shared>);

struct Shared {
    executors: Registry<dyn Execute>,
    join: Option<Arc<dyn Join>>,
    gpus: Vec<String>,
    bounds: Bounds,
    pool: Arc<rayon::ThreadPool>,
    reports: Arc<Reports>,
    log: LogSink,
    metrics: Arc<WorkerMetrics>,
    state: Mutex<State>,
    narrow_work: Condvar,
    wide_work: Condvar,
}

struct State {
    queue: Queue<Assignment>,
    running: BTreeMap<Key, Running>,
    closed: bool,
}

struct Running {
    cancel: CancellationToken,
    progress: Arc<Progress>,
}

impl Executor {
    /// Starts the threads; `memory` is what all attempts together may hold, `gpus` the names of the GPUs that they may have, and `join` how members of a gang meet.
    ///
    /// # Errors
    /// [`WorkerError::Threads`] when the system grants no more threads.
    pub(crate) fn start(
        threads: NonZeroUsize,
        memory: u64,
        gpus: Vec<String>,
        executors: Registry<dyn Execute>,
        join: Option<Arc<dyn Join>>,
        metrics: Arc<WorkerMetrics>,
        bounds: Bounds,
    ) -> Result<Self, WorkerError> {
        let failed = |message: String| WorkerError::Threads { threads: threads.get(), message };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.get())
            .thread_name(|index| format!("compute-{index}"))
            // Without a handler a panic in a detached piece of work would end the process.
            .panic_handler(|_| tracing::error!("a detached piece of a task panicked"))
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let reports = Arc::new(Reports::new(REPORTS));
        let state = State { queue: Queue::new(threads.get(), memory, gpus.len()), running: BTreeMap::new(), closed: false };
        let executor = Self(Arc::new(Shared {
            executors,
            join,
            gpus,
            bounds,
            pool: Arc::new(pool),
            log: log_sink(Arc::clone(&reports)),
            metrics,
            reports,
            state: Mutex::new(state),
            narrow_work: Condvar::new(),
            wide_work: Condvar::new(),
        }));
        let narrow = (0..threads.get()).map(|index| (Lane::Narrow, format!("task-{index}")));
        for (lane, name) in narrow.chain([(Lane::Wide, "task-wide".to_owned())]) {
            let shared = Arc::clone(&executor.0);
            let spawned = thread::Builder::new().name(name).spawn(move || shared.work(lane));
            spawned.map_err(|error| failed(error.to_string()))?;
        }
        Ok(executor)
    }

    /// What tasks may use.
    pub(crate) fn bounds(&self) -> &Bounds {
        &self.0.bounds
    }

    /// Runs an attempt as soon as its lane and the memory allow. Its end is reported, whatever happens.
    pub(crate) fn submit(&self, assignment: Assignment) {
        let mut state = self.0.lock();
        let lane = state.queue.push(assignment.key, assignment.demand.clone(), assignment);
        drop(state);
        self.0.work_for(lane).notify_one();
    }

    /// Stops an attempt. One that waits is taken out and handed back as ended; one that runs reports its end.
    pub(crate) fn cancel(&self, key: Key) -> Option<Ended> {
        let mut state = self.0.lock();
        if let Some(running) = state.running.get(&key) {
            running.cancel.cancel();
            return None;
        }
        let removed = state.queue.remove(key);
        drop(state);
        // What was taken out may have stood in the way of the rest.
        self.0.narrow_work.notify_one();
        self.0.wide_work.notify_one();
        removed.map(|_| Ended::unstarted(key, Failure::cancelled()))
    }

    /// How far the running attempts are.
    pub(crate) fn progress(&self) -> Vec<(Key, Bytes)> {
        self.0.lock().running.iter().map(|(key, running)| (*key, bytes(&running.progress))).collect()
    }

    /// How long the running attempts may take to end once they are told to, by their own word.
    pub(crate) fn grace(&self) -> Duration {
        self.0.lock().running.values().map(|running| running.progress.grace()).max().unwrap_or_default()
    }

    /// What happened since the last call, at least one thing. May be dropped and called again without loss.
    pub(crate) async fn reports(&self) -> VecDeque<Report> {
        self.0.reports.next().await
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.queue.clear();
        state.running.values().for_each(|running| running.cancel.cancel());
        drop(state);
        self.0.reports.close();
        self.0.narrow_work.notify_all();
        self.0.wide_work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of a task runs under the lock, so a poisoned one has lost nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work_for(&self, lane: Lane) -> &Condvar {
        match lane {
            Lane::Narrow => &self.narrow_work,
            Lane::Wide => &self.wide_work,
        }
    }

    /// The life of a compute thread.
    fn work(&self, lane: Lane) {
        while let Some((assignment, context)) = self.take(lane) {
            let key = assignment.key;
            // Of what a peer sends only the kinds that there are become names of series.
            let kind = self.executors.get(&assignment.kind).map_or("unknown", |executor| executor.kind());
            self.metrics.started(kind);
            let start = Instant::now();
            let outcome = run::run(&self.executors, &self.bounds, assignment, &context);
            let ended = Ended { key, outcome, ran: start.elapsed(), progress: bytes(&context.progress) };
            self.metrics.ended(kind, task_end(&ended), ended.ran, ended.progress.done);
            drop(context);
            let mut state = self.lock();
            state.running.remove(&key);
            state.queue.end(key);
            drop(state);
            self.reports.push(Report::Ended(ended));
        }
    }

    /// Waits for the next attempt of a lane; `None` when there will be no more.
    fn take(&self, lane: Lane) -> Option<(Assignment, TaskContext)> {
        let mut state = self.lock();
        let start = loop {
            if state.closed {
                return None;
            }
            if let Some(start) = state.queue.next(lane) {
                break start;
            }
            // An end gives back memory and a slot: what this lane cannot use, the other may.
            self.wake(&state);
            state = self.work_for(lane).wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        let running = Running { cancel: CancellationToken::new(), progress: Arc::default() };
        let context = TaskContext {
            task: start.key.task,
            attempt: start.key.attempt,
            cancel: running.cancel.clone(),
            progress: Arc::clone(&running.progress),
            log: Arc::clone(&self.log),
            pool: Arc::clone(&self.pool),
            memory: start.memory,
            gpus: start.gpus.iter().filter_map(|place| self.gpus.get(*place).cloned()).collect(),
            membership: start.item.gang.clone().zip(self.join.clone()).map(|(gang, join)| Membership { gang, join }),
        };
        state.running.insert(start.key, running);
        self.wake(&state);
        Some((start.item, context))
    }

    /// Passes the word on to one more thread of each lane that has something to start.
    fn wake(&self, state: &State) {
        for lane in [Lane::Narrow, Lane::Wide] {
            if state.queue.is_ready(lane) {
                self.work_for(lane).notify_one();
            }
        }
    }
}

fn task_end(ended: &Ended) -> TaskEnd {
    match &ended.outcome {
        Ok(_) => TaskEnd::Done,
        Err(failure) => match failure.kind {
            FailureKind::Cancelled => TaskEnd::Cancelled,
            FailureKind::Retry => TaskEnd::Retried,
            FailureKind::Fatal => TaskEnd::Failed,
        },
    }
}

fn bytes(progress: &Progress) -> Bytes {
    Bytes { done: progress.done(), reused: progress.reused() }
}

fn log_sink(reports: Arc<Reports>) -> LogSink {
    Arc::new(move |LogLine { task, mut text, source }| {
        run::shorten(&mut text, MAX_LINE);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        reports.push(Report::Line(Line { task, text, unix_millis, source }));
    })
}

#[cfg(test)]
mod tests;
