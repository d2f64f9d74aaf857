//! `braid.v1.Projects`.

use crate::{
    engine::State,
    model::{Amount, Project, Quota},
    runtime::Handle,
    security::About,
};
use braid_proto::v1::{self, ListProjectsRequest, ListProjectsResponse, project::Limits, projects_server::Projects};
use std::collections::{BTreeMap, BTreeSet};
use tonic::{Request, Response, Status};

pub(super) struct ProjectsApi {
    pub(super) handle: Handle,
}

#[tonic::async_trait]
impl Projects for ProjectsApi {
    async fn list(&self, _: Request<ListProjectsRequest>) -> Result<Response<ListProjectsResponse>, Status> {
        let projects = self.handle.read(all).await?;
        Ok(Response::new(ListProjectsResponse { projects }))
    }

    async fn set(&self, request: Request<v1::Project>) -> Result<Response<v1::Project>, Status> {
        About::note(request.extensions(), || format!("project {}", request.get_ref().name.chars().take(64).collect::<String>()));
        let v1::Project { name, weight, quota, .. } = request.into_inner();
        let Limits { threads, memory, gpus } = quota.unwrap_or_default();
        let project = Project { weight, quota: Quota { threads, memory, gpus } };
        self.handle.set_project(name.clone(), project.clone()).await??;
        let used = self.handle.read(State::used).await?;
        Ok(Response::new(view(&name, &project, used.get(&name).copied().unwrap_or_default())))
    }
}

fn all(state: &State) -> Vec<v1::Project> {
    let (used, said) = (state.used(), state.projects().collect::<BTreeMap<&str, &Project>>());
    let names: BTreeSet<&str> = used.keys().map(String::as_str).chain(said.keys().copied()).collect();
    let of = |name: &str| {
        let project = said.get(name).map(|project| (*project).clone()).unwrap_or_default();
        view(name, &project, used.get(name).copied().unwrap_or_default())
    };
    names.into_iter().map(of).collect()
}

fn view(name: &str, project: &Project, used: Amount) -> v1::Project {
    let Quota { threads, memory, gpus } = project.quota;
    let used = Limits { threads: Some(used.threads), memory: Some(used.memory), gpus: Some(used.gpus) };
    v1::Project { name: name.to_owned(), weight: project.weight, quota: Some(Limits { threads, memory, gpus }), used: Some(used) }
}
