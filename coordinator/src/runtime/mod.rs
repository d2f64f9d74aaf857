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
//!
//! All this lasts for one [`term`]. Where several coordinators share a store, the [`conductor`] begins and ends terms as
//! leadership has it; between them this process only says who leads.

mod clock;
mod conductor;
mod counting;
mod driver;
mod handle;
mod opening;
mod outbox;
mod planning;
mod recording;
mod spans;
mod term;
#[cfg(test)]
mod tests;

pub(crate) use conductor::Standing;
pub(crate) use handle::Handle;
pub use handle::Stopped;

use crate::{
    api,
    error::CoordinatorError,
    http,
    leadership::{Candidate, Instance, Keeper, Tenure},
    logs::Logs,
    security::{Gate, Limits, Mode, Policy, Roster, audit::Audit},
    store::{Store, StoreUrl},
};
use braid_proto::VERSION;
use braid_telemetry::metrics::FleetMetrics;
use braid_workload::{Registry, Workload};
use opening::Opened;
use recording::Recording;
use std::{path::PathBuf, sync::Arc, time::Duration};
use term::Term;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;

/// How a coordinator runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its state lives.
    pub store: StoreUrl,
    /// Where its name and the logs of jobs are kept; none are without it.
    pub data_dir: Option<PathBuf>,
    /// `HOST:PORT` at which workers and clients find it, told by the other coordinators of a shared store while it leads.
    pub advertise: String,
    /// What workers must present where nobody is told apart, if anything.
    pub token: Option<String>,
    /// How callers are told apart.
    pub protection: Protection,
    /// The folders that jobs may use; any, without it.
    pub policy: Option<Policy>,
    /// Where to write down what is decided and why, for a [replay](crate::replay); nowhere, without it.
    pub record: Option<PathBuf>,
    /// How long a worker may be silent before its tasks go elsewhere, and a leader before another takes over. At least 1 s;
    /// more than an election of etcd takes.
    pub lease: Duration,
}

/// How callers are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Not at all: they are this process.
    Inside,
    /// Not at all: somebody said `--insecure`.
    Open,
    /// By certificates and tokens; the transport must be TLS with [`Coordinator::serving`].
    Checked {
        /// How long the certificate of a node is valid. It is renewed after two thirds.
        node_life: Duration,
    },
}

/// How long the certificate of a node is valid, unless said otherwise.
pub const DEFAULT_NODE_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Silence of this length loses a worker, unless said otherwise: longer than an election of etcd (about 4 s).
pub const DEFAULT_LEASE: Duration = Duration::from_secs(15);

/// How long a coordinator that has just started may take to learn who leads.
const SETTLE: Duration = Duration::from_secs(5);

/// What all terms of a process share.
struct Shared {
    store: Arc<dyn Store>,
    /// The address of the store, for the log.
    place: String,
    workloads: Registry<dyn Workload>,
    lease: Duration,
    logs: Logs,
    rights: api::Rights,
    tasks: TaskTracker,
    metrics: Arc<FleetMetrics>,
    recording: Option<Recording>,
    /// The way to the engine of the term under way.
    engine: watch::Sender<Option<Handle>>,
}

/// A running coordinator: one that leads, or one of several that stands by.
pub struct Coordinator {
    standing: watch::Receiver<Standing>,
    stopped: watch::Receiver<Option<Stopped>>,
    metrics: Arc<FleetMetrics>,
    engine: watch::Receiver<Option<Handle>>,
    cancel: CancellationToken,
    tasks: TaskTracker,
    gate: Gate,
    roster: Option<Arc<Roster>>,
    is_new_fleet: bool,
}

impl Coordinator {
    /// Opens the store and starts to work. Where the store is one coordinator's alone, it leads when this returns; where
    /// several share it, it stands for the lead, and answers with the address of whoever leads meanwhile.
    ///
    /// # Errors
    /// [`CoordinatorError`] when the store cannot be opened or claimed, or holds what is not Braid's.
    pub async fn start(options: Options, workloads: Registry<dyn Workload>) -> Result<Self, CoordinatorError> {
        let Opened { store, roster, is_new_fleet } = opening::open(&options).await?;
        let is_shared = store.leases().is_some();
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        let audit = match &options.data_dir {
            Some(dir) if options.protection != Protection::Inside => {
                let folder = dir.join("audit");
                let started = Audit::start(&folder, &tasks, cancel.clone());
                started.map_err(|source| CoordinatorError::Audit { folder, source })?
            }
            _ => Audit::none(),
        };
        let mode = match (options.protection, &roster) {
            (Protection::Checked { .. }, Some(roster)) => {
                roster.follow(&tasks, cancel.clone());
                Mode::Checked(Arc::clone(roster))
            }
            (Protection::Inside, _) => Mode::Inside,
            _ => Mode::Open,
        };
        let rights = api::Rights {
            token: options.token.map(Arc::from),
            roster: roster.clone(),
            audit: audit.clone(),
            limits: Limits::new(options.policy, workloads.clone()),
        };
        let metrics = Arc::new(FleetMetrics::new(VERSION));
        let (engine, to_engine) = watch::channel(None);
        let folder = options.data_dir.as_ref().map(|dir| dir.join("logs"));
        let logs = Logs::start(folder, &tasks, cancel.clone(), Arc::clone(&metrics));
        let recording = options
            .record
            .map(|file| Recording::start(&file, &tasks).map_err(|source| CoordinatorError::Recording { file, source }));
        let shared = Shared {
            store,
            place: options.store.to_string(),
            workloads,
            lease: options.lease,
            logs,
            rights,
            tasks: tasks.clone(),
            metrics: Arc::clone(&metrics),
            recording: recording.transpose()?,
            engine,
        };
        let (standing, seen) = watch::channel(Standing::Nobody);
        let (stop, stopped) = watch::channel(None);
        let gate = Gate::new(mode, audit);
        let cancelled = cancel.clone();
        let coordinator =
            Self { standing: seen, stopped, metrics, engine: to_engine, cancel: cancelled, tasks, gate, roster, is_new_fleet };
        if is_shared {
            let instance = match &options.data_dir {
                Some(folder) => Instance::claim(folder, secret()?)?,
                None => Instance::of_this_process(secret()?),
            };
            let candidate = Candidate { instance, advertise: options.advertise, lasts: options.lease };
            let keeper = Keeper::start(options.store, candidate)?;
            coordinator.tasks.spawn(async move {
                let stopped = conductor::conduct(shared, &keeper, &standing, &cancel).await;
                keeper.resign().await;
                keeper.ended().await;
                stop.send_replace(stopped);
            });
            coordinator.settle().await;
        } else {
            let tenure = Tenure::unlimited();
            let term = Term::start(&shared, None, tenure.clone()).await?;
            standing.send_replace(Standing::Leads(term.routes.clone(), tenure));
            coordinator.tasks.spawn(async move {
                tokio::select! {
                    stopped = term.stopped() => {
                        stop.send_replace(Some(stopped));
                        // The others still say what they have to say, with the reason.
                        cancel.cancelled().await;
                    }
                    () = cancel.cancelled() => {}
                }
                term.finish().await;
            });
        }
        Ok(coordinator)
    }

    /// The layer that must stand before whatever is served: it finds out who calls, and refuses who may not.
    pub fn gate(&self) -> Gate {
        self.gate.clone()
    }

    /// Tokens and certificates, where callers are told apart by them.
    pub fn roster(&self) -> Option<&Arc<Roster>> {
        self.roster.as_ref()
    }

    /// Whether this start has made the fleet's CA.
    pub fn is_new_fleet(&self) -> bool {
        self.is_new_fleet
    }

    /// All gRPC services, to be served wherever the caller listens, behind the [gate](Coordinator::gate).
    pub fn routes(&self) -> Routes {
        api::relay(self.standing.clone())
    }

    /// What it counts, for those who serve its services.
    pub fn metrics(&self) -> &Arc<FleetMetrics> {
        &self.metrics
    }

    /// What it serves over HTTP: metrics and health.
    pub fn http(&self) -> axum::Router {
        http::router(Arc::clone(&self.metrics), self.engine.clone())
    }

    /// Resolves only when it had to stop by itself, with the reason: its store cannot be used any more.
    pub async fn stopped(&self) -> Stopped {
        let mut stopped = self.stopped.clone();
        loop {
            if let Some(reason) = stopped.borrow_and_update().clone() {
                return reason;
            }
            if stopped.changed().await.is_err() {
                return Stopped("it is shutting down".into());
            }
        }
    }

    /// Writes what is left, gives the lead up, stops and lets go of the store. Tasks of workers go on; they find the next
    /// coordinator.
    pub async fn shutdown(self) {
        self.cancel.cancel();
        self.tasks.close();
        if tokio::time::timeout(2 * term::FLUSH, self.tasks.wait()).await.is_err() {
            tracing::warn!("some of the coordinator did not end in {} s", 2 * term::FLUSH.as_secs());
        }
    }

    /// Until it is known who leads, so that whoever asks next is answered.
    async fn settle(&self) {
        let mut standing = self.standing.clone();
        let known = standing.wait_for(|standing| !matches!(standing, Standing::Nobody));
        // Else whoever asks is told to try again.
        let _ = tokio::time::timeout(SETTLE, known).await;
    }
}

/// 128 bits that nobody can guess, as text.
fn secret() -> Result<String, CoordinatorError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| CoordinatorError::NoSecret(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
