//! Wrong, forged, expired, foreign and revoked certificates.

use super::*;
use crate::{
    model::Millis,
    security::{Authority, CaRecord},
};
use braid_proto::v1::{FromWorker, from_worker, workers_client::WorkersClient};
use std::time::{SystemTime, UNIX_EPOCH};
use tonic::Code;

const SESSION: &str = "/braid.v1.Workers/Session";

async fn status(fleet: &Fleet, identity: Option<Identity>) -> Status {
    call(fleet.channel(identity), None, SESSION).await.unwrap_err()
}

/// Opens a session as a worker would.
async fn open(
    channel: Channel,
    node: &str,
) -> Result<(tokio::sync::mpsc::Sender<FromWorker>, tonic::Streaming<v1::ToWorker>), Status> {
    let (send, receive) = tokio::sync::mpsc::channel(8);
    send.send(FromWorker { message: Some(from_worker::Message::Hello(hello(node, &[]))) }).await.unwrap();
    let stream = tokio_stream::wrappers::ReceiverStream::new(receive);
    let opened = WorkersClient::new(channel).session(stream).await?.into_inner();
    Ok((send, opened))
}

#[tokio::test]
async fn only_certificates_of_this_fleet_that_count_open_a_session() {
    let fleet = Fleet::start().await;
    let now = Millis(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap());
    let good = fleet.join("n1").await;
    assert_eq!(status(&fleet, Some(good.clone())).await.code(), Code::InvalidArgument, "the session has begun");
    assert_eq!(status(&fleet, None).await.code(), Code::Unauthenticated);

    // Of another fleet, with the same name in it: TLS itself ends it.
    let other = Authority::new(&CaRecord::make([3; 16], now).unwrap()).unwrap();
    let (key, csr) = request();
    let forged = other.node("n1", &csr, HOUR, [4; 16], now).unwrap();
    let ended = status(&fleet, Some(identity(&forged.der, &key))).await;
    assert!(!matches!(ended.code(), Code::InvalidArgument | Code::PermissionDenied), "{ended:?}");

    // Signed by this CA, but over, or never handed out.
    let ca = fleet.roster().ca();
    let old = ca.node("n1", &csr, Duration::from_secs(60), [5; 16], Millis(now.0 - 3_600_000)).unwrap();
    let ended = status(&fleet, Some(identity(&old.der, &key))).await;
    assert!(!matches!(ended.code(), Code::InvalidArgument | Code::PermissionDenied), "{ended:?}");
    let unlisted = ca.node("n1", &csr, HOUR, [6; 16], now).unwrap();
    let ended = status(&fleet, Some(identity(&unlisted.der, &key))).await;
    assert_eq!(
        (ended.code(), ended.message()),
        (Code::PermissionDenied, "the certificate of node n1 is not one that counts any more")
    );
    let unknown = ca.node("n9", &csr, HOUR, [7; 16], now).unwrap();
    let ended = status(&fleet, Some(identity(&unknown.der, &key))).await;
    assert_eq!(
        (ended.code(), ended.message()),
        (Code::PermissionDenied, "the certificate of node n9 is not known to this fleet")
    );
    // A coordinator's own certificate is no node's.
    let serving = fleet.roster().serving(&[]).unwrap();
    let ended = status(&fleet, Some(Identity::from_pem(serving.chain, serving.key))).await;
    assert_ne!(ended.code(), Code::InvalidArgument, "{ended:?}");

    // A node is who its certificate says.
    let refused = open(fleet.channel(Some(good.clone())), "n2").await.err().unwrap();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(refused.message(), "the certificate is that of node n1, and the worker says it is \"n2\"");

    // Put out, its open session ends and no other begins.
    let (_send, mut stream) = open(fleet.channel(Some(good.clone())), "n1").await.unwrap();
    assert!(stream.message().await.unwrap().is_some(), "a welcome");
    fleet.roster().revoke_node("n1").await.unwrap();
    let end = tokio::time::timeout(Duration::from_secs(4), async { while let Ok(Some(_)) = stream.message().await {} }).await;
    end.expect("the session ends before the lease does");
    let ended = status(&fleet, Some(good)).await;
    assert_eq!((ended.code(), ended.message()), (Code::PermissionDenied, "the certificate of node n1 is revoked"));
    fleet.stop().await;
}

#[tokio::test]
async fn plaintext_and_noise_end_at_the_door() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let fleet = Fleet::start().await;
    let plain = Endpoint::from_shared(format!("http://{}", fleet.address)).unwrap().connect().await;
    let refused = match plain {
        Ok(channel) => call(channel, None, "/braid.v1.Fleet/Leader").await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
    let mut rng = fastrand::Rng::with_seed(11);
    for length in [1, 5, 100, 70_000] {
        let mut socket = tokio::net::TcpStream::connect(fleet.address).await.unwrap();
        let noise: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
        // The other side may hang up while this is written.
        let _ = socket.write_all(&noise).await;
        let _ = socket.shutdown().await;
        let _ = tokio::time::timeout(SOON, socket.read_to_end(&mut Vec::new())).await.expect("it hangs up");
    }
    call(fleet.channel(None), None, "/braid.v1.Fleet/Leader").await.unwrap();
    fleet.stop().await;
}
