//! Records that vanish unless they are renewed: the ground of leadership.
//!
//! Only a store that several coordinators share has them. A lease tells others that its owner may be dead; it protects
//! nothing by itself. What it gives a right to is protected by comparing its record in every transaction.

use super::{Key, Revision, StoreError, Value};
use async_trait::async_trait;
use std::time::Duration;

/// A lease, as the store numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreLease(pub i64);

/// Leases of a store.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Grants a lease, and says how long it lasts: as long as was asked for, or longer. Counted from before the call was
    /// sent, it cannot end sooner.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::OutcomeUnknown`]: a lease that was granted and lost ends by itself.
    async fn grant(&self, lasts: Duration) -> Result<(StoreLease, Duration), StoreError>;

    /// Makes a lease last as long as at first again. `None`: it has ended.
    ///
    /// # Errors
    /// As [`Leases::grant`].
    async fn renew(&self, lease: StoreLease) -> Result<Option<Duration>, StoreError>;

    /// Makes a record where there is none, which goes when the lease ends.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is one; as [`Store::commit`](super::Store::commit) otherwise.
    async fn create(&self, lease: StoreLease, key: &Key, value: Value) -> Result<Revision, StoreError>;

    /// Ends a lease and removes its record.
    ///
    /// # Errors
    /// As [`Leases::grant`]. One that has ended already is no error.
    async fn revoke(&self, lease: StoreLease) -> Result<(), StoreError>;
}
