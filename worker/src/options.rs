//! What a worker is told when it starts.

use crate::{Gpus, SeenGpus, measure::Measured};
use braid_telemetry::metrics::WorkerMetrics;
use braid_workload::{Join, NodeId, Roots};
use std::{collections::BTreeMap, fmt, num::NonZeroUsize, path::PathBuf, sync::Arc};

/// What a worker is told when it starts. [`Machine`](crate::Machine) knows good values for threads and memory.
#[derive(Clone)]
pub struct Options {
    /// The node's name, the same after a restart; from [`NodeClaim`](crate::NodeClaim).
    pub node: NodeId,
    /// Compute threads: so many narrow tasks run at once, and a wide task spreads over as many.
    pub threads: NonZeroUsize,
    /// Bytes that all running tasks together may hold.
    pub memory: u64,
    /// What the coordinator asks of those who join.
    pub token: Option<String>,
    /// The folders that tasks may use; any, without it. A coordinator may bound them further.
    pub roots: Option<Roots>,
    /// Where this worker is, in words for people: a host name, or `in process`.
    pub address: String,
    /// Its end of the exchange; without one it can be in no gang.
    pub exchange: Option<ExchangeEnd>,
    /// The GPUs that tasks may have.
    pub gpus: Gpus,
    /// What people say about the node, for tasks that ask for it: `rack=7`.
    pub labels: BTreeMap<String, String>,
    /// Those GPUs and others of this machine one by one, if a driver was asked.
    pub seen_gpus: SeenGpus,
    /// Bytes per second to where the data is, if known.
    pub link: Option<u64>,
    /// Bytes per second of the node's own disks, if known.
    pub disk: Option<u64>,
    /// How fast it was when it was looked at.
    pub measured: Option<Measured>,
    /// Where it keeps what is its own, if anywhere.
    pub data_dir: Option<PathBuf>,
    /// What it counts; served by [`http`](crate::http), if by anybody.
    pub metrics: Arc<WorkerMetrics>,
}

/// How members of a gang on other workers are reached, and reach this one.
#[derive(Clone)]
pub struct ExchangeEnd {
    /// Where the others reach this worker: `host:port`.
    pub address: String,
    /// Meets them.
    pub join: Arc<dyn Join>,
}

impl fmt::Debug for Options {
    /// Leaves the token out: it would end in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node,
            threads,
            memory,
            token,
            roots,
            address,
            exchange,
            gpus,
            labels,
            seen_gpus,
            link,
            disk,
            measured,
            data_dir,
            metrics: _,
        } = self;
        f.debug_struct("Options")
            .field("node", node)
            .field("threads", threads)
            .field("memory", memory)
            .field("token", &token.as_ref().map(|_| ".."))
            .field("roots", roots)
            .field("address", address)
            .field("exchange", &exchange.as_ref().map(|end| &end.address))
            .field("gpus", gpus)
            .field("labels", labels)
            .field("seen_gpus", seen_gpus)
            .field("link", link)
            .field("disk", disk)
            .field("measured", measured)
            .field("data_dir", data_dir)
            .finish_non_exhaustive()
    }
}
