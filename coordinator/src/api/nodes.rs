//! `braid.v1.Nodes`.

use super::{status::malformed, view};
use crate::{
    engine::{NodeWish, State},
    runtime::Handle,
    security::About,
};
use braid_proto::{
    DecodeError,
    v1::{
        self, ChangeNodeRequest, GetNodeRequest, ListNodesRequest, ListNodesResponse, change_node_request::Change,
        nodes_server::Nodes,
    },
};
use braid_workload::NodeId;
use std::time::Duration;
use tonic::{Request, Response, Status};

pub(super) struct NodesApi {
    pub(super) handle: Handle,
}

#[tonic::async_trait]
impl Nodes for NodesApi {
    async fn list(&self, _: Request<ListNodesRequest>) -> Result<Response<ListNodesResponse>, Status> {
        let nodes = self.handle.read(all).await?;
        Ok(Response::new(ListNodesResponse { nodes }))
    }

    async fn get(&self, request: Request<GetNodeRequest>) -> Result<Response<v1::Node>, Status> {
        self.view(request.into_inner().name).await.map(Response::new)
    }

    async fn change(&self, request: Request<ChangeNodeRequest>) -> Result<Response<v1::Node>, Status> {
        About::note(request.extensions(), || about(request.get_ref()));
        let ChangeNodeRequest { name, change } = request.into_inner();
        let change = change.ok_or_else(|| malformed(&DecodeError::missing("ChangeNodeRequest", "change")))?;
        self.handle.change_node(NodeId(name.clone()), wish(change)).await??;
        // One that is absent and about which there is nothing left to say is known no more.
        let gone = || v1::Node { name: name.clone(), state: v1::NodeState::Away.into(), ..v1::Node::default() };
        Ok(Response::new(self.view(name.clone()).await.unwrap_or_else(|_| gone())))
    }
}

impl NodesApi {
    async fn view(&self, name: String) -> Result<v1::Node, Status> {
        let missing = Status::not_found(format!("there is no node {name}"));
        self.handle.read(move |state| all(state).into_iter().find(|node| node.name == name)).await?.ok_or(missing)
    }
}

fn all(state: &State) -> Vec<v1::Node> {
    let here = state.nodes().map(view::node);
    here.chain(state.absent_nodes().map(|(id, upkeep)| view::absent_node(id, upkeep))).collect()
}

/// Which node, and what is said of it, for the audit log.
fn about(request: &ChangeNodeRequest) -> String {
    let name: String = request.name.chars().take(64).collect();
    let said = match &request.change {
        Some(Change::Cordon(_)) => "cordon",
        Some(Change::Uncordon(_)) => "uncordon",
        Some(Change::Drain(_)) => "drain",
        Some(Change::Label(_)) => "label",
        None => "nothing",
    };
    format!("node {name} ({said})")
}

fn wish(change: Change) -> NodeWish {
    match change {
        Change::Cordon(_) => NodeWish::Cordon,
        Change::Uncordon(_) => NodeWish::Uncordon,
        Change::Drain(drain) => NodeWish::Drain(drain.within_millis.map(Duration::from_millis)),
        Change::Label(labels) => {
            let set = labels.set.into_iter().map(|(name, value)| (name, Some(value)));
            NodeWish::Label(set.chain(labels.remove.into_iter().map(|name| (name, None))).collect())
        }
    }
}
