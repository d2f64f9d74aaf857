//! Where the coordinator's records live: small, durable, compared before they are swapped.
//!
//! ```text
//!   runtime ──batches──▶ Writer ──one transaction at a time──▶ Store ──▶ memory | file | etcd
//!      ▲                   │
//!      └──── durable ──────┘
//! ```
//! * [`Store`] — the one trait; a back-end is chosen by a [`StoreUrl`] and opened by [`open`];
//! * [`Transaction`] — operations inside the limits that every back-end keeps;
//! * [`Watch`] — a snapshot, then changes;
//! * [`Leases`] — records that vanish with their owner, where several coordinators share a store;
//! * [`Fence`] and [`Writer`] — one coordinator at a time writes, and many small writes become few transactions.
//!
//! Every back-end passes the suite in `conformance`. It is no place for bulk data: records stay under 64 KiB. It knows
//! nothing of jobs.

mod backoff;
mod embedded;
mod error;
#[cfg(feature = "etcd")]
mod etcd;
mod hub;
mod leases;
mod measured;
mod memory;
mod open;
mod schema;
mod transaction;
mod types;
mod url;
mod watch;
mod writer;

#[cfg(test)]
mod conformance;

pub(crate) use backoff::Backoff;
pub use embedded::Embedded;
pub use error::{Cause, StoreError};
#[cfg(feature = "etcd")]
pub use etcd::{Etcd, EtcdOptions};
pub use leases::{Leases, StoreLease};
pub(crate) use measured::Measured;
pub use memory::Memory;
pub use open::open;
pub(crate) use open::open_shared;
pub use transaction::{MAX_KEY, MAX_OPS, MAX_RECORD, MAX_TRANSACTION, Transaction};
pub use types::{Expect, Guard, Key, Op, Revision, Snapshot, Value, Versioned};
pub use url::StoreUrl;
pub use watch::{Changes, Watch, WatchEvent};
pub use writer::{Epoch, Fence, Writer, WriterHandle};

use hub::Hub;
use watch::Follow;

use async_trait::async_trait;
use std::sync::Arc;

/// A set of records that several processes may share.
///
/// Reads are linearizable: they see every commit that returned before they began.
#[async_trait]
pub trait Store: Send + Sync {
    /// One record, or `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], or an error that no further try mends.
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError>;

    /// All records whose key starts with these bytes, of one moment, in the order of their keys.
    ///
    /// # Errors
    /// As [`Store::get`].
    async fn list(&self, prefix: &str) -> Result<Snapshot, StoreError>;

    /// Makes the changes if all guards hold, all together, durable before it returns. Returns the revision that the
    /// store then has; a transaction that changes nothing makes no new one.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a guard does not hold: nothing happened. [`StoreError::Unavailable`]: nothing
    /// happened, try again. [`StoreError::OutcomeUnknown`]: read before trying again; guards make a repeat harmless.
    async fn commit(&self, transaction: Transaction) -> Result<Revision, StoreError>;

    /// Follows all records whose key starts with these bytes.
    fn watch(&self, prefix: &str) -> Watch;

    /// Its leases; `None` for a store that one process has to itself.
    fn leases(&self) -> Option<Arc<dyn Leases>> {
        None
    }
}
