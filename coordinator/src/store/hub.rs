//! Watches of a store that lives inside this process: every commit passes here.
//!
//! The history kept for slow watches is bounded; one that falls behind it lists the records anew.

use super::{Changes, Follow, Op, Revision, Snapshot, StoreError, Watch, WatchEvent};
use std::{future::Future, sync::Arc};
use tokio::sync::broadcast::{self, error::RecvError};

/// Transactions that a watch may be behind before it starts anew.
pub(super) const HISTORY: usize = 256;

/// Where commits are announced.
pub(super) struct Hub(broadcast::Sender<Arc<Changes>>);

struct Feed<L> {
    changes: broadcast::Receiver<Arc<Changes>>,
    prefix: String,
    list: L,
    /// What the reader knows; `None` when it needs a snapshot.
    seen: Option<Revision>,
}

impl Hub {
    pub(super) fn new() -> Self {
        Self(broadcast::Sender::new(HISTORY))
    }

    /// Announces a transaction. Called in the order of revisions, after the transaction is durable.
    pub(super) fn publish(&self, revision: Revision, ops: Vec<Op>) {
        // Nobody listens: no error, there is nothing to tell.
        let _ = self.0.send(Arc::new(Changes { revision, ops }));
    }

    /// Follows a prefix; `list` reads all records of one. The watch ends when the hub is gone.
    pub(super) fn watch<L, F>(&self, prefix: &str, list: L) -> Watch
    where
        L: Fn(String) -> F + Send + 'static,
        F: Future<Output = Result<Snapshot, StoreError>> + Send + 'static,
    {
        // Subscribed before the first listing, so nothing falls between the two.
        Watch::new(Feed { changes: self.0.subscribe(), prefix: prefix.to_owned(), list, seen: None })
    }
}

impl<L, F> Follow for Feed<L>
where
    L: Fn(String) -> F + Send + 'static,
    F: Future<Output = Result<Snapshot, StoreError>> + Send + 'static,
{
    async fn next(&mut self) -> Result<WatchEvent, StoreError> {
        loop {
            let Some(seen) = self.seen else {
                let listing = (self.list)(self.prefix.clone());
                let snapshot = listing.await?;
                self.seen = Some(snapshot.revision);
                return Ok(WatchEvent::Resync(snapshot));
            };
            match self.changes.recv().await {
                Ok(changes) if changes.revision <= seen => {}
                Ok(changes) => {
                    self.seen = Some(changes.revision);
                    let under = |op: &&Op| op.key().as_str().starts_with(&self.prefix);
                    let ops: Vec<Op> = changes.ops.iter().filter(under).cloned().collect();
                    if !ops.is_empty() {
                        return Ok(WatchEvent::Changed(Changes { revision: changes.revision, ops }));
                    }
                }
                Err(RecvError::Lagged(_)) => {
                    // From the newest on, not from the oldest that is left: that one goes with the next commit.
                    self.changes = self.changes.resubscribe();
                    self.seen = None;
                }
                Err(RecvError::Closed) => return Err(StoreError::Closed("the store")),
            }
        }
    }
}
