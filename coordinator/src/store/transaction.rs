//! A checked transaction, and the limits that every back-end keeps.
//!
//! The limits are checked here and nowhere else: a [`Transaction`] that exists is inside them. They leave room below
//! those of etcd (128 operations, 1.5 MiB a request), so that state can move from one back-end to another.

use super::{Guard, Key, Op, StoreError};
use std::collections::HashSet;

/// Bytes of the value of one record.
pub const MAX_RECORD: usize = braid_workload::MAX_RECORD;
/// Bytes of a key.
pub const MAX_KEY: usize = 512;
/// Operations in one transaction, and guards in one transaction.
pub const MAX_OPS: usize = 100;
/// Bytes of all keys and values in one transaction.
pub const MAX_TRANSACTION: usize = 1 << 20;

/// Operations that happen together or not at all, if the guards hold at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    guards: Vec<Guard>,
    ops: Vec<Op>,
}

impl Transaction {
    /// Checks operations and guards against the limits.
    ///
    /// # Errors
    /// [`StoreError::Limit`] for an empty or long key, a long value, too many or too large operations, or two operations
    /// on one key (whose order etcd does not define).
    pub fn new(guards: Vec<Guard>, ops: Vec<Op>) -> Result<Self, StoreError> {
        at_most("a transaction", "operations", ops.len(), MAX_OPS)?;
        at_most("a transaction", "guards", guards.len(), MAX_OPS)?;
        let mut bytes = 0;
        let mut keys = HashSet::with_capacity(ops.len());
        for op in &ops {
            check(op)?;
            bytes += op.size();
            if !keys.insert(op.key()) {
                return Err(StoreError::Limit(format!("{}: written twice in one transaction", op.key())));
            }
        }
        for guard in &guards {
            check_key(&guard.key)?;
            bytes += guard.key.as_str().len();
        }
        at_most("a transaction", "bytes", bytes, MAX_TRANSACTION)?;
        Ok(Self { guards, ops })
    }

    /// The same with one record beside the limits: etcd leaves room for it, and so a caller's hundred operations stay
    /// together with what the [`Writer`](super::Writer) keeps for itself.
    pub(super) fn with_marker(mut self, marker: Op) -> Self {
        debug_assert!(self.ops.iter().all(|op| op.key() != marker.key()));
        self.ops.push(marker);
        self
    }

    /// What must hold.
    pub fn guards(&self) -> &[Guard] {
        &self.guards
    }

    /// What then happens.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }
}

/// Checks one operation against the limits of a record.
pub(super) fn check(op: &Op) -> Result<(), StoreError> {
    check_key(op.key())?;
    match op {
        Op::Put(key, value) => at_most(key.as_str(), "bytes of value", value.len(), MAX_RECORD),
        Op::Delete(_) => Ok(()),
    }
}

fn check_key(key: &Key) -> Result<(), StoreError> {
    if key.as_str().is_empty() {
        return Err(StoreError::Limit("a key may not be empty".into()));
    }
    let start: String = key.as_str().chars().take(32).collect();
    at_most(&start, "bytes of key", key.as_str().len(), MAX_KEY)
}

fn at_most(object: &str, what: &str, is: usize, limit: usize) -> Result<(), StoreError> {
    if is > limit {
        return Err(StoreError::Limit(format!("{object}: {is} {what}, at most {limit} fit")));
    }
    Ok(())
}
