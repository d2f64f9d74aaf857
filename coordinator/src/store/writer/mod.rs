//! Many small writes, few transactions: the one task that writes to the store.
//!
//! ```text
//!   idle ──batch──▶ committing ──ok──▶ acknowledge in order ──▶ idle
//!                    │   ▲  │
//!         no answer, │   │  └─ guard failed ─▶ read the fence ── it had happened ─▶ acknowledge
//!        unreachable ▼   │                            └─ a newer epoch ─▶ ended: fenced
//!                   wait (growing, jittered)
//! ```
//! While one transaction is under way others wait and then share the next, so nothing is delayed on purpose. One
//! transaction at a time keeps the order. A transaction is repeated as it is: the fence's guard lets it happen once.

mod fence;
mod pack;

pub use fence::{Epoch, Fence};

use super::{MAX_OPS, Op, Revision, Store, StoreError, backoff::Backoff, transaction};
use pack::{Batch, pack};
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Batches that wait for the store before a caller does.
const QUEUE: usize = 1024;

type End = Result<(), Arc<StoreError>>;

/// The task that writes. It lives until its handles are gone or it is cancelled, and writes first what was submitted.
pub struct Writer {
    store: Arc<dyn Store>,
    fence: Fence,
    queue: mpsc::Receiver<Batch>,
    waiting: VecDeque<Batch>,
    cancel: CancellationToken,
    backoff: Backoff,
}

/// Submits batches to a [`Writer`]. Cheap to clone.
#[derive(Clone)]
pub struct WriterHandle {
    queue: mpsc::Sender<Batch>,
    end: watch::Receiver<Option<End>>,
}

impl Writer {
    /// Starts the task under a claim. When `cancel` is set it writes what was submitted, unless the store is away, and
    /// ends.
    pub fn spawn(store: Arc<dyn Store>, fence: Fence, cancel: CancellationToken) -> WriterHandle {
        let (sender, queue) = mpsc::channel(QUEUE);
        let (ended, end) = watch::channel(None);
        let mut writer = Self { store, fence, queue, waiting: VecDeque::new(), cancel, backoff: Backoff::default() };
        tokio::spawn(async move {
            let result = writer.run().await.map_err(Arc::new);
            if let Err(error) = &result {
                tracing::error!("writing to the store has ended: {}", error.line());
            }
            // Whoever has seen the end can submit no more.
            writer.queue.close();
            ended.send_replace(Some(result));
        });
        WriterHandle { queue: sender, end }
    }

    async fn run(&mut self) -> Result<(), StoreError> {
        while self.fill().await {
            let packed = pack(&mut self.waiting);
            let revision = match packed.ops.is_empty() {
                true => self.fence.revision(),
                false => self.commit(packed.ops).await?,
            };
            for on_durable in packed.on_durable {
                on_durable(revision);
            }
        }
        Ok(())
    }

    /// Waits until there is something to write. False: there never will be.
    async fn fill(&mut self) -> bool {
        while self.waiting.is_empty() {
            tokio::select! {
                batch = self.queue.recv() => match batch {
                    Some(batch) => self.waiting.push_back(batch),
                    None => return false,
                },
                () = self.cancel.cancelled(), if !self.queue.is_closed() => self.queue.close(),
            }
        }
        while self.waiting.len() <= MAX_OPS
            && let Ok(batch) = self.queue.try_recv()
        {
            self.waiting.push_back(batch);
        }
        true
    }

    /// Makes one transaction happen, however long it takes.
    async fn commit(&mut self, ops: Vec<Op>) -> Result<Revision, StoreError> {
        let transaction = self.fence.transaction(ops)?;
        loop {
            let outcome = match self.store.commit(transaction.clone()).await {
                Err(StoreError::Conflict { .. }) => self.fence.settle(self.store.as_ref()).await,
                outcome => outcome,
            };
            match outcome {
                Ok(revision) => {
                    self.backoff.worked("the writer");
                    self.fence.advance(revision);
                    return Ok(revision);
                }
                Err(error) if error.is_retryable() || error.is_outcome_unknown() => {
                    let wait = self.backoff.failed("the writer", &error);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.cancel.cancelled() => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl WriterHandle {
    /// Queues operations that take effect together (up to [`MAX_OPS`] keys and [`MAX_TRANSACTION`](super::MAX_TRANSACTION)
    /// bytes; more are written in order by several transactions). Waits while the queue is full. `on_durable` is called
    /// once, in the order of submission, after they are durable, with the revision of the store that has them; it must not
    /// block. It is dropped uncalled if the writer ends before.
    ///
    /// Without operations it is called when all that was submitted before is durable.
    ///
    /// # Errors
    /// [`StoreError::Limit`] when an operation exceeds a limit or touches a record of the store itself, and
    /// [`StoreError::Closed`] when the writer has ended: see [`WriterHandle::ended`].
    pub async fn submit(&self, ops: Vec<Op>, on_durable: impl FnOnce(Revision) + Send + 'static) -> Result<(), StoreError> {
        for op in &ops {
            transaction::check(op)?;
            if fence::is_reserved(op.key()) {
                return Err(StoreError::Limit(format!("{}: a record of the store itself", op.key())));
            }
        }
        let batch = Batch::new(ops, Box::new(on_durable));
        self.queue.send(batch).await.map_err(|_| StoreError::Closed("the writer"))
    }

    /// Writes operations and waits until they are durable.
    ///
    /// # Errors
    /// As [`WriterHandle::submit`]; [`StoreError::Closed`] also when the writer ends before it has told that they are
    /// durable. They may be nevertheless.
    pub async fn write(&self, ops: Vec<Op>) -> Result<Revision, StoreError> {
        let (sender, durable) = oneshot::channel();
        let tell = move |revision| {
            // A caller that has gone away does not want the answer.
            let _ = sender.send(revision);
        };
        self.submit(ops, tell).await?;
        durable.await.map_err(|_| StoreError::Closed("the writer"))
    }

    /// Batches that can be submitted now without waiting.
    pub fn room(&self) -> usize {
        self.queue.capacity()
    }

    /// Waits for the end of the writer.
    ///
    /// # Errors
    /// Why it ended, if not because it was told to: [`StoreError::Fenced`] means that this coordinator must stop.
    pub async fn ended(&self) -> Result<(), Arc<StoreError>> {
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(Ok(())),
            Err(_) => Err(Arc::new(StoreError::Closed("the writer"))),
        }
    }
}
