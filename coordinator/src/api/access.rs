//! `braid.v1.Access`: tokens, putting nodes out, and the audit log. Who may ask is the gate's business.

use crate::security::{
    About, Caller, Role, Roster,
    audit::{Audit, Entry},
    tokens::{self, Grant, TokenRecord},
};
use braid_proto::v1::{
    self, AuditEntry, AuditRequest, CreateTokenRequest, CreatedToken, ListTokensRequest, ListTokensResponse, RevokeNodeRequest,
    RevokeTokenRequest, RevokedNode, access_server::Access,
};
use std::{sync::Arc, time::Duration};
use tokio_stream::Iter;
use tonic::{Request, Response, Status};

/// Entries where a client does not say how many.
const USUAL: usize = 100;

pub(super) struct AccessApi {
    pub(super) roster: Option<Arc<Roster>>,
    pub(super) audit: Audit,
}

/// The roster, or why there is none.
pub(super) fn kept(roster: Option<&Arc<Roster>>) -> Result<&Arc<Roster>, Status> {
    roster.ok_or_else(|| Status::failed_precondition("this coordinator runs with --insecure: it has no tokens and certificates"))
}

#[tonic::async_trait]
impl Access for AccessApi {
    async fn create_token(&self, request: Request<CreateTokenRequest>) -> Result<Response<CreatedToken>, Status> {
        let roster = kept(self.roster.as_ref())?;
        let grant = grant(request.get_ref().role())?;
        let by = request.extensions().get::<Caller>().map(Caller::to_string).unwrap_or_default();
        let CreateTokenRequest { ttl_seconds, label, projects, .. } = request.get_ref();
        let made = roster.create_for(projects.clone(), grant, label, by, Duration::from_secs(*ttl_seconds)).await?;
        About::note(request.extensions(), || format!("token {} of role {grant} {label}", tokens::id(&made.hash)));
        Ok(Response::new(CreatedToken { token: Some(view(&made.hash, &made.record)), text: made.token.reveal() }))
    }

    async fn list_tokens(&self, _: Request<ListTokensRequest>) -> Result<Response<ListTokensResponse>, Status> {
        let tokens = kept(self.roster.as_ref())?.tokens();
        let mut tokens: Vec<_> = tokens.iter().map(|(hash, record)| view(hash, record)).collect();
        tokens.sort_by_key(|token| token.created_unix_millis);
        Ok(Response::new(ListTokensResponse { tokens }))
    }

    async fn revoke_token(&self, request: Request<RevokeTokenRequest>) -> Result<Response<v1::Token>, Status> {
        let id = &request.get_ref().id;
        About::note(request.extensions(), || format!("token {}", id.chars().take(64).collect::<String>()));
        let (hash, record) = kept(self.roster.as_ref())?.revoke(id).await?;
        Ok(Response::new(view(&hash, &record)))
    }

    async fn revoke_node(&self, request: Request<RevokeNodeRequest>) -> Result<Response<RevokedNode>, Status> {
        let node = &request.get_ref().node;
        About::note(request.extensions(), || format!("node {}", node.chars().take(64).collect::<String>()));
        let at = kept(self.roster.as_ref())?.revoke_node(node).await?;
        Ok(Response::new(RevokedNode { node: node.clone(), revoked_unix_millis: at.0 }))
    }

    type AuditStream = Iter<std::vec::IntoIter<Result<AuditEntry, Status>>>;

    async fn audit(&self, request: Request<AuditRequest>) -> Result<Response<Self::AuditStream>, Status> {
        let last = usize::try_from(request.get_ref().last).ok().filter(|last| *last > 0).unwrap_or(USUAL);
        let read = self.audit.read(last).await;
        let entries = read.map_err(|error| Status::internal(format!("the audit log cannot be read: {error}")))?;
        let entries: Vec<_> = entries.into_iter().map(|entry| Ok(line(entry))).collect();
        Ok(Response::new(tokio_stream::iter(entries)))
    }
}

fn grant(role: v1::Role) -> Result<Grant, Status> {
    match role {
        v1::Role::Node => Ok(Grant::Node),
        v1::Role::Viewer => Ok(Grant::Role(Role::Viewer)),
        v1::Role::Operator => Ok(Grant::Role(Role::Operator)),
        v1::Role::Admin => Ok(Grant::Role(Role::Admin)),
        v1::Role::Unspecified => Err(Status::invalid_argument("a token needs a role")),
    }
}

fn view(hash: &str, record: &TokenRecord) -> v1::Token {
    let role = match record.grant {
        Grant::Node => v1::Role::Node,
        Grant::Role(Role::Viewer) => v1::Role::Viewer,
        Grant::Role(Role::Operator) => v1::Role::Operator,
        Grant::Role(Role::Admin) => v1::Role::Admin,
    };
    v1::Token {
        id: tokens::id(hash).to_owned(),
        role: role.into(),
        label: record.label.clone(),
        created_by: record.created_by.clone(),
        created_unix_millis: record.created.0,
        expires_unix_millis: record.expires.0,
        used_by: record.used.as_ref().map(|used| used.node.clone()),
        projects: record.projects.clone(),
    }
}

fn line(entry: Entry) -> AuditEntry {
    let Entry { at, who, from, what, object, outcome } = entry;
    AuditEntry { unix_millis: at, who, from, what, object, outcome }
}
