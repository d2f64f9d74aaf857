//! A store in an etcd v3 cluster, for several coordinators.
//!
//! All keys are under one root. A transaction compares the `mod_revision` of the guarded keys. Locks of etcd are not
//! used, and leases only to tell who may be dead: a claim that is part of each transaction (see `Fence`) holds where those
//! do not.

mod cluster;
mod lease;
mod outcome;
mod watch;

use super::{Expect, Key, Leases, Op, Revision, Snapshot, Store, StoreError, Transaction, Value, Versioned, Watch, types::Guard};
use super::{MAX_KEY, MAX_RECORD};
use async_trait::async_trait;
use cluster::{Access, Cluster, Member};
use etcd_client::{Compare, CompareOp, GetOptions, GetResponse, KeyValue, ResponseHeader, Txn, TxnOp};
use outcome::Trouble;
use std::{sync::Arc, time::Duration};

/// Records in one answer to a listing.
const PAGE: usize = 512;
/// Bytes of an answer: a page of the largest records, with room for what goes with each.
const MAX_ANSWER: usize = PAGE * (MAX_RECORD + MAX_KEY + 256);
/// How often a listing is begun anew whose history was compacted meanwhile.
const LISTINGS: u32 = 8;
/// How to use a cluster.
#[derive(Debug, Clone)]
pub struct EtcdOptions {
    /// What all keys start with; not empty.
    pub root: String,
    /// How long one server may take for a call. An election of the cluster takes some seconds.
    pub deadline: Duration,
}

/// A store in an etcd cluster.
#[derive(Clone)]
pub struct Etcd(Arc<Shared>);

struct Shared {
    cluster: Cluster,
    root: String,
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
        let cluster = Cluster::new(endpoints, options.deadline).await?;
        let etcd = Self(Arc::new(Shared { cluster, root: options.root }));
        etcd.get(&Key::from(super::schema::KEY)).await?;
        Ok(etcd)
    }

    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.0.root)
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

    async fn fetch(&self, key: &str, options: GetOptions) -> Result<GetResponse, Trouble> {
        let send = |member: &Member| {
            let (mut kv, options) = (member.kv.clone(), options.clone());
            async move { kv.get(key, Some(options)).await }
        };
        self.0.cluster.call(Access::Read, send).await
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
                answer => answer.map_err(|trouble| self.0.cluster.not_read(format!("list {prefix:?}"), trouble))?,
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
        match found.key_str().ok().and_then(|name| name.strip_prefix(&self.0.root)) {
            Some(key) => Ok(Key::from(key)),
            None => Err(StoreError::Foreign {
                place: format!("{}, key {}", self.0.cluster.place, found.key().escape_ascii()),
                reason: format!("it is not text under {}", self.0.root),
            }),
        }
    }

    fn versioned(&self, found: KeyValue) -> Result<Versioned, StoreError> {
        let revision = u64::try_from(found.mod_revision()).map_err(|_| self.nonsense("a record without a revision"))?;
        Ok(Versioned { value: Value::from(found.into_key_value().1), revision: Revision(revision) })
    }

    fn nonsense(&self, what: &str) -> StoreError {
        StoreError::Foreign { place: self.0.cluster.place.clone(), reason: format!("it sent {what}") }
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
        let mut answer = answer.map_err(|trouble| self.0.cluster.not_read(format!("get {key}"), trouble))?;
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
            place: self.0.cluster.place.clone(),
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
        let answer =
            self.0.cluster.call(Access::Write, send).await.map_err(|trouble| self.0.cluster.not_written(operation(), trouble))?;
        if !answer.succeeded() {
            return Err(StoreError::Conflict { key: self.failed_guard(guards).await? });
        }
        self.revision(answer.header())
    }

    fn watch(&self, prefix: &str) -> Watch {
        Watch::new(watch::Feed::new(self.clone(), prefix))
    }

    fn leases(&self) -> Option<Arc<dyn Leases>> {
        Some(Arc::new(self.clone()))
    }
}
