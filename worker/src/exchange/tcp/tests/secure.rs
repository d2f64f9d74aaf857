//! The same with certificates: what goes over the wire, and who is let in.

use super::{FIRST, Listener, SOON, connect, form, impostor, spec};
use crate::{exchange::tcp::tls::Tls, identity::Identity};
use braid_proto::Fingerprint;
use braid_workload::exchange::{Exchange, ExchangeError};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::sync::watch;

/// A fleet with a CA of its own.
struct Fleet {
    ca: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Fleet {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca = params.self_signed(&key).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&ca.pem(), key).unwrap();
        Self { ca, issuer }
    }

    fn identity(&self, usage: ExtendedKeyUsagePurpose) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let (ca, authority) = (Fingerprint::of(self.ca.der()), Some(self.ca.pem()));
        Identity { ca, authority, certificate, key: key.serialize_pem(), issued: 0, expires: u64::MAX }
    }

    fn node(&self) -> watch::Receiver<Identity> {
        watch::channel(self.identity(ExtendedKeyUsagePurpose::ClientAuth)).1
    }

    fn listen(&self) -> Listener {
        Listener::bind_secure("127.0.0.1:0", self.node()).unwrap()
    }
}

fn make(size: usize) -> Vec<Arc<dyn Exchange>> {
    static FLEET: OnceLock<Fleet> = OnceLock::new();
    static EPOCH: AtomicU64 = AtomicU64::new(1);
    let listener = FLEET.get_or_init(Fleet::new).listen();
    let group = form(&listener, size, EPOCH.fetch_add(1, Ordering::Relaxed));
    group.into_iter().map(|member| Arc::new(member) as Arc<dyn Exchange>).collect()
}

braid_workload::exchange_conformance!(make);

/// Says what a member would first, over TLS with this identity; whether anybody answers.
fn is_answered(listener: &Listener, identity: Identity) -> bool {
    let ends = Tls::new(watch::channel(identity).1).ends().unwrap();
    let socket = TcpStream::connect(listener.address()).unwrap();
    let wire = super::super::wire::Wire::dialled(socket, Some(ends.client)).unwrap();
    wire.set_read_timeout(Some(SOON)).unwrap();
    let hello = super::Hello::new(super::GroupId { first: FIRST, epoch: 1 }, 0, 1, 2, [1; 16], &super::Token::new(b"secret"));
    // Whom the other end does not believe may learn it at either.
    (&wire).write_all(&hello.encode()).and_then(|()| (&wire).read_exact(&mut [0; super::ANSWER])).is_ok()
}

#[test]
fn a_gang_forms_while_strangers_knock() {
    let (fleet, other) = (Fleet::new(), Fleet::new());
    let listener = fleet.listen();
    // One who knows the token and speaks plaintext, one of another fleet, one who says it is a coordinator of this one.
    assert_eq!(impostor(&listener, 2, 1, b"secret").1, None);
    assert!(!is_answered(&listener, other.identity(ExtendedKeyUsagePurpose::ClientAuth)));
    assert!(!is_answered(&listener, fleet.identity(ExtendedKeyUsagePurpose::ServerAuth)));
    let group = form(&listener, 3, 1);
    thread::scope(|scope| {
        for member in &group {
            scope.spawn(move || {
                let mine = [member.rank() as u8; 5];
                let mut all = [0; 15];
                member.all_gather(&mine, &mut all).unwrap();
                assert_eq!(all, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
            });
        }
    });
}

#[test]
fn a_member_does_not_talk_to_one_of_another_fleet_or_in_plaintext() {
    let (fleet, other) = (Fleet::new(), Fleet::new());
    let here = fleet.listen();
    // One that speaks plaintext takes the handshake for nonsense, and hangs up.
    for (there, said) in [(other.listen(), "peer certificate"), (Listener::bind("127.0.0.1:0").unwrap(), "")] {
        let mut spec = spec(0, &[&here, &there], 1);
        spec.deadline = Duration::from_millis(300);
        let error = connect(&here, &spec).unwrap_err();
        assert!(matches!(&error, ExchangeError::System { attempt, .. } if attempt.starts_with("reach rank 1 at")), "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn nothing_is_said_in_plaintext() {
    let fleet = Fleet::new();
    let here = fleet.listen();
    let tap = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut spec = spec(0, &[&here, &here], 1);
    spec.members[1] = tap.local_addr().unwrap().to_string();
    spec.deadline = Duration::from_millis(300);
    let heard = thread::scope(|scope| {
        let heard = scope.spawn(|| {
            let (mut stream, _) = tap.accept().unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            let mut heard = vec![0; 64];
            stream.read_exact(&mut heard).unwrap();
            heard
        });
        assert!(connect(&here, &spec).is_err());
        heard.join().unwrap()
    });
    assert_eq!(heard[0], 22, "the first record of a TLS handshake");
    assert!(!heard.windows(8).any(|part| part == b"braid-ex"));
}

#[test]
fn an_identity_without_its_ca_says_what_is_missing() {
    let fleet = Fleet::new();
    let identity = fleet.identity(ExtendedKeyUsagePurpose::ClientAuth);
    let problem = |identity: Identity| Tls::new(watch::channel(identity).1).ends().map(drop).unwrap_err();
    assert!(problem(Identity { authority: None, ..identity.clone() }).contains("does not have its fleet's CA yet"));
    let other = Identity { authority: Some(Fleet::new().ca.pem()), ..identity.clone() };
    assert_eq!(problem(other), "the CA of this node is not that of its fleet");
    assert!(problem(Identity { key: "x".into(), ..identity }).contains("the key of this node does not do for TLS"));
}
