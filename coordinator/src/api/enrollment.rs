//! `braid.v1.Enrollment`: how a machine becomes a node, and stays one.

use super::access::kept;
use crate::{
    model::Millis,
    security::{About, Caller, NodeCertificate, Roster, nodes::Issued, tokens::TokenError},
};
use braid_proto::{
    Secret,
    v1::{self, JoinRequest, RenewRequest, enrollment_server::Enrollment},
};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tonic::{Request, Response, Status};

pub(super) struct EnrollmentApi {
    pub(super) roster: Option<Arc<Roster>>,
}

#[tonic::async_trait]
impl Enrollment for EnrollmentApi {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<v1::NodeCertificate>, Status> {
        let node: String = request.get_ref().node.chars().take(64).collect();
        About::note(request.extensions(), || format!("node {node}"));
        let roster = kept(self.roster.as_ref())?;
        let JoinRequest { secret, node, request } = request.into_inner();
        let secret =
            Secret::from_hex(&secret).ok_or_else(|| Status::from(crate::security::SecurityError::from(TokenError::Unknown)))?;
        let made = roster.join(&secret, &node, &request).await?;
        tracing::info!(node, "a machine has joined the fleet");
        Ok(Response::new(view(made, roster.ca().certificate())))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<v1::NodeCertificate>, Status> {
        let roster = kept(self.roster.as_ref())?;
        let Some(Caller::Node { name }) = request.extensions().get::<Caller>().cloned() else {
            return Err(Status::unauthenticated("only a node has a certificate to renew"));
        };
        About::note(request.extensions(), || format!("node {name}"));
        let made = roster.renew(&name, &request.into_inner().request).await?;
        Ok(Response::new(view(made, roster.ca().certificate())))
    }
}

fn view((certificate, issued): (NodeCertificate, Issued), ca: &[u8]) -> v1::NodeCertificate {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let Millis(expires) = issued.expires;
    v1::NodeCertificate {
        certificate: certificate.der,
        issued_unix_millis: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
        expires_unix_millis: expires,
        ca: ca.to_vec(),
    }
}
