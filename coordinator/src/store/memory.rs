//! A store in memory, for tests and for runs that need not outlive the process.

use super::{Hub, Key, Op, Revision, Snapshot, Store, StoreError, Transaction, Versioned, Watch};
use async_trait::async_trait;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A store that ends with the process.
pub struct Memory(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    hub: Hub,
}

#[derive(Default)]
struct State {
    revision: Revision,
    records: BTreeMap<Key, Versioned>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), hub: Hub::new() }))
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A transaction is applied without a place where it could panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn list(&self, prefix: &str) -> Snapshot {
        let state = self.state();
        let from = state.records.range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        let records =
            from.take_while(|(key, _)| key.as_str().starts_with(prefix)).map(|(key, found)| (key.clone(), found.clone()));
        Snapshot { revision: state.revision, records: records.collect() }
    }
}

#[async_trait]
impl Store for Memory {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        Ok(self.0.state().records.get(key).cloned())
    }

    async fn list(&self, prefix: &str) -> Result<Snapshot, StoreError> {
        Ok(self.0.list(prefix))
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, StoreError> {
        let mut state = self.0.state();
        for guard in transaction.guards() {
            if !guard.expect.allows(state.records.get(&guard.key).map(|found| found.revision)) {
                return Err(StoreError::Conflict { key: guard.key.clone() });
            }
        }
        let revision = Revision(state.revision.0 + 1);
        let mut changed = Vec::with_capacity(transaction.ops().len());
        for op in transaction.ops() {
            let change = match op {
                Op::Put(key, value) => {
                    state.records.insert(key.clone(), Versioned { value: value.clone(), revision });
                    true
                }
                Op::Delete(key) => state.records.remove(key).is_some(),
            };
            if change {
                changed.push(op.clone());
            }
        }
        if changed.is_empty() {
            return Ok(state.revision);
        }
        state.revision = revision;
        // Still under the lock: events come in the order of commits.
        self.0.hub.publish(revision, changed);
        Ok(revision)
    }

    fn watch(&self, prefix: &str) -> Watch {
        let store = Arc::downgrade(&self.0);
        self.0.hub.watch(prefix, move |prefix| {
            let listing = store.upgrade().map(|store| store.list(&prefix)).ok_or(StoreError::Closed("the store"));
            async { listing }
        })
    }
}
