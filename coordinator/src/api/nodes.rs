//! `braid.v1.Nodes`.

use super::view;
use crate::runtime::Handle;
use braid_proto::v1::{ListNodesRequest, ListNodesResponse, nodes_server::Nodes};
use tonic::{Request, Response, Status};

pub(super) struct NodesApi {
    pub(super) handle: Handle,
}

#[tonic::async_trait]
impl Nodes for NodesApi {
    async fn list(&self, _: Request<ListNodesRequest>) -> Result<Response<ListNodesResponse>, Status> {
        let nodes = self.handle.read(|state| state.nodes().map(view::node).collect()).await?;
        Ok(Response::new(ListNodesResponse { nodes }))
    }
}
