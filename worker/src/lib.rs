//! The worker: one process on a node that runs tasks for a coordinator.
//!
//! ```text
//!   coordinator ◀──── stream ────▶ session ──── attempts to run ───▶ executor ──▶ compute threads
//!                                     ▲                                                 │
//!                                     └──────────── reports: ends, lines ───────────────┘
//! ```
//! * `session` — the stream to the coordinator, lost and rebuilt as often as need be. Its decisions are a pure state
//!   machine; what was given to this worker and what it has not handed over outlives every stream.
//! * `executor` — the compute threads and the order in which attempts get them.
//! * [`http`] — its metrics and health, for whoever serves them;
//! * [`identity`] — the node's certificate: got once with a token, renewed from then on.
//! * [`measure`] — how fast this node is, at a first guess;
//! * [`Machine`] and [`NodeClaim`] — what this node offers and what it is called.
//!
//! It decides nothing about jobs, keeps nothing on disk but the node's name and identity, and knows no kind of job: those come in as
//! a [`Registry`].

mod bounds;
mod connector;
mod disks;
mod error;
pub mod exchange;
mod executor;
mod gpus;
pub mod http;
pub mod identity;
mod inventory;
mod key;
pub mod measure;
mod meeting;
mod node;
mod options;
pub mod private_file;
mod session;

pub use connector::{ConnectError, Connector};
pub use error::WorkerError;
pub use gpus::{Gpus, GpusError, NoGpus, SeenGpu, SeenGpus};
pub use inventory::Machine;
pub use meeting::Meeting;
pub use node::NodeClaim;
pub use options::{ExchangeEnd, Options};

use braid_workload::{Execute, Registry};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The worker as a component: everything it needs comes in through [`Worker::run`].
#[derive(Debug, Clone, Copy)]
pub struct Worker;

impl Worker {
    /// Serves the coordinator until `cancel` is set or the coordinator refuses this worker for good.
    ///
    /// Losing the coordinator ends nothing: tasks run on, results are kept, and the session is rebuilt. When cancelled,
    /// running tasks are told to stop and given about two seconds to end and be handed over, or as much longer as they have said
    /// that they need.
    ///
    /// # Errors
    /// [`WorkerError::Refused`] when the coordinator will not have this worker as it is (wrong token, other protocol),
    /// [`WorkerError::Threads`] when the compute threads cannot be started. Never for a coordinator that is away.
    pub async fn run(
        options: Options,
        connector: impl Connector,
        executors: Registry<dyn Execute>,
        cancel: CancellationToken,
    ) -> Result<(), WorkerError> {
        session::run(options, Arc::new(connector), executors, cancel).await
    }
}
