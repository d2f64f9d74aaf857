//! The policy at submit: which folders a job may use. The worker that runs it looks again, where the files are.

use super::{Caller, Policy, Role};
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
    policy: Option<Arc<Policy>>,
    workloads: Registry<dyn Workload>,
}

impl Limits {
    pub(crate) fn new(policy: Option<Policy>, workloads: Registry<dyn Workload>) -> Self {
        Self { policy: policy.map(Arc::new), workloads }
    }

    /// Whether a job of this project may be submitted by somebody of this role.
    pub(crate) async fn check(&self, kind: &str, spec: &Value, project: &str, role: Role) -> Result<(), Status> {
        let Some(policy) = &self.policy else { return Ok(()) };
        // What is unknown or cannot be read is refused by the engine, in its own words.
        let Some(workload) = self.workloads.get(kind) else { return Ok(()) };
        let Ok(reach) = workload.reach(spec) else { return Ok(()) };
        let (kind, roots) = (workload.kind(), policy.of(project, role));
        let look = tokio::task::spawn_blocking(move || roots.check(kind, &reach, false).map_err(|error| error.to_string()));
        match tokio::time::timeout(WITHIN, look).await {
            Ok(Ok(verdict)) => verdict.map_err(Status::permission_denied),
            Ok(Err(error)) => Err(Status::internal(format!("the policy cannot be applied: {error}"))),
            Err(_) => Err(Status::unavailable("a file system that the job names does not answer")),
        }
    }

    /// What workers are told that everybody's jobs may use.
    pub(crate) fn bounds(&self) -> Option<v1::Bounds> {
        self.policy.as_ref().map(|policy| bounds(policy.everybody()))
    }

    /// What they are told with a job of this project that somebody of this role has submitted, where that is something else.
    pub(crate) fn bounds_of(&self, project: &str, role: Role) -> Option<v1::Bounds> {
        let policy = self.policy.as_ref().filter(|policy| !policy.rules.is_empty())?;
        Some(bounds(policy.of(project, role)))
    }

    /// The folders of all that anybody may use.
    pub(crate) fn folders(&self) -> Vec<String> {
        self.policy.iter().flat_map(|policy| policy.folders()).map(|folder| folder.display().to_string()).collect()
    }
}

/// The project of a job that this caller wishes for `wanted`, and the role that counts for it.
///
/// # Errors
/// PERMISSION_DENIED when the caller's token is for other projects.
pub(crate) fn standing(caller: Option<&Caller>, wanted: String) -> Result<(String, Role), Status> {
    match caller {
        Some(Caller::Person { role, token, projects, .. }) => match projects.first() {
            // One who may work for some projects and names none means the first.
            Some(first) if wanted.is_empty() => Ok((first.clone(), *role)),
            Some(_) if !projects.contains(&wanted) => Err(Status::permission_denied(format!(
                "the token {token} is for jobs of {}, not of project {wanted}",
                list(projects)
            ))),
            _ => Ok((wanted, *role)),
        },
        // Nobody says who it is, so nobody is kept from anything.
        Some(Caller::Inside | Caller::Anybody) => Ok((wanted, Role::Admin)),
        Some(Caller::Stranger | Caller::Node { .. }) | None => Ok((wanted, Role::Viewer)),
    }
}

fn list(projects: &[String]) -> String {
    let word = if projects.len() == 1 { "project" } else { "the projects" };
    format!("{word} {}", projects.join(", "))
}

fn bounds(roots: Roots) -> v1::Bounds {
    let paths = |paths: &[std::path::PathBuf]| paths.iter().map(|path| path.display().to_string()).collect();
    v1::Bounds { read: paths(&roots.read), write: paths(&roots.write), unbounded: roots.unbounded, rule: roots.rule }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_for_some_projects_is_for_no_others() {
        let person = |projects: &[&str]| {
            let projects = projects.iter().map(|&name| name.to_owned()).collect();
            Caller::Person { role: Role::Operator, token: "t".into(), label: "l".into(), projects }
        };
        let said = |caller: &Caller, project: &str| {
            standing(Some(caller), project.into()).map(|(project, _)| project).map_err(|status| status.message().to_owned())
        };
        assert_eq!(said(&person(&[]), "b"), Ok("b".into()));
        assert_eq!(said(&person(&[]), ""), Ok(String::new()));
        assert_eq!(said(&person(&["a", "b"]), "b"), Ok("b".into()));
        assert_eq!(said(&person(&["a", "b"]), ""), Ok("a".into()));
        assert_eq!(said(&person(&["a"]), "b"), Err("the token t is for jobs of project a, not of project b".into()));
        assert_eq!(
            said(&person(&["a", "b"]), "default"),
            Err("the token t is for jobs of the projects a, b, not of project default".into())
        );
        assert_eq!(standing(Some(&Caller::Anybody), "x".into()).unwrap().1, Role::Admin);
        assert_eq!(standing(None, "x".into()).unwrap().1, Role::Viewer);
    }
}
