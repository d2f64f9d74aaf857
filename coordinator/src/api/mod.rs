//! The gRPC services: decode, check, ask the runtime, answer.
//!
//! Nothing is decided here but whether a message can be read; who may make a call, the gate of [`security`](crate::security)
//! has decided before.

mod access;
mod enrollment;
mod explain;
mod jobs;
mod log_lines;
mod nodes;
mod probe;
mod projects;
mod relay;
mod status;
mod view;
mod workers;

pub(crate) use relay::relay;

use crate::{
    logs::Logs,
    runtime::Handle,
    security::{Limits, Roster, audit::Audit},
};
use braid_proto::v1::{
    access_server::AccessServer, enrollment_server::EnrollmentServer, jobs_server::JobsServer, nodes_server::NodesServer,
    projects_server::ProjectsServer, workers_server::WorkersServer,
};
use std::{sync::Arc, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;

/// The most that a peer's message may hold: a spec or a value, and what is around it.
const MAX_MESSAGE: usize = 1 << 20;
/// The most of one about rights, which anybody may send: a request for a certificate.
const MAX_REQUEST: usize = 16 << 10;

/// What the services need to know of who may do what.
#[derive(Clone)]
pub(crate) struct Rights {
    /// What workers present where there are no certificates.
    pub(crate) token: Option<Arc<str>>,
    /// Tokens and certificates, unless the coordinator is open.
    pub(crate) roster: Option<Arc<Roster>>,
    /// The log that is read.
    pub(crate) audit: Audit,
    /// What jobs may use.
    pub(crate) limits: Limits,
}

/// All services.
pub(crate) fn routes(
    handle: &Handle,
    logs: &Logs,
    rights: Rights,
    lease: Duration,
    tasks: &TaskTracker,
    cancel: &CancellationToken,
) -> Routes {
    let jobs = jobs::JobsApi {
        handle: handle.clone(),
        logs: logs.clone(),
        limits: rights.limits.clone(),
        tasks: tasks.clone(),
        cancel: cancel.clone(),
    };
    let nodes = nodes::NodesApi { handle: handle.clone() };
    let projects = projects::ProjectsApi { handle: handle.clone() };
    let workers = workers::WorkersApi {
        handle: handle.clone(),
        logs: logs.clone(),
        token: rights.token,
        limits: rights.limits.clone(),
        roster: rights.roster.clone(),
        lease,
        probes: probe::Probes::default(),
        tasks: tasks.clone(),
        cancel: cancel.clone(),
    };
    let enrollment = enrollment::EnrollmentApi { roster: rights.roster.clone() };
    let access = access::AccessApi { roster: rights.roster, audit: rights.audit };
    Routes::new(JobsServer::new(jobs).max_decoding_message_size(MAX_MESSAGE))
        .add_service(ProjectsServer::new(projects).max_decoding_message_size(MAX_MESSAGE))
        .add_service(NodesServer::new(nodes).max_decoding_message_size(MAX_MESSAGE))
        .add_service(EnrollmentServer::new(enrollment).max_decoding_message_size(MAX_REQUEST))
        .add_service(AccessServer::new(access).max_decoding_message_size(MAX_REQUEST))
        .add_service(WorkersServer::new(workers).max_decoding_message_size(MAX_MESSAGE))
}
