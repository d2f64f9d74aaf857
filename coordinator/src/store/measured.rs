//! Any store, with its commits timed and counted. It changes nothing else.

use super::{Key, Revision, Snapshot, Store, StoreError, Transaction, Versioned, Watch};
use async_trait::async_trait;
use braid_telemetry::metrics::{CommitFailure, FleetMetrics};
use std::{sync::Arc, time::Instant};

/// A store whose commits are counted; for whoever writes.
pub(crate) struct Measured {
    store: Arc<dyn Store>,
    metrics: Arc<FleetMetrics>,
}

impl Measured {
    pub(crate) fn new(store: Arc<dyn Store>, metrics: Arc<FleetMetrics>) -> Self {
        Self { store, metrics }
    }
}

#[async_trait]
impl Store for Measured {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        self.store.get(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Snapshot, StoreError> {
        self.store.list(prefix).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, StoreError> {
        let start = Instant::now();
        let outcome = self.store.commit(transaction).await;
        match &outcome {
            Ok(_) => self.metrics.committed(start.elapsed()),
            Err(error) => self.metrics.commit_failed(reason(error)),
        }
        outcome
    }

    fn watch(&self, prefix: &str) -> Watch {
        self.store.watch(prefix)
    }
}

fn reason(error: &StoreError) -> CommitFailure {
    match error {
        StoreError::Conflict { .. } => CommitFailure::Conflict,
        error if error.is_retryable() => CommitFailure::Unavailable,
        error if error.is_outcome_unknown() => CommitFailure::Unknown,
        _ => CommitFailure::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Guard, Memory, Op};

    #[tokio::test]
    async fn commits_are_counted_and_pass() {
        let metrics = Arc::new(FleetMetrics::new("1"));
        let store = Measured::new(Arc::new(Memory::new()), Arc::clone(&metrics));
        let put = |guards| Transaction::new(guards, vec![Op::put("a", b"1".as_slice())]).unwrap();
        store.commit(put(vec![])).await.unwrap();
        assert_eq!(store.get(&"a".into()).await.unwrap().unwrap().value.as_ref(), b"1");
        let absent = Guard::absent("a");
        assert!(matches!(store.commit(put(vec![absent])).await, Err(StoreError::Conflict { .. })));
        let text = metrics.text(None);
        assert!(text.contains("braid_store_commit_seconds_count 1\n"), "{text}");
        assert!(text.contains("braid_store_commit_failures_total{reason=\"conflict\"} 1\n"), "{text}");
    }
}
