//! The back-ends as the suite sees them, and small helpers of the cases.

use crate::store::{Embedded, Guard, Memory, Op, Revision, Store, StoreError, Transaction};
use async_trait::async_trait;
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;

/// A store of its own for one case.
#[async_trait]
pub(super) trait Fixture: Send + Sync + Sized {
    /// An empty store.
    async fn start() -> Self;

    /// The store.
    fn store(&self) -> Arc<dyn Store>;

    /// Small writes through the writer that it must sustain, on two busy cores.
    fn writes_per_second(&self) -> f64 {
        10_000.0
    }

    /// Cuts the store off at once and opens what is left of it.
    async fn crash(&mut self) {
        panic!("this back-end does not outlive a crash");
    }
}

pub(super) struct InMemory(Arc<Memory>);

#[async_trait]
impl Fixture for InMemory {
    async fn start() -> Self {
        Self(Arc::new(Memory::new()))
    }

    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }
}

pub(super) struct InFile {
    store: Arc<Embedded>,
    folder: TempDir,
}

#[async_trait]
impl Fixture for InFile {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { store: Arc::new(Embedded::open(folder.path()).await.unwrap()), folder }
    }

    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// A copy of the open file is what a killed process leaves: redb has not closed it.
    async fn crash(&mut self) {
        let left = tempfile::tempdir().unwrap();
        std::fs::copy(self.folder.path().join("state.redb"), left.path().join("state.redb")).unwrap();
        self.store = Arc::new(Embedded::open(left.path()).await.unwrap());
        self.folder = left;
    }
}

pub(super) async fn commit(store: &dyn Store, guards: Vec<Guard>, ops: Vec<Op>) -> Result<Revision, StoreError> {
    store.commit(Transaction::new(guards, ops).unwrap()).await
}

pub(super) async fn put(store: &dyn Store, key: &str, value: &str) -> Revision {
    commit(store, vec![], vec![Op::put(key, value.as_bytes())]).await.unwrap()
}

pub(super) async fn text(store: &dyn Store, key: &str) -> Option<String> {
    let found = store.get(&key.into()).await.unwrap()?;
    Some(String::from_utf8(found.value.to_vec()).unwrap())
}

/// Keys and values under a prefix, as text.
pub(super) async fn texts(store: &dyn Store, prefix: &str) -> Vec<(String, String)> {
    let records = store.list(prefix).await.unwrap().records;
    records.into_iter().map(|(key, found)| (key.to_string(), String::from_utf8_lossy(&found.value).into_owned())).collect()
}

/// Fails rather than hangs.
pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("it took more than a minute")
}
