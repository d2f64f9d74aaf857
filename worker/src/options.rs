//! What a worker is told when it starts.

use braid_workload::{Join, NodeId};
use std::{fmt, num::NonZeroUsize, sync::Arc};

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
    /// Where this worker is, in words for people: a host name, or `in process`.
    pub address: String,
    /// Its end of the exchange; without one it can be in no gang.
    pub exchange: Option<ExchangeEnd>,
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
        let Self { node, threads, memory, token, address, exchange } = self;
        f.debug_struct("Options")
            .field("node", node)
            .field("threads", threads)
            .field("memory", memory)
            .field("token", &token.as_ref().map(|_| ".."))
            .field("address", address)
            .field("exchange", &exchange.as_ref().map(|end| &end.address))
            .finish()
    }
}
