//! Who this node is to its fleet: a key that never leaves the machine, and a certificate that is renewed before it ends.
//!
//! ```text
//!   no identity ──join (a token, once)──▶ valid ──two thirds of its life──▶ renew ──▶ valid
//!                                           └──── no coordinator until the end ────▶ expired: a new token
//! ```
//! A session that is open stays open over a renewal: only connections made afterwards show the newer certificate.

mod file;
mod renewal;

pub use renewal::{Renewal, due};

use crate::WorkerError;
use braid_proto::{
    Fingerprint, Secret,
    v1::{self, JoinRequest, RenewRequest, enrollment_client::EnrollmentClient},
};
use braid_workload::NodeId;
use rcgen::{CertificateParams, KeyPair};
use std::{
    fmt,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tonic::{Status, transport::Channel};

/// No coordinator takes longer for a certificate.
const WITHIN: Duration = Duration::from_secs(20);

/// A node's key and certificate, in PEM, and what they belong to.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// By which the fleet's coordinators are known.
    pub ca: Fingerprint,
    /// The CA's certificate, by which nodes know each other; a node that joined an older coordinator has it once it is renewed.
    pub authority: Option<String>,
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// When it was made, in milliseconds since 1970 by this machine's clock.
    pub issued: u64,
    /// When it ends.
    pub expires: u64,
}

/// A key, and the request for a certificate on it: kept together so that a request can be repeated.
pub struct Wish {
    key: KeyPair,
    request: Vec<u8>,
}

impl Wish {
    /// A new key and its request.
    ///
    /// # Errors
    /// [`WorkerError::Identity`] when this machine cannot make one.
    pub fn new() -> Result<Self, WorkerError> {
        let broken = |error: rcgen::Error| WorkerError::Identity(format!("cannot make a key: {error}"));
        let key = KeyPair::generate().map_err(broken)?;
        let request = CertificateParams::default().serialize_request(&key).map_err(broken)?;
        Ok(Self { key, request: request.der().to_vec() })
    }

    fn granted(&self, ca: Fingerprint, granted: &v1::NodeCertificate) -> Identity {
        let issued = now();
        // By the coordinator's clock it lasts so long; this machine's may differ.
        let life = granted.expires_unix_millis.saturating_sub(granted.issued_unix_millis);
        Identity {
            ca,
            // Another's is of no use, and of no harm.
            authority: (Fingerprint::of(&granted.ca) == ca).then(|| file::pem(&granted.ca)),
            certificate: file::pem(&granted.certificate),
            key: self.key.serialize_pem(),
            issued,
            expires: issued.saturating_add(life),
        }
    }
}

impl Identity {
    /// The identity kept in this data directory, if there is one.
    ///
    /// # Errors
    /// [`WorkerError::Data`] when it cannot be read, [`WorkerError::Identity`] when it was tampered with or others can
    /// read it.
    pub fn load(data_dir: &Path) -> Result<Option<Self>, WorkerError> {
        file::load(data_dir)
    }

    /// Keeps it in this data directory, for its owner's eyes.
    ///
    /// # Errors
    /// [`WorkerError::Data`].
    pub fn save(&self, data_dir: &Path) -> Result<(), WorkerError> {
        file::save(self, data_dir)
    }

    /// Joins the coordinator at the other end of `channel`, which has been found to be of the fleet `ca`.
    ///
    /// # Errors
    /// What the coordinator says. UNAVAILABLE and the like pass: the same wish may be sent again.
    pub async fn join(channel: Channel, ca: Fingerprint, secret: &Secret, node: &NodeId, wish: &Wish) -> Result<Self, Status> {
        let request = JoinRequest { secret: secret.to_hex(), node: node.0.clone(), request: wish.request.clone() };
        let mut client = EnrollmentClient::new(channel);
        let granted = bounded(client.join(request)).await?;
        Ok(wish.granted(ca, &granted))
    }

    /// A newer identity from the coordinator at the other end of `channel`, which shows this one.
    ///
    /// # Errors
    /// What the coordinator says.
    pub async fn renew(&self, channel: Channel, wish: &Wish) -> Result<Self, Status> {
        let mut client = EnrollmentClient::new(channel);
        let granted = bounded(client.renew(RenewRequest { request: wish.request.clone() })).await?;
        Ok(wish.granted(self.ca, &granted))
    }

    /// Whether it is over.
    pub fn is_expired(&self) -> bool {
        self.expires <= now()
    }
}

impl fmt::Debug for Identity {
    /// Leaves the key out: it would end in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("ca", &self.ca).field("expires", &self.expires).finish_non_exhaustive()
    }
}

async fn bounded<T>(call: impl Future<Output = Result<tonic::Response<T>, Status>>) -> Result<T, Status> {
    match tokio::time::timeout(WITHIN, call).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("no certificate came in time")),
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
}
