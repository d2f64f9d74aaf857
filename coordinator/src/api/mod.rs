//! The gRPC services: decode, check, ask the runtime, answer.
//!
//! Nothing is decided here but who may speak and whether a message can be read.

mod explain;
mod jobs;
mod log_lines;
mod nodes;
mod relay;
mod status;
mod view;
mod workers;

pub(crate) use relay::relay;

use crate::{logs::Logs, runtime::Handle};
use braid_proto::v1::{jobs_server::JobsServer, nodes_server::NodesServer, workers_server::WorkersServer};
use std::{sync::Arc, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;

/// The most that a peer's message may hold: a spec or a value, and what is around it.
const MAX_MESSAGE: usize = 1 << 20;

/// All services.
pub(crate) fn routes(
    handle: &Handle,
    logs: &Logs,
    token: Option<Arc<str>>,
    lease: Duration,
    tasks: &TaskTracker,
    cancel: &CancellationToken,
) -> Routes {
    let jobs = jobs::JobsApi { handle: handle.clone(), logs: logs.clone(), tasks: tasks.clone(), cancel: cancel.clone() };
    let nodes = nodes::NodesApi { handle: handle.clone() };
    let workers = workers::WorkersApi {
        handle: handle.clone(),
        logs: logs.clone(),
        token,
        lease,
        tasks: tasks.clone(),
        cancel: cancel.clone(),
    };
    Routes::new(JobsServer::new(jobs).max_decoding_message_size(MAX_MESSAGE))
        .add_service(NodesServer::new(nodes).max_decoding_message_size(MAX_MESSAGE))
        .add_service(WorkersServer::new(workers).max_decoding_message_size(MAX_MESSAGE))
}
