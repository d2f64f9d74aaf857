//! TLS between members: each shows its node's certificate and believes those that the fleet's CA has signed for a node.
//!
//! Which node it is does not matter here: that it is of the gang is proved by the gang's token. A node that was put out still has its
//! certificate until that is over, but is told of no gang any more.

use crate::identity::Identity;
use braid_proto::Fingerprint;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    server::{
        NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::TLS13,
};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// How both ends of a connection are set up.
#[derive(Clone)]
pub(super) struct Ends {
    pub(super) client: Arc<ClientConfig>,
    pub(super) server: Arc<ServerConfig>,
}

/// The node's identity as the exchange uses it: as it is at the moment, for it is renewed.
pub(super) struct Tls {
    identity: watch::Receiver<Identity>,
    /// What was made of it last, and of which certificate.
    made: Mutex<Option<(String, Ends)>>,
}

impl Tls {
    pub(super) fn new(identity: watch::Receiver<Identity>) -> Self {
        Self { identity, made: Mutex::new(None) }
    }

    /// How a connection that is made now is set up.
    ///
    /// # Errors
    /// Why the identity does not do.
    pub(super) fn ends(&self) -> Result<Ends, String> {
        let identity = self.identity.borrow().clone();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some((certificate, ends)) if *certificate == identity.certificate => Ok(ends.clone()),
            _ => {
                let ends = ends(&identity)?;
                *made = Some((identity.certificate, ends.clone()));
                Ok(ends)
            }
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

fn ends(identity: &Identity) -> Result<Ends, String> {
    let wrong = |what: &'static str| move |error: &dyn fmt::Display| format!("{what} of this node does not do for TLS: {error}");
    let authority =
        identity.authority.as_deref().ok_or("this node does not have its fleet's CA yet: its certificate is renewed soon")?;
    let ca = CertificateDer::from_pem_slice(authority.as_bytes()).map_err(|error| wrong("the CA")(&error))?;
    if Fingerprint::of(&ca) != identity.ca {
        return Err("the CA of this node is not that of its fleet".to_owned());
    }
    let leaf =
        || CertificateDer::from_pem_slice(identity.certificate.as_bytes()).map_err(|error| wrong("the certificate")(&error));
    let key = || PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(|error| wrong("the key")(&error));
    let provider = Arc::new(provider());
    let mut roots = RootCertStore::empty();
    roots.add(ca).map_err(|error| wrong("the CA")(&error))?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let verifier = verifier.map_err(|error| wrong("the CA")(&error))?;
    let members = Arc::new(Members(Arc::clone(&verifier)));
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[&TLS13]);
    let client = client.map_err(|error| wrong("TLS")(&error))?.dangerous().with_custom_certificate_verifier(members);
    let mut client = client.with_client_auth_cert(vec![leaf()?], key()?).map_err(|error| wrong("the key")(&error))?;
    client.enable_sni = false;
    client.resumption = Resumption::disabled();
    let server = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
    let server = server.map_err(|error| wrong("TLS")(&error))?.with_client_cert_verifier(verifier);
    let mut server = server.with_single_cert(vec![leaf()?], key()?).map_err(|error| wrong("the key")(&error))?;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(Ends { client: Arc::new(client), server: Arc::new(server) })
}

/// With the cheapest of the ciphers first: all are strong, and this one moves the most bytes.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider
}

/// Believes one that listens if it would be believed when it dialled: nodes have no names that a client could ask for.
#[derive(Debug)]
struct Members(Arc<dyn ClientCertVerifier>);

impl ServerCertVerifier for Members {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.verify_client_cert(leaf, chain, now).map(|_: ClientCertVerified| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}
