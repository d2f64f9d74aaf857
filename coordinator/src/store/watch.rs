//! Following the records of one prefix.

use super::{Op, Revision, Snapshot, StoreError};
use futures_util::{Stream, StreamExt, stream};
use std::{future::Future, pin::Pin};

/// The changes of one prefix from now on. Dropping it ends it.
///
/// The first event is [`WatchEvent::Resync`]. A watch that cannot follow (its reader was slow, the store forgot the
/// history, the connection was lost for long) yields another; in between no change is left out, repeated or out of order.
/// Nothing is fetched ahead of [`Watch::next`], so a slow reader costs bounded memory.
pub struct Watch {
    events: Pin<Box<dyn Stream<Item = Result<WatchEvent, StoreError>> + Send>>,
}

/// What a watch yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// All that is there: forget what was known before.
    Resync(Snapshot),
    /// What one transaction changed.
    Changed(Changes),
}

/// What one transaction changed under a prefix. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The transaction.
    pub revision: Revision,
    /// Its changes, at most one of a key.
    pub ops: Vec<Op>,
}

/// A source of events that a back-end writes; [`Watch`] keeps its future alive between calls.
pub(super) trait Follow: Send + 'static {
    /// The next event. After an error it is not called again.
    fn next(&mut self) -> impl Future<Output = Result<WatchEvent, StoreError>> + Send;
}

impl Watch {
    pub(super) fn new(source: impl Follow) -> Self {
        let events = stream::unfold(Some(source), |source| async move {
            let mut source = source?;
            match source.next().await {
                Ok(event) => Some((Ok(event), Some(source))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Self { events: Box::pin(events) }
    }

    /// Waits for the next event. Safe to use in `select!`: a call that is dropped loses nothing, and what it had begun
    /// goes on in the next.
    ///
    /// # Errors
    /// An error that no waiting mends; those that pass are waited out inside. The watch has then ended, and further
    /// calls return [`StoreError::Closed`].
    pub async fn next(&mut self) -> Result<WatchEvent, StoreError> {
        self.events.next().await.unwrap_or(Err(StoreError::Closed("the watch")))
    }
}
