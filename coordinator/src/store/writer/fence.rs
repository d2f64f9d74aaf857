//! One coordinator at a time: the record that says who writes, and how far they came.
//!
//! The record `writer/sequence` holds `EPOCH SEQUENCE`. A coordinator claims the store by raising the epoch; each of its
//! transactions demands the record of the one before and raises the sequence. So a coordinator whose claim is no longer
//! the newest can change nothing, whatever it believes; a transaction that is sent twice happens once; and after a lost
//! answer the record tells whether it happened.
//!
//! Where several coordinators share a store, each transaction also demands the record by which this one leads. That record
//! goes with its lease, so a leader that was silent for too long is shut out even before another has claimed the store.

use crate::store::{Expect, Guard, Key, Op, Revision, Store, StoreError, Transaction, Versioned};
use std::fmt;

/// Where the record is.
const KEY: &str = "writer/sequence";

/// Counts the coordinators that have claimed a store, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// A claim on a store, as the last transaction under it left it.
#[derive(Debug)]
pub struct Fence {
    epoch: Epoch,
    sequence: u64,
    revision: Revision,
    /// The record by which this coordinator leads.
    seat: Option<Guard>,
}

impl Fence {
    /// The record that changes when another coordinator takes over, for those who want to watch it.
    pub fn key() -> Key {
        KEY.into()
    }

    /// Takes the store over from whoever had it. State is read after this, so that it is the last that they wrote.
    ///
    /// # Errors
    /// What reading and writing may return, but for conflicts and unknown outcomes, which are settled here.
    pub async fn claim(store: &dyn Store) -> Result<Self, StoreError> {
        Self::claim_under(store, None).await
    }

    /// The same for a coordinator that leads as long as a record is what this guard demands.
    ///
    /// # Errors
    /// Besides those of [`Fence::claim`], [`StoreError::Deposed`] when it is not.
    pub async fn claim_under(store: &dyn Store, seat: Option<Guard>) -> Result<Self, StoreError> {
        loop {
            let (expect, before) = match store.get(&Self::key()).await? {
                None => (Expect::Absent, 0),
                Some(found) => (Expect::At(found.revision), parse(&found)?.0.0),
            };
            let epoch = Epoch(before.checked_add(1).ok_or_else(|| foreign("its epoch is at its end"))?);
            let guards = std::iter::once(Guard { key: Self::key(), expect }).chain(seat.clone()).collect();
            match store.commit(Transaction::new(guards, vec![record(epoch, 0)])?).await {
                Ok(revision) => return Ok(Self { epoch, sequence: 0, revision, seat }),
                // Claimed by another, or perhaps by this: a further epoch is right in either case.
                Err(StoreError::Conflict { .. } | StoreError::OutcomeUnknown { .. }) => {
                    still_seated(store, seat.as_ref()).await?
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Which claim this is.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The last transaction under the claim.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The next transaction: these operations, if the claim stands.
    pub(super) fn transaction(&self, ops: Vec<Op>) -> Result<Transaction, StoreError> {
        let guards = std::iter::once(Guard::at(Self::key(), self.revision)).chain(self.seat.clone()).collect();
        Ok(Transaction::new(guards, ops)?.with_marker(record(self.epoch, self.next()?)))
    }

    /// Notes that the next transaction has happened.
    pub(super) fn advance(&mut self, revision: Revision) {
        self.sequence = self.sequence.saturating_add(1);
        self.revision = revision;
    }

    /// Finds out why the guard of the next transaction did not hold: it had happened before, at the revision returned,
    /// and the answer was lost; or the claim is void.
    pub(super) async fn settle(&self, store: &dyn Store) -> Result<Revision, StoreError> {
        let found = store.get(&Self::key()).await?.ok_or_else(|| foreign("it has been removed"))?;
        let (epoch, sequence) = parse(&found)?;
        if epoch != self.epoch {
            return Err(StoreError::Fenced { mine: self.epoch, theirs: epoch });
        }
        if sequence == self.next()? {
            return Ok(found.revision);
        }
        still_seated(store, self.seat.as_ref()).await?;
        Err(foreign("two writers use one epoch"))
    }

    fn next(&self) -> Result<u64, StoreError> {
        self.sequence.checked_add(1).ok_or_else(|| foreign("its sequence is at its end"))
    }
}

/// An error if the record by which a coordinator leads is not what it was.
async fn still_seated(store: &dyn Store, seat: Option<&Guard>) -> Result<(), StoreError> {
    let Some(seat) = seat else { return Ok(()) };
    let found = store.get(&seat.key).await?.map(|found| found.revision);
    if seat.expect.allows(found) { Ok(()) } else { Err(StoreError::Deposed) }
}

/// Whether operations of a caller may touch this key.
pub(super) fn is_reserved(key: &Key) -> bool {
    key.as_str() == KEY || key.as_str() == crate::store::schema::KEY
}

fn record(epoch: Epoch, sequence: u64) -> Op {
    Op::put(KEY, format!("{epoch} {sequence}").into_bytes())
}

fn parse(found: &Versioned) -> Result<(Epoch, u64), StoreError> {
    std::str::from_utf8(&found.value)
        .ok()
        .and_then(|text| text.split_once(' '))
        .and_then(|(epoch, sequence)| Some((Epoch(epoch.parse().ok()?), sequence.parse().ok()?)))
        .ok_or_else(|| foreign("it is not EPOCH SEQUENCE"))
}

fn foreign(reason: &str) -> StoreError {
    StoreError::Foreign { place: format!("record {KEY}"), reason: reason.to_owned() }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
