//! The policy at submit: which folders a job may use. The worker that runs it looks again, where the files are.

use braid_proto::v1;
use braid_workload::{Registry, Roots, Workload};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tonic::Status;

/// How long a file system may take to say where a link leads.
const WITHIN: Duration = Duration::from_secs(10);

/// What jobs may use, and how to find out what they would.
#[derive(Clone)]
pub(crate) struct Limits {
    policy: Option<Arc<Roots>>,
    workloads: Registry<dyn Workload>,
}

impl Limits {
    pub(crate) fn new(policy: Option<Roots>, workloads: Registry<dyn Workload>) -> Self {
        Self { policy: policy.map(Arc::new), workloads }
    }

    /// Whether a job may be submitted.
    pub(crate) async fn check(&self, kind: &str, spec: &Value) -> Result<(), Status> {
        let Some(policy) = self.policy.clone() else { return Ok(()) };
        // What is unknown or cannot be read is refused by the engine, in its own words.
        let Some(workload) = self.workloads.get(kind) else { return Ok(()) };
        let Ok(reach) = workload.reach(spec) else { return Ok(()) };
        let kind = workload.kind();
        let look = tokio::task::spawn_blocking(move || policy.check(kind, &reach, false).map_err(|error| error.to_string()));
        match tokio::time::timeout(WITHIN, look).await {
            Ok(Ok(verdict)) => verdict.map_err(Status::permission_denied),
            Ok(Err(error)) => Err(Status::internal(format!("the policy cannot be applied: {error}"))),
            Err(_) => Err(Status::unavailable("a file system that the job names does not answer")),
        }
    }

    /// The policy as workers are told.
    pub(crate) fn bounds(&self) -> Option<v1::Bounds> {
        let policy = self.policy.as_ref()?;
        let paths = |paths: &[std::path::PathBuf]| paths.iter().map(|path| path.display().to_string()).collect();
        Some(v1::Bounds {
            read: paths(&policy.read),
            write: paths(&policy.write),
            unbounded: policy.unbounded.clone(),
            rule: policy.rule.clone(),
        })
    }
}
