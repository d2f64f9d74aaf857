//! The loop that owns the engine and performs its effects.
//!
//! ```text
//!   Handle ──commands (bounded)──▶ Driver ── engine.step ──▶ Outbox ── changes ──▶ Writer ──▶ store
//!                                    │                          ▲                     │
//!                                    └── placement              └──── durable ────────┘
//!                                                               │
//!                                                               └──▶ workers, clients
//! ```
//! One task owns the engine; everybody else holds a [`Handle`]. The outbox keeps back whatever would tell somebody of a
//! change until that change is durable, in order, so that a crash is never seen to undo something. The loop never waits
//! for the store or for a slow peer: a worker that does not drain its stream loses the stream.

mod clock;
mod driver;
mod handle;
mod outbox;
#[cfg(test)]
mod tests;

pub(crate) use handle::Handle;
pub use handle::Stopped;

use crate::{
    api,
    engine::{Engine, Records, recover},
    error::CoordinatorError,
    logs::Logs,
    model::keys,
    placement::Greedy,
    store::{self, Fence, Store, StoreUrl, Writer, WriterHandle},
};
use braid_workload::{Registry, Workload};
use clock::Clock;
use driver::Driver;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;

/// How a coordinator runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its state lives.
    pub store: StoreUrl,
    /// Where the logs of jobs are kept; none are without it.
    pub data_dir: Option<PathBuf>,
    /// What workers must present, if anything.
    pub token: Option<String>,
    /// How long a worker may be silent before its tasks go elsewhere. At least 1 s; more than an election of etcd takes.
    pub lease: Duration,
}

/// Silence of this length loses a worker, unless said otherwise: longer than an election of etcd (about 4 s).
pub const DEFAULT_LEASE: Duration = Duration::from_secs(15);

/// How long a shutdown waits for the last writes.
const FLUSH: Duration = Duration::from_secs(5);

/// A running coordinator.
pub struct Coordinator {
    handle: Handle,
    routes: Routes,
    cancel: CancellationToken,
    tasks: TaskTracker,
    writer: WriterHandle,
    writing: CancellationToken,
}

impl Coordinator {
    /// Opens the store, claims it, rebuilds the state and starts to work.
    ///
    /// # Errors
    /// [`CoordinatorError`] when the store cannot be opened or claimed, or holds what is not Braid's.
    pub async fn start(options: Options, workloads: Registry<dyn Workload>) -> Result<Self, CoordinatorError> {
        let store = store::open(&options.store).await?;
        let fence = Fence::claim(store.as_ref()).await?;
        let epoch = fence.epoch();
        let clock = Clock::start();
        let records = read(store.as_ref()).await?;
        let state = recover(&records, epoch.0, options.lease, clock.now())?;
        let unfinished = state.jobs().filter(|job| !job.is_over()).count();
        tracing::info!(store = %options.store, %epoch, unfinished, "coordinator starts");

        let (cancel, writing) = (CancellationToken::new(), CancellationToken::new());
        let tasks = TaskTracker::new();
        let logs = Logs::start(options.data_dir.map(|dir| dir.join("logs")), &tasks, cancel.clone());
        let writer = Writer::spawn(store, fence, writing.clone());
        let engine = Engine::new(state, workloads, options.lease, secret()?);
        let (driver, handle) = Driver::new(engine, Box::new(Greedy), writer.clone(), clock);
        tasks.spawn(driver.run(cancel.clone()));
        let routes = api::routes(&handle, &logs, options.token.map(Arc::from), options.lease, &tasks, &cancel);
        Ok(Self { handle, routes, cancel, tasks, writer, writing })
    }

    /// All gRPC services, to be served wherever the caller listens.
    pub fn routes(&self) -> Routes {
        self.routes.clone()
    }

    /// Resolves only when it had to stop by itself, with the reason: another coordinator has claimed the store.
    pub async fn stopped(&self) -> Stopped {
        self.handle.stopped().await
    }

    /// Writes what is left, stops and lets go of the store. Tasks of workers go on; they find the next coordinator.
    pub async fn shutdown(self) {
        self.cancel.cancel();
        self.tasks.close();
        if tokio::time::timeout(FLUSH, self.tasks.wait()).await.is_err() {
            tracing::warn!("the last writes did not reach the store in {} s", FLUSH.as_secs());
        }
        self.writing.cancel();
        // Why it ended was logged by the driver, if it was not told to.
        let _ = tokio::time::timeout(FLUSH, self.writer.ended()).await;
    }
}

/// 128 bits that nobody can guess, as text.
fn secret() -> Result<String, CoordinatorError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| CoordinatorError::NoSecret(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

async fn read(store: &dyn Store) -> Result<Records, CoordinatorError> {
    let mut lists = Vec::new();
    for prefix in [keys::JOBS, keys::SPECS, keys::PLANS, keys::TASKS] {
        let snapshot = store.list(prefix).await?;
        lists.push(snapshot.records.into_iter().map(|(key, at)| (key.as_str().to_owned(), at.value.to_vec())).collect());
    }
    let mut lists = lists.into_iter();
    let mut next = || lists.next().unwrap_or_default();
    Ok(Records { jobs: next(), specs: next(), plans: next(), tasks: next() })
}
