//! Believes a server if a CA with the expected fingerprint has signed its certificate for the name that coordinators
//! have. The CA's own certificate comes with the server's: the fingerprint makes it trustworthy, not its source.

use braid_proto::Fingerprint;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::sync::Arc;

/// A verifier for servers of one fleet.
pub(super) fn verifier(ca: Fingerprint) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Pinned { ca, provider: Arc::new(ring::default_provider()) })
}

#[derive(Debug)]
struct Pinned {
    ca: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(ca) = chain.iter().find(|certificate| Fingerprint::of(certificate) == self.ca) else {
            return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        };
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider)).build();
        let verifier = built.map_err(|error| Error::General(error.to_string()))?;
        verifier.verify_server_cert(leaf, &[], name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_proto::COORDINATOR_NAME;
    use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
    use std::time::Duration;

    struct Ca {
        certificate: Certificate,
        issuer: Issuer<'static, KeyPair>,
    }

    fn ca() -> Ca {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Ca { certificate, issuer: Issuer::new(params, key) }
    }

    fn leaf(ca: &Ca, name: &str) -> Certificate {
        CertificateParams::new([name.to_owned()]).unwrap().signed_by(&KeyPair::generate().unwrap(), &ca.issuer).unwrap()
    }

    fn verdict(pinned: &Ca, leaf: &Certificate, sent: &Ca, at: Duration) -> Result<(), String> {
        let name = ServerName::try_from(COORDINATOR_NAME).unwrap();
        let verifier = verifier(Fingerprint::of(pinned.certificate.der()));
        let chain = [sent.certificate.der().clone()];
        let verified = verifier.verify_server_cert(leaf.der(), &chain, &name, &[], UnixTime::since_unix_epoch(at));
        verified.map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn only_a_coordinator_of_the_right_ca_is_believed() {
        let (ours, theirs) = (ca(), ca());
        let now = Duration::from_secs(1_800_000_000);
        let good = leaf(&ours, COORDINATOR_NAME);
        assert_eq!(verdict(&ours, &good, &ours, now), Ok(()));
        let refused = |leaf: &Certificate, sent: &Ca, at| verdict(&ours, leaf, sent, at).unwrap_err();
        assert!(refused(&good, &theirs, now).contains("UnknownIssuer"), "the right CA was not sent");
        let forged = leaf(&theirs, COORDINATOR_NAME);
        assert!(!refused(&forged, &ours, now).is_empty(), "signed by another, beside the right CA");
        assert!(refused(&leaf(&ours, "node.braid"), &ours, now).contains("not valid for name"), "a node is no coordinator");
        let late = Duration::from_secs(200_000_000_000);
        assert!(refused(&good, &ours, late).contains("Expired") || refused(&good, &ours, late).contains("expired"));
    }
}
