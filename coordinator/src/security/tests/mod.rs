//! A whole coordinator behind TLS on loopback, spoken to by those who may and those who may not.

mod calls;
mod certificates;
mod hostile;

use super::{Role, Roster, tokens::Grant};
use crate::{Coordinator, Options, Protection};
use braid_noop::Noop;
use braid_proto::{
    COORDINATOR_NAME, Secret,
    v1::{self, JoinRequest, enrollment_client::EnrollmentClient},
};
use braid_workload::{Registry, Workload};
use rcgen::{CertificateParams, KeyPair};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tonic::{
    Request, Status,
    codegen::http::uri::PathAndQuery,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

const SOON: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3600);

struct Fleet {
    coordinator: Coordinator,
    address: SocketAddr,
    ca: String,
    server: tokio::task::JoinHandle<()>,
    _data: tempfile::TempDir,
}

impl Fleet {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let options = Options {
            store: "memory:".parse().unwrap(),
            data_dir: Some(data.path().to_owned()),
            advertise: "here:1".into(),
            token: None,
            protection: Protection::Checked { node_life: HOUR },
            policy: None,
            record: None,
            lease: Duration::from_secs(5),
        };
        let noop: Arc<dyn Workload> = Arc::new(Noop);
        let coordinator = Coordinator::start(options, Registry::new([(noop.kind(), noop)])).await.unwrap();
        let serving = coordinator.roster().unwrap().serving(&[]).unwrap();
        let ca = serving.ca.clone();
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(serving.chain, serving.key))
            .client_ca_root(Certificate::from_pem(serving.ca))
            .client_auth_optional(true);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = Server::builder()
            .tls_config(tls)
            .unwrap()
            .layer(coordinator.gate())
            .add_routes(coordinator.routes())
            .serve_with_incoming(TcpIncoming::from(listener));
        let server = tokio::spawn(async move { serve.await.expect("loopback can be served") });
        Self { coordinator, address, ca, server, _data: data }
    }

    fn roster(&self) -> &Roster {
        self.coordinator.roster().unwrap()
    }

    fn channel(&self, identity: Option<Identity>) -> Channel {
        let mut tls =
            ClientTlsConfig::new().domain_name(COORDINATOR_NAME).ca_certificate(Certificate::from_pem(self.ca.as_bytes()));
        if let Some(identity) = identity {
            tls = tls.identity(identity);
        }
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).unwrap().tls_config(tls).unwrap();
        // Whether it is let in shows at the first call.
        endpoint.connect_lazy()
    }

    /// A token of a person.
    async fn person(&self, role: Role) -> Secret {
        self.roster().create(Grant::Role(role), "x", "test".into(), HOUR).await.unwrap().token.secret
    }

    /// The identity of a machine that has joined, as any would.
    async fn join(&self, name: &str) -> Identity {
        let secret = self.roster().create(Grant::Node, "x", "test".into(), HOUR).await.unwrap().token.secret;
        let (key, request) = request();
        let mut client = EnrollmentClient::new(self.channel(None));
        let request = JoinRequest { secret: secret.to_hex(), node: name.into(), request };
        let granted = client.join(request).await.unwrap().into_inner();
        identity(&granted.certificate, &key)
    }

    async fn stop(self) {
        self.server.abort();
        self.coordinator.shutdown().await;
    }
}

fn request() -> (KeyPair, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::default().serialize_request(&key).unwrap().der().to_vec();
    (key, request)
}

fn identity(der: &[u8], key: &KeyPair) -> Identity {
    let pem = x509_pem(der);
    Identity::from_pem(pem, key.serialize_pem())
}

fn x509_pem(der: &[u8]) -> String {
    use std::fmt::Write as _;
    // PEM is base64 in lines; openssl and rustls take the whole in one.
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for triple in der.chunks(3) {
        let bits = triple.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - triple.len()));
        for place in 0..4 {
            let letter = if place > triple.len() { '=' } else { char::from(LETTERS[(bits >> (18 - 6 * place)) as usize & 63]) };
            text.push(letter);
        }
    }
    let mut pem = String::new();
    write!(pem, "-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n").unwrap();
    pem
}

/// Makes any call with an empty message, and waits for the start of its answer.
async fn call(channel: Channel, secret: Option<&Secret>, path: &str) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let mut request = Request::new(());
    if let Some(secret) = secret {
        request.metadata_mut().insert("authorization", format!("Bearer {}", secret.to_hex()).parse().unwrap());
    }
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let answer = grpc.server_streaming(request, PathAndQuery::try_from(path).unwrap(), codec);
    let mut answer = tokio::time::timeout(SOON, answer).await.expect("an answer comes soon")?.into_inner();
    tokio::time::timeout(SOON, answer.message()).await.expect("an answer comes soon").map(drop)
}

fn hello(node: &str, kinds: &[&str]) -> v1::Hello {
    v1::Hello {
        protocol: braid_proto::PROTOCOL,
        version: "test".into(),
        node: node.into(),
        inventory: Some(v1::Inventory {
            threads: 2,
            memory: 1 << 30,
            kinds: kinds.iter().map(|&kind| kind.to_owned()).collect(),
            ..v1::Inventory::default()
        }),
        ..v1::Hello::default()
    }
}
