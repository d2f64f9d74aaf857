//! Every call with every role, over the wire.

use super::*;
use crate::security::calls::{CALLS, Need};
use tonic::Code;

/// Whether the gate refused, and not the call itself.
fn is_refused(answer: &Result<(), Status>, path: &str) -> bool {
    match answer {
        Err(status) if path.ends_with("Enrollment/Join") && status.message().contains("join token") => false,
        Err(status) => matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied),
        Ok(()) => false,
    }
}

#[tokio::test]
async fn every_call_with_every_role() {
    let fleet = Fleet::start().await;
    let plain = fleet.channel(None);
    let as_node = fleet.channel(Some(fleet.join("n1").await));
    let forged = Secret::new([9; 32]);
    let expired = {
        let made = fleet.roster().create(Grant::Role(Role::Admin), "x", "test".into(), Duration::from_secs(1)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1050)).await;
        made.token.secret
    };
    let revoked = {
        let made = fleet.roster().create(Grant::Role(Role::Admin), "x", "test".into(), HOUR).await.unwrap();
        fleet.roster().revoke(&made.hash[..12]).await.unwrap();
        made.token.secret
    };
    let join = fleet.roster().create(Grant::Node, "x", "test".into(), HOUR).await.unwrap().token.secret;
    let mut people = Vec::new();
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        people.push((role, fleet.person(role).await));
    }
    for row in CALLS {
        for (role, secret) in &people {
            let answer = call(plain.clone(), Some(secret), row.path).await;
            let allowed = match row.need {
                Need::Nothing => true,
                Need::Certificate => false,
                Need::Role(needs) => *role >= needs,
            };
            assert_eq!(is_refused(&answer, row.path), !allowed, "{} as {role}: {answer:?}", row.path);
        }
        let answer = call(as_node.clone(), None, row.path).await;
        assert_eq!(is_refused(&answer, row.path), matches!(row.need, Need::Role(_)), "{} as a node: {answer:?}", row.path);
        let answer = call(plain.clone(), None, row.path).await;
        assert_eq!(is_refused(&answer, row.path), row.need != Need::Nothing, "{} as a stranger: {answer:?}", row.path);
        for (what, secret) in [("forged", &forged), ("expired", &expired), ("revoked", &revoked), ("join", &join)] {
            let status = call(plain.clone(), Some(secret), row.path).await.unwrap_err();
            assert_eq!(
                (status.code(), status.message()),
                (Code::Unauthenticated, "the token is unknown, revoked or expired"),
                "{what}"
            );
            // A bad token is not made good by a certificate.
            assert!(call(as_node.clone(), Some(secret), row.path).await.is_err(), "{what}");
        }
    }
    let (_, admin) = &people[2];
    for path in ["/braid.v1.Jobs/Erase", "/grpc.health.v1.Health/Check", "/x"] {
        let status = call(plain.clone(), Some(admin), path).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unimplemented, &*format!("there is no call {path}")));
    }
    fleet.stop().await;
}

#[tokio::test]
async fn a_token_counts_at_once_where_it_was_made_and_soon_elsewhere() {
    let store: Arc<dyn crate::store::Store> = Arc::new(crate::store::Memory::new());
    let (one, is_new) = Roster::open(Arc::clone(&store), HOUR).await.unwrap();
    let (two, is_new_again) = Roster::open(store, HOUR).await.unwrap();
    assert_eq!((is_new, is_new_again), (true, false));
    assert_eq!(one.ca().fingerprint(), two.ca().fingerprint(), "one fleet, one CA");
    let (tasks, cancel) = (tokio_util::task::TaskTracker::new(), tokio_util::sync::CancellationToken::new());
    let two = Arc::new(two);
    two.follow(&tasks, cancel.clone());
    let made = one.create(Grant::Role(Role::Viewer), "x", "test".into(), HOUR).await.unwrap();
    let secret = &made.token.secret;
    assert!(one.person(secret).is_ok());
    let soon = |wanted: bool| {
        let (two, secret) = (Arc::clone(&two), secret.clone());
        tokio::time::timeout(SOON, async move {
            while two.person(&secret).is_ok() != wanted {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    };
    soon(true).await.unwrap();
    one.revoke(&made.hash).await.unwrap();
    assert!(one.person(secret).is_err());
    soon(false).await.unwrap();
    // One token, two coordinators at the same moment: one machine.
    let join = one.create(Grant::Node, "x", "test".into(), HOUR).await.unwrap().token.secret;
    let ((_, first), (_, second)) = (request(), request());
    let (a, b) = tokio::join!(one.join(&join, "a", &first), two.join(&join, "b", &second));
    assert_eq!(usize::from(a.is_ok()) + usize::from(b.is_ok()), 1, "{a:?} {b:?}");
    cancel.cancel();
    tasks.close();
    tasks.wait().await;
}
