//! Leases of etcd.
//!
//! A renewal is a stream of its own, one question and one answer: it costs no more than a call, and a stream that broke
//! unnoticed cannot hold it up. Each is bounded by the deadline of a call and goes to the next member after that.

use super::{
    Etcd,
    cluster::{Access, Member},
    outcome::Trouble,
};
use crate::store::{Key, Leases, Revision, StoreError, StoreLease, Value};
use async_trait::async_trait;
use etcd_client::{Compare, CompareOp, Error, PutOptions, Txn, TxnOp};
use std::time::Duration;

#[async_trait]
impl Leases for Etcd {
    async fn grant(&self, lasts: Duration) -> Result<(StoreLease, Duration), StoreError> {
        // Whole seconds, rounded up.
        let seconds = i64::try_from(lasts.as_secs() + u64::from(lasts.subsec_nanos() > 0)).unwrap_or(i64::MAX);
        let send = |member: &Member| {
            let mut lease = member.lease.clone();
            async move { lease.grant(seconds, None).await }
        };
        let answer = self.0.cluster.call(Access::Write, send).await;
        let answer = answer.map_err(|trouble| self.0.cluster.not_written("grant a lease".into(), trouble))?;
        let granted = positive(answer.ttl()).ok_or_else(|| self.nonsense("a lease that lasts no time"))?;
        Ok((StoreLease(answer.id()), granted))
    }

    async fn renew(&self, lease: StoreLease) -> Result<Option<Duration>, StoreError> {
        let send = |member: &Member| {
            let mut client = member.lease.clone();
            async move {
                let (mut keeper, mut answers) = client.keep_alive(lease.0).await?;
                keeper.keep_alive().await?;
                answers.message().await
            }
        };
        match self.0.cluster.call(Access::Read, send).await {
            Ok(answer) => {
                let answer = answer.ok_or_else(|| self.0.cluster.not_read("renew a lease".into(), cut_off()))?;
                // Zero is etcd's way to say that there is no such lease.
                Ok(positive(answer.ttl()))
            }
            // The client takes that answer for an error.
            Err(Trouble::NoAnswer(cause)) if is_gone(&*cause) => Ok(None),
            Err(trouble) => Err(self.0.cluster.not_read("renew a lease".into(), trouble)),
        }
    }

    async fn create(&self, lease: StoreLease, key: &Key, value: Value) -> Result<Revision, StoreError> {
        let name = self.name(key.as_str());
        let absent = Compare::create_revision(name.clone(), CompareOp::Equal, 0);
        let put = TxnOp::put(name, &*value, Some(PutOptions::new().with_lease(lease.0)));
        let txn = Txn::new().when([absent]).and_then([put]);
        let send = |member: &Member| {
            let (mut kv, txn) = (member.kv.clone(), txn.clone());
            async move { kv.txn(txn).await }
        };
        let answer = self.0.cluster.call(Access::Write, send).await;
        let answer = answer.map_err(|trouble| self.0.cluster.not_written(format!("create {key}"), trouble))?;
        if !answer.succeeded() {
            return Err(StoreError::Conflict { key: key.clone() });
        }
        self.revision(answer.header())
    }

    async fn revoke(&self, lease: StoreLease) -> Result<(), StoreError> {
        let send = |member: &Member| {
            let mut client = member.lease.clone();
            async move { client.revoke(lease.0).await }
        };
        match self.0.cluster.call(Access::Read, send).await {
            // Refused: there is no such lease any more.
            Ok(_) | Err(Trouble::Refused(_)) => Ok(()),
            Err(trouble) => Err(self.0.cluster.not_read("revoke a lease".into(), trouble)),
        }
    }
}

fn positive(seconds: i64) -> Option<Duration> {
    u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

fn cut_off() -> Trouble {
    Trouble::NoAnswer("the server ended the stream".into())
}

fn is_gone(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    matches!(cause.downcast_ref::<Error>(), Some(Error::LeaseKeepAliveError(text)) if text.contains("not found"))
}
