//! The fleet's certificate authority: makes itself, certificates of coordinators and of nodes, and reads whose a
//! certificate is. All keys are ECDSA on P-256.
//!
//! A coordinator's certificate is for serving, a node's for asking: neither can pass for the other, whatever its names.

use super::SecurityError;
use crate::model::Millis;
use braid_proto::{COORDINATOR_NAME, Fingerprint};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, time::Duration};
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};

/// How long the CA lasts, and with it the certificates of coordinators, which each start makes anew: about ten years.
const CA_LIFE: Duration = Duration::from_secs(3650 * 24 * 3600);
/// Clocks may differ by so much: certificates are valid from before they are made.
const SKEW: Duration = Duration::from_secs(600);
/// What the URI in a node's certificate begins with.
const NODE_URI: &str = "braid://node/";
/// The longest request that is read.
const MAX_REQUEST: usize = 4096;

/// The CA as it is stored: whoever has this can make nodes and coordinators.
#[derive(Clone, Serialize, Deserialize)]
pub struct CaRecord {
    certificate: String,
    key: String,
}

/// The CA at work.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
    pem: String,
    fingerprint: Fingerprint,
}

/// A certificate and its key, in PEM; the certificate is followed by the CA's, by which clients know it.
pub struct Serving {
    /// The chain.
    pub chain: String,
    /// The key.
    pub key: String,
    /// The CA, which signs the certificates of nodes.
    pub ca: String,
}

/// A certificate for a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCertificate {
    /// In DER.
    pub der: Vec<u8>,
    /// Its number, in hexadecimal digits.
    pub serial: String,
    /// A hash of its key.
    pub key: String,
}

/// What the certificate at the other end of a connection says. That the CA signed it has been checked by TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The node's name.
    pub node: String,
    /// The certificate's number.
    pub serial: String,
}

/// Random bytes from whoever calls.
pub type Serial = [u8; 16];

impl CaRecord {
    /// A new CA.
    ///
    /// # Errors
    /// [`SecurityError::Certificate`] when keys or certificates cannot be made.
    pub fn make(serial: Serial, now: Millis) -> Result<Self, SecurityError> {
        let mut params = params(serial, "Braid fleet CA", now, CA_LIFE)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        Ok(Self { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
    }
}

impl Authority {
    /// Reads what is stored.
    ///
    /// # Errors
    /// [`SecurityError::Certificate`] when it is not what [`CaRecord::make`] made.
    pub fn new(record: &CaRecord) -> Result<Self, SecurityError> {
        let certificate = x509_parser::pem::Pem::iter_from_buffer(record.certificate.as_bytes())
            .next()
            .and_then(Result::ok)
            .ok_or_else(|| SecurityError::Certificate("the stored CA is no certificate".into()))?
            .contents;
        let issuer = Issuer::from_ca_cert_pem(&record.certificate, KeyPair::from_pem(&record.key)?)?;
        Ok(Self { issuer, fingerprint: Fingerprint::of(&certificate), certificate, pem: record.certificate.clone() })
    }

    /// By which clients know the fleet.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The CA's certificate, in DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// A certificate for a coordinator that is reached under these names and addresses.
    ///
    /// # Errors
    /// [`SecurityError::Certificate`] for a name that no certificate can hold.
    pub fn serving(&self, names: &[String], serial: Serial, now: Millis) -> Result<Serving, SecurityError> {
        let mut params = params(serial, "Braid coordinator", now, CA_LIFE - SKEW)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names =
            [COORDINATOR_NAME].into_iter().chain(names.iter().map(String::as_str)).map(san).collect::<Result<_, _>>()?;
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &self.issuer)?;
        Ok(Serving { chain: leaf.pem() + &self.pem, key: key.serialize_pem(), ca: self.pem.clone() })
    }

    /// A certificate for the node `name` on what it asks for: the key of the request counts, its names do not.
    ///
    /// # Errors
    /// [`SecurityError::Request`] when the request cannot be read or is not signed by its own key.
    pub fn node(
        &self,
        name: &str,
        request: &[u8],
        life: Duration,
        serial: Serial,
        now: Millis,
    ) -> Result<NodeCertificate, SecurityError> {
        if request.len() > MAX_REQUEST {
            return Err(SecurityError::Request(format!("it has more than {MAX_REQUEST} bytes")));
        }
        let request = CertificateSigningRequestParams::from_der(&request.to_vec().into())
            .map_err(|error| SecurityError::Request(error.to_string()))?;
        if request.public_key.algorithm() != &rcgen::PKCS_ECDSA_P256_SHA256 {
            return Err(SecurityError::Request("its key is not ECDSA on P-256".into()));
        }
        let mut params = params(serial, name, now, life)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![SanType::URI(format!("{NODE_URI}{name}").try_into()?)];
        let der = params.signed_by(&request.public_key, &self.issuer)?.der().to_vec();
        let key = blake3::hash(rcgen::PublicKeyData::der_bytes(&request.public_key)).to_hex().to_string();
        Ok(NodeCertificate { serial: Peer::of(&der).map(|peer| peer.serial).unwrap_or_default(), der, key })
    }
}

impl Peer {
    /// Whose certificate this is; `None` for one that is no node's.
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let serial = certificate.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect();
        let names = certificate.extensions().iter().filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        });
        let mut nodes = names.flatten().filter_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix(NODE_URI),
            _ => None,
        });
        let node = nodes.next()?.to_owned();
        // One certificate, one node.
        nodes.next().is_none().then_some(Self { node, serial })
    }
}

fn params(mut serial: Serial, name: &str, now: Millis, life: Duration) -> Result<CertificateParams, SecurityError> {
    // Positive, and of the same length whatever the rest is.
    serial[0] = 0x40 | (serial[0] & 0x3f);
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let start = std::time::UNIX_EPOCH + Duration::from_millis(now.0);
    params.not_before = (start - SKEW).into();
    params.not_after = (start + life).into();
    Ok(params)
}

fn san(name: &str) -> Result<SanType, SecurityError> {
    match name.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => Ok(SanType::DnsName(name.try_into()?)),
    }
}

impl From<rcgen::Error> for SecurityError {
    fn from(error: rcgen::Error) -> Self {
        Self::Certificate(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::PublicKeyData as _;

    const NOW: Millis = Millis(1_800_000_000_000);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn authority() -> Authority {
        Authority::new(&CaRecord::make([1; 16], NOW).unwrap()).unwrap()
    }

    fn request(key: &KeyPair, name: &str) -> Vec<u8> {
        CertificateParams::new([name.to_owned()]).unwrap().serialize_request(key).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_says_whose_it_is_and_the_request_has_no_say_in_it() {
        let (ca, key) = (authority(), KeyPair::generate().unwrap());
        let made = ca.node("n-1", &request(&key, "coordinator.braid"), DAY, [0xff; 16], NOW).unwrap();
        assert_eq!(Peer::of(&made.der), Some(Peer { node: "n-1".into(), serial: made.serial.clone() }));
        let (_, read) = X509Certificate::from_der(&made.der).unwrap();
        assert_eq!(read.validity().not_after.timestamp() as u64, NOW.0 / 1000 + DAY.as_secs());
        assert!(read.validity().not_before.timestamp() as u64 <= NOW.0 / 1000 - 600);
        let usage = read.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth && !read.is_ca());
        assert_eq!(read.public_key().subject_public_key.data.as_ref(), key.der_bytes());
        assert!(!String::from_utf8_lossy(&made.der).contains("coordinator.braid"));
    }

    #[test]
    fn a_forged_or_foreign_request_is_refused() {
        let (ca, key) = (authority(), KeyPair::generate().unwrap());
        let good = request(&key, "n");
        for at in (0..good.len()).step_by(7) {
            let mut forged = good.clone();
            forged[at] ^= 0x10;
            let made = ca.node("n", &forged, DAY, [1; 16], NOW);
            assert!(matches!(made, Err(SecurityError::Request(_))), "byte {at} was changed");
        }
        let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        for bad in [&b""[..], b"x", &vec![0x30; 5000], &good[..good.len() - 1], &request(&ed25519, "n")] {
            assert!(matches!(ca.node("n", bad, DAY, [1; 16], NOW), Err(SecurityError::Request(_))));
        }
    }

    #[test]
    fn a_coordinator_serves_under_its_names_and_the_one_that_all_have() {
        let ca = authority();
        let names = ["localhost".to_owned(), "10.0.0.1".into(), "::1".into(), "c1.lan".into()];
        let serving = ca.serving(&names, [2; 16], NOW).unwrap();
        let chain: Vec<_> = x509_parser::pem::Pem::iter_from_buffer(serving.chain.as_bytes()).map(Result::unwrap).collect();
        assert_eq!((chain.len(), Fingerprint::of(&chain[1].contents)), (2, ca.fingerprint()));
        let leaf = chain[0].parse_x509().unwrap();
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && !usage.client_auth);
        assert_eq!(leaf.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 5);
        assert_eq!(Peer::of(&chain[0].contents), None, "a coordinator is no node");
        assert!(ca.serving(&["ä b".into()], [2; 16], NOW).is_err());
    }

    #[test]
    fn what_is_stored_is_the_same_ca_again() {
        let record = CaRecord::make([1; 16], NOW).unwrap();
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.len() < 4096, "it fits a record");
        let back = Authority::new(&serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(back.fingerprint(), Authority::new(&record).unwrap().fingerprint());
        assert!(Authority::new(&CaRecord { certificate: String::new(), key: record.key }).is_err());
    }
}
