//! A store that fails as told: before, after, or long after a commit took effect.

use crate::store::{Key, Revision, Snapshot, Store, StoreError, Transaction, Versioned, Watch};
use async_trait::async_trait;
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// What becomes of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It works.
    None,
    /// It is refused and has no effect.
    Unavailable,
    /// It is lost on the way.
    RequestLost,
    /// It has its effect, and the answer is lost.
    AnswerLost,
    /// The answer is a time-out, and the effect comes when the next call is under way.
    Late,
}

/// A store in front of another.
pub(super) struct Faulty {
    inner: Arc<dyn Store>,
    commits: Mutex<Box<dyn FnMut() -> Fault + Send>>,
    late: Mutex<Vec<Transaction>>,
    /// A commit takes one permit.
    pub(super) gate: Semaphore,
}

impl Faulty {
    /// Asks `commits` what becomes of each commit. Reads suffer the same fate, if it is [`Fault::Unavailable`].
    pub(super) fn new(inner: Arc<dyn Store>, commits: impl FnMut() -> Fault + Send + 'static) -> Arc<Self> {
        let gate = Semaphore::new(Semaphore::MAX_PERMITS);
        Arc::new(Self { inner, commits: Mutex::new(Box::new(commits)), late: Mutex::default(), gate })
    }

    fn fault(&self) -> Fault {
        self.commits.lock().unwrap()()
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable { operation: "call".into(), place: "faulty store".into(), source: "as told".into() }
}

fn unknown() -> StoreError {
    StoreError::OutcomeUnknown { operation: "commit".into(), place: "faulty store".into(), source: "as told".into() }
}

#[async_trait]
impl Store for Faulty {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        match self.fault() {
            Fault::Unavailable => Err(unavailable()),
            _ => self.inner.get(key).await,
        }
    }

    async fn list(&self, prefix: &str) -> Result<Snapshot, StoreError> {
        self.inner.list(prefix).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, StoreError> {
        self.gate.acquire().await.unwrap().forget();
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        for transaction in late {
            match self.inner.commit(transaction).await {
                Ok(_) | Err(StoreError::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        match self.fault() {
            Fault::None => self.inner.commit(transaction).await,
            Fault::Unavailable => Err(unavailable()),
            Fault::RequestLost => Err(unknown()),
            Fault::AnswerLost => self.inner.commit(transaction).await.and(Err(unknown())),
            Fault::Late => {
                self.late.lock().unwrap().push(transaction);
                Err(unknown())
            }
        }
    }

    fn watch(&self, prefix: &str) -> Watch {
        self.inner.watch(prefix)
    }
}
