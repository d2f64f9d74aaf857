//! How a worker comes to be a node of a fleet, and stays one: the certificate in its data folder, or one for a token.

use crate::{
    address::Addresses,
    console::Console,
    error::{Error, Result},
    leader, status,
    trust::{Me, Trust, read_token},
    wire,
};
use braid_proto::{
    Purpose, Token,
    v1::{ProbeRequest, workers_client::WorkersClient},
};
use braid_worker::{
    ConnectError,
    identity::{Identity, Renewal, Wish},
};
use braid_workload::NodeId;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, transport::Channel};

/// The pause between two tries to join.
const RETRY: Duration = Duration::from_secs(1);
/// A coordinator that takes longer to say whether a certificate counts does not hold up a start.
const ASKED_WITHIN: Duration = Duration::from_secs(5);

/// How a worker is known to the coordinator.
#[derive(Debug, Clone)]
pub(super) enum Membership {
    /// Not at all: somebody said `--insecure`.
    Plaintext,
    /// By the certificate that is in use at the moment.
    Node(watch::Receiver<Identity>),
}

impl Membership {
    /// How to reach a coordinator now.
    pub(super) fn trust(&self) -> Trust {
        match self {
            Self::Plaintext => Trust::Plaintext,
            Self::Node(identity) => as_node(&identity.borrow()),
        }
    }
}

fn as_node(identity: &Identity) -> Trust {
    Trust::Tls { ca: identity.ca, me: Me::Node(tonic::transport::Identity::from_pem(&identity.certificate, &identity.key)) }
}

/// A worker that is to be of a fleet.
pub(super) struct Applicant<'a> {
    pub(super) coordinators: &'a Addresses,
    pub(super) data_dir: &'a Path,
    pub(super) node: &'a NodeId,
    pub(super) token: Option<&'a str>,
}

impl Applicant<'_> {
    /// The identity that is kept and still good, or else a new one for the token. Waits for a coordinator that is away. One that was
    /// put out and has got a new token joins with it.
    pub(super) async fn identity(&self, console: &Console) -> Result<Identity> {
        let kept = Identity::load(self.data_dir).map_err(super::worker_error)?;
        let token = self.token.map(read_token).transpose()?;
        match (kept, token) {
            (Some(kept), Some(token)) if kept.ca != token.ca => Err(Error::usage(format!(
                "the data folder {} is that of a node of another fleet than the token's",
                self.data_dir.display()
            ))
            .with_hint("give the worker another --data-dir")),
            (Some(kept), Some(token)) if !kept.is_expired() && self.is_put_out(&kept).await => self.join(&token, console).await,
            (Some(kept), _) if !kept.is_expired() => Ok(kept),
            (_, Some(token)) => self.join(&token, console).await,
            (Some(_), None) => Err(without_token(format!("the certificate of node {} has expired", self.node))),
            (None, None) => Err(without_token(format!("node {} has not joined the fleet yet", self.node))),
        }
    }

    /// Whether the fleet has revoked what is kept. One that cannot be asked now is asked again by the session.
    async fn is_put_out(&self, kept: &Identity) -> bool {
        let asked = async {
            let channel = find(self.coordinators, &as_node(kept)).await?;
            WorkersClient::new(channel).probe(ProbeRequest { bytes: 0 }).await
        };
        match tokio::time::timeout(ASKED_WITHIN, asked).await {
            Ok(Err(status)) => status.code() == Code::PermissionDenied,
            Ok(Ok(_)) | Err(_) => false,
        }
    }

    async fn join(&self, token: &Token, console: &Console) -> Result<Identity> {
        if token.purpose != Purpose::Join {
            return Err(without_token("a person's token lets no machine join".to_owned()));
        }
        let wish = Wish::new().map_err(super::worker_error)?;
        let trust = Trust::Tls { ca: token.ca, me: Me::Stranger };
        let mut said = None;
        loop {
            let joined = match find(self.coordinators, &trust).await {
                Ok(channel) => Identity::join(channel, token.ca, &token.secret, self.node, &wish).await,
                Err(status) => Err(status),
            };
            match joined {
                Ok(identity) => {
                    identity.save(self.data_dir).map_err(super::worker_error)?;
                    console.note(&format!("node {} has joined the fleet", self.node));
                    return Ok(identity);
                }
                Err(status) if !status::is_passing(status.code()) => {
                    return Err(status::error(&self.coordinators.to_string(), &status));
                }
                Err(status) => {
                    if said.as_deref() != Some(status.message()) {
                        tracing::warn!("cannot join yet: {}; trying again", status.message());
                        said = Some(status.message().to_owned());
                    }
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

fn without_token(message: String) -> Error {
    Error::usage(message).with_hint("`braid token create` makes a join token; give it with --token or in BRAID_TOKEN")
}

/// Keeps the certificate fresh in the background, until it is cancelled.
pub(super) fn keep(identity: Identity, data_dir: PathBuf, coordinators: Addresses, cancel: CancellationToken) -> Membership {
    let (send, receive) = watch::channel(identity);
    let connect = move |identity: Identity| {
        let coordinators = coordinators.clone();
        async move { dial(&coordinators, &as_node(&identity)).await }
    };
    tokio::spawn(Renewal { identity: send, data_dir, connect }.run(cancel));
    Membership::Node(receive)
}

/// Connects to the coordinator that leads, as workers do.
pub(super) async fn dial(coordinators: &Addresses, trust: &Trust) -> std::result::Result<Channel, ConnectError> {
    find(coordinators, trust).await.map_err(|status| ConnectError::from(status.message().to_owned()))
}

async fn find(coordinators: &Addresses, trust: &Trust) -> std::result::Result<Channel, Status> {
    let found = leader::find(coordinators, |address| wire::dial(address, trust.clone())).await;
    Ok(found.map_err(|status| wire::in_plaintext(status, trust))?.1)
}
