//! A store in an etcd v3 cluster, for several coordinators.
//!
//! All keys are under one root. A transaction compares the `mod_revision` of the guarded keys. Every call has a deadline
//! of its own besides the HTTP/2 keep-alive, because a connection that is silently gone would hold it for minutes. Leases
//! and locks of etcd are not used: a claim that is part of each transaction (see `Fence`) holds where those do not.

mod outcome;
mod watch;

use super::{Expect, Key, Op, Revision, Snapshot, Store, StoreError, Transaction, Value, Versioned, Watch, types::Guard};
use super::{MAX_KEY, MAX_RECORD};
use async_trait::async_trait;
use etcd_client::{
    Client, Compare, CompareOp, ConnectOptions, Error, GetOptions, GetResponse, KeyValue, KvClient, ResponseHeader, Txn, TxnOp,
    WatchClient,
};
use outcome::Trouble;
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Records in one answer to a listing.
const PAGE: usize = 512;
/// Bytes of an answer: a page of the largest records, with room for what goes with each.
const MAX_ANSWER: usize = PAGE * (MAX_RECORD + MAX_KEY + 256);
/// How often a listing is begun anew whose history was compacted meanwhile.
const LISTINGS: u32 = 8;
/// How often a call that did not reach a server is sent anew, for each server that there is. The first error may be an
/// old one, kept from the time when nobody asked.
const ROUNDS: usize = 3;
/// Servers answer faster pings than this with a refusal (`--grpc-keepalive-min-time`, 5 s).
const PING: Duration = Duration::from_secs(10);

/// How to use a cluster.
#[derive(Debug, Clone)]
pub struct EtcdOptions {
    /// What all keys start with.
    pub root: String,
    /// How long one server may take for a call. An election of the cluster takes some seconds.
    pub deadline: Duration,
}

/// A store in an etcd cluster.
#[derive(Clone)]
pub struct Etcd(Arc<Shared>);

struct Shared {
    members: Vec<Member>,
    /// The member that calls go to until it fails. One connection shared by all calls is also the fastest way.
    current: AtomicUsize,
    /// `etcd at a:1, b:2`, for errors.
    place: String,
    options: EtcdOptions,
}

/// A server of the cluster.
struct Member {
    kv: KvClient,
    watch: WatchClient,
    /// Keeps the connection that the others share.
    _client: Client,
}

/// Whether a call may be repeated without knowing what became of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

impl Default for EtcdOptions {
    fn default() -> Self {
        Self { root: "/braid/".into(), deadline: Duration::from_secs(5) }
    }
}

impl Etcd {
    /// Connects to the cluster at these `HOST:PORT`s and sees whether it answers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not.
    pub async fn connect(endpoints: &[String], options: EtcdOptions) -> Result<Self, StoreError> {
        let place = format!("etcd at {}", endpoints.join(", "));
        let connecting = ConnectOptions::new()
            .with_connect_timeout(options.deadline)
            .with_keep_alive(PING, options.deadline)
            .with_keep_alive_while_idle(true)
            // A member that is cut off from its cluster must say so, not serve what it last knew.
            .with_require_leader(true);
        let failed =
            |error: Error| StoreError::Failed { operation: "connect".into(), place: place.clone(), source: error.into() };
        // The client's own balancing sends calls to servers that are down as well.
        let mut members = Vec::new();
        for endpoint in endpoints {
            let client = Client::connect([endpoint], Some(connecting.clone())).await.map_err(failed)?;
            let kv = client.kv_client().max_decoding_message_size(MAX_ANSWER);
            let watch = client.watch_client().max_decoding_message_size(MAX_ANSWER);
            members.push(Member { kv, watch, _client: client });
        }
        let etcd = Self(Arc::new(Shared { members, current: AtomicUsize::new(0), place, options }));
        etcd.get(&Key::from(super::schema::KEY)).await?;
        Ok(etcd)
    }

    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.0.options.root)
    }

    /// The key and its end of the range of all keys with this prefix.
    fn range(&self, prefix: &str) -> (String, Vec<u8>) {
        let from = self.name(prefix);
        let mut end = from.clone().into_bytes();
        // Text has no byte 0xff, and the root is not empty: the last byte can always be raised.
        if let Some(last) = end.last_mut() {
            *last = last.saturating_add(1);
        }
        (from, end)
    }

    /// Makes a call; again, at another member, where it certainly was not sent, or where it only reads.
    async fn call<T, F>(&self, access: Access, mut send: impl FnMut(&Member) -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let Shared { members, current, options, .. } = &*self.0;
        let mut trouble = Trouble::Refused("no member is given".into());
        for tries in 1..=ROUNDS * members.len() {
            let index = current.load(Ordering::Relaxed);
            let Some(member) = members.get(index) else { break };
            trouble = match tokio::time::timeout(options.deadline, send(member)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => outcome::judge(error),
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

    async fn fetch(&self, key: &str, options: GetOptions) -> Result<GetResponse, Trouble> {
        let send = |member: &Member| {
            let (mut kv, options) = (member.kv.clone(), options.clone());
            async move { kv.get(key, Some(options)).await }
        };
        self.call(Access::Read, send).await
    }

    /// Names what a reading call met.
    fn not_read(&self, operation: String, trouble: Trouble) -> StoreError {
        let place = self.0.place.clone();
        match trouble {
            Trouble::NoAnswer(source) | Trouble::NotSent(source) | Trouble::Busy(source) => {
                StoreError::Unavailable { operation, place, source }
            }
            Trouble::Refused(source) | Trouble::Compacted(source) => StoreError::Failed { operation, place, source },
        }
    }

    /// Names what a writing call met.
    fn not_written(&self, operation: String, trouble: Trouble) -> StoreError {
        match trouble {
            Trouble::NoAnswer(source) => StoreError::OutcomeUnknown { operation, place: self.0.place.clone(), source },
            certain => self.not_read(operation, certain),
        }
    }

    /// Lists once; `None` if the history was compacted under it.
    async fn try_list(&self, prefix: &str) -> Result<Option<Snapshot>, StoreError> {
        let (mut from, end) = self.range(prefix);
        let page = GetOptions::new().with_range(end).with_limit(PAGE as i64);
        let mut snapshot: Option<Snapshot> = None;
        loop {
            // All pages are of the moment of the first.
            let page = match &snapshot {
                Some(first) => page.clone().with_revision(i64::try_from(first.revision.0).unwrap_or(i64::MAX)),
                None => page.clone(),
            };
            let mut answer = match self.fetch(&from, page).await {
                Err(Trouble::Compacted(_)) => return Ok(None),
                answer => answer.map_err(|trouble| self.not_read(format!("list {prefix:?}"), trouble))?,
            };
            let revision = self.revision(answer.header())?;
            let snapshot = snapshot.get_or_insert_with(|| Snapshot { revision, records: Vec::new() });
            for found in answer.take_kvs() {
                snapshot.records.push((self.key(&found)?, self.versioned(found)?));
            }
            match snapshot.records.last() {
                // The next key in byte order.
                Some((last, _)) if answer.more() => from = format!("{}\0", self.name(last.as_str())),
                _ => return Ok(Some(std::mem::replace(snapshot, Snapshot { revision, records: Vec::new() }))),
            }
        }
    }

    /// Which of several guards did not hold, by reading again; the first if they all hold by now.
    async fn failed_guard(&self, guards: &[Guard]) -> Result<Key, StoreError> {
        let mut first = None;
        for guard in guards {
            first = first.or(Some(&guard.key));
            if guards.len() > 1 && guard.expect.allows(self.get(&guard.key).await?.map(|found| found.revision)) {
                continue;
            }
            return Ok(guard.key.clone());
        }
        first.cloned().ok_or_else(|| self.nonsense("a failed transaction without a condition"))
    }

    fn revision(&self, header: Option<&ResponseHeader>) -> Result<Revision, StoreError> {
        let revision = header.and_then(|header| u64::try_from(header.revision()).ok());
        revision.map(Revision).ok_or_else(|| self.nonsense("an answer without a revision"))
    }

    fn key(&self, found: &KeyValue) -> Result<Key, StoreError> {
        match found.key_str().ok().and_then(|name| name.strip_prefix(&self.0.options.root)) {
            Some(key) => Ok(Key::from(key)),
            None => Err(StoreError::Foreign {
                place: format!("{}, key {}", self.0.place, found.key().escape_ascii()),
                reason: format!("it is not text under {}", self.0.options.root),
            }),
        }
    }

    fn versioned(&self, found: KeyValue) -> Result<Versioned, StoreError> {
        let revision = u64::try_from(found.mod_revision()).map_err(|_| self.nonsense("a record without a revision"))?;
        Ok(Versioned { value: Value::from(found.into_key_value().1), revision: Revision(revision) })
    }

    fn nonsense(&self, what: &str) -> StoreError {
        StoreError::Foreign { place: self.0.place.clone(), reason: format!("it sent {what}") }
    }

    fn compare(&self, guard: &Guard) -> Compare {
        let revision = match guard.expect {
            Expect::Absent => 0,
            // No record has it, so the comparison fails as it should.
            Expect::At(revision) => i64::try_from(revision.0).unwrap_or(i64::MAX),
        };
        Compare::mod_revision(self.name(guard.key.as_str()), CompareOp::Equal, revision)
    }

    fn op(&self, op: &Op) -> TxnOp {
        match op {
            Op::Put(key, value) => TxnOp::put(self.name(key.as_str()), &**value, None),
            Op::Delete(key) => TxnOp::delete(self.name(key.as_str()), None),
        }
    }
}

#[async_trait]
impl Store for Etcd {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        let name = self.name(key.as_str());
        let answer = self.fetch(&name, GetOptions::new()).await;
        let mut answer = answer.map_err(|trouble| self.not_read(format!("get {key}"), trouble))?;
        answer.take_kvs().pop().map(|found| self.versioned(found)).transpose()
    }

    async fn list(&self, prefix: &str) -> Result<Snapshot, StoreError> {
        for _ in 0..LISTINGS {
            if let Some(snapshot) = self.try_list(prefix).await? {
                return Ok(snapshot);
            }
        }
        Err(StoreError::Unavailable {
            operation: format!("list {prefix:?}"),
            place: self.0.place.clone(),
            source: "its history is compacted faster than it can be read".into(),
        })
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, StoreError> {
        let (guards, ops) = (transaction.guards(), transaction.ops());
        let conditions: Vec<_> = guards.iter().map(|guard| self.compare(guard)).collect();
        let effects: Vec<_> = ops.iter().map(|op| self.op(op)).collect();
        let txn = Txn::new().when(conditions).and_then(effects);
        let send = |member: &Member| {
            let (mut kv, txn) = (member.kv.clone(), txn.clone());
            async move { kv.txn(txn).await }
        };
        let operation = || match ops {
            [only] => format!("write {}", only.key()),
            ops => format!("write {} records", ops.len()),
        };
        let answer = self.call(Access::Write, send).await.map_err(|trouble| self.not_written(operation(), trouble))?;
        if !answer.succeeded() {
            return Err(StoreError::Conflict { key: self.failed_guard(guards).await? });
        }
        self.revision(answer.header())
    }

    fn watch(&self, prefix: &str) -> Watch {
        Watch::new(watch::Feed::new(self.clone(), prefix))
    }
}
