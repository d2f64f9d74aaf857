//! The servers of a cluster, and how a call finds one that answers.
//!
//! All calls share the connection to one member until it fails, and then that to the next: requests that share a
//! connection are faster, and the client's own balancing goes on sending some to a server that is down. Every call has a
//! deadline besides the HTTP/2 keep-alive, because a connection that is silently gone would hold it for minutes.

use super::{
    MAX_ANSWER,
    outcome::{Trouble, judge},
};
use crate::store::StoreError;
use etcd_client::{Client, ConnectOptions, Error, KvClient, LeaseClient, WatchClient};
use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// How often a call that did not reach a server is sent anew, for each server that there is. The first error may be an
/// old one, kept from the time when nobody asked.
const ROUNDS: usize = 3;
/// Servers answer faster pings than this with a refusal (`--grpc-keepalive-min-time`, 5 s).
const PING: Duration = Duration::from_secs(10);

/// A cluster as a client sees it.
pub(super) struct Cluster {
    members: Vec<Member>,
    /// The member that calls go to until it fails.
    current: AtomicUsize,
    deadline: Duration,
    /// `etcd at a:1, b:2`, for errors.
    pub(super) place: String,
}

/// A server of the cluster.
pub(super) struct Member {
    pub(super) kv: KvClient,
    pub(super) watch: WatchClient,
    pub(super) lease: LeaseClient,
    /// Keeps the connection that the others share.
    _client: Client,
}

/// Whether a call may be repeated without knowing what became of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

impl Cluster {
    /// Prepares connections to these `HOST:PORT`s; the first call makes them.
    pub(super) async fn new(endpoints: &[String], deadline: Duration) -> Result<Self, StoreError> {
        let place = format!("etcd at {}", endpoints.join(", "));
        let options = ConnectOptions::new()
            .with_connect_timeout(deadline)
            .with_keep_alive(PING, deadline)
            .with_keep_alive_while_idle(true)
            // A member that is cut off from its cluster must say so, not serve what it last knew.
            .with_require_leader(true);
        let mut members = Vec::new();
        for endpoint in endpoints {
            let client = Client::connect([endpoint], Some(options.clone())).await.map_err(|error| StoreError::Failed {
                operation: "connect".into(),
                place: place.clone(),
                source: error.into(),
            })?;
            let kv = client.kv_client().max_decoding_message_size(MAX_ANSWER);
            let watch = client.watch_client().max_decoding_message_size(MAX_ANSWER);
            members.push(Member { kv, watch, lease: client.lease_client(), _client: client });
        }
        Ok(Self { members, current: AtomicUsize::new(0), deadline, place })
    }

    /// Makes a call; again, at another member, where it certainly was not sent, or where it only reads.
    pub(super) async fn call<T, F>(&self, access: Access, mut send: impl FnMut(&Member) -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let Self { members, current, deadline, .. } = self;
        let mut trouble = Trouble::Refused("no member is given".into());
        for tries in 1..=ROUNDS * members.len() {
            let index = current.load(Ordering::Relaxed);
            let Some(member) = members.get(index) else { break };
            trouble = match tokio::time::timeout(*deadline, send(member)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => judge(error),
                Err(elapsed) => Trouble::NoAnswer(elapsed.into()),
            };
            if matches!(trouble, Trouble::NotSent(_) | Trouble::NoAnswer(_)) {
                // Unless another call has moved on already.
                let next = (index + 1) % members.len();
                let _ = current.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
            }
            match trouble {
                Trouble::NotSent(_) => {}
                Trouble::NoAnswer(_) if access == Access::Read && tries < members.len() => {}
                _ => break,
            }
        }
        Err(trouble)
    }

    /// Names what a reading call met.
    pub(super) fn not_read(&self, operation: String, trouble: Trouble) -> StoreError {
        let place = self.place.clone();
        match trouble {
            Trouble::NoAnswer(source) | Trouble::NotSent(source) | Trouble::Busy(source) => {
                StoreError::Unavailable { operation, place, source }
            }
            Trouble::Refused(source) | Trouble::Compacted(source) => StoreError::Failed { operation, place, source },
        }
    }

    /// Names what a writing call met.
    pub(super) fn not_written(&self, operation: String, trouble: Trouble) -> StoreError {
        match trouble {
            Trouble::NoAnswer(source) => StoreError::OutcomeUnknown { operation, place: self.place.clone(), source },
            certain => self.not_read(operation, certain),
        }
    }
}
