//! What a worker holds for its coordinator: attempts that run, and ends that are not known to be safe.
//!
//! ```text
//!            end              taken
//!   Running ─────▶ Ended ───────────────▶ (forgotten)
//!      │             │ dropped                 ▲
//!      │             └─────────────────────────┤
//!      │ dropped              end              │
//!      └────────▶ Dropped ─────────────────────┘
//! ```
//! It outlives every session. A dropped attempt is nobody's, but its thread still runs: until it ends, the same attempt
//! must not start again.

use super::message::HeldAttempt;
use crate::{
    executor::{Bytes, Ended},
    key::Key,
};
use braid_workload::{AttemptId, LeaseId};
use std::collections::BTreeMap;

/// Attempts by key, and ends in their order.
#[derive(Debug, Default)]
pub(super) struct Held {
    attempts: BTreeMap<Key, Attempt>,
    ends: BTreeMap<u64, Key>,
    end_bytes: usize,
    running: usize,
}

#[derive(Debug)]
enum Attempt {
    Running { lease: LeaseId, bytes: Bytes, told: Bytes },
    Dropped,
    Ended { lease: LeaseId, place: u64, ended: Ended },
}

impl Held {
    /// Attempts that have not been taken, dropped ones included.
    pub(super) fn len(&self) -> usize {
        self.attempts.len()
    }

    /// Bytes of the values that wait to be taken.
    pub(super) fn end_bytes(&self) -> usize {
        self.end_bytes
    }

    /// Whether a thread or the executor's queue has anything.
    pub(super) fn is_idle(&self) -> bool {
        self.running == 0 && !self.attempts.values().any(|attempt| matches!(attempt, Attempt::Dropped))
    }

    /// Whether an attempt runs for somebody.
    pub(super) fn has_running(&self) -> bool {
        self.running > 0
    }

    /// Whether nothing is held for the coordinator.
    pub(super) fn is_empty(&self) -> bool {
        self.running == 0 && self.ends.is_empty()
    }

    /// Whether this attempt is held for the coordinator.
    pub(super) fn holds(&self, key: Key) -> bool {
        matches!(self.attempts.get(&key), Some(Attempt::Running { .. } | Attempt::Ended { .. }))
    }

    /// Whether this attempt was dropped and has not ended yet.
    pub(super) fn is_dropped(&self, key: Key) -> bool {
        matches!(self.attempts.get(&key), Some(Attempt::Dropped))
    }

    /// What a session begins with.
    pub(super) fn list(&self) -> Vec<HeldAttempt> {
        let lease = |attempt: &Attempt| match attempt {
            Attempt::Running { lease, .. } | Attempt::Ended { lease, .. } => Some(*lease),
            Attempt::Dropped => None,
        };
        self.attempts.iter().filter_map(|(key, attempt)| Some((*key, lease(attempt)?))).collect()
    }

    /// Takes an attempt in that starts now. The caller has checked that there is none of this key.
    pub(super) fn start(&mut self, key: Key, lease: LeaseId) {
        let running = Attempt::Running { lease, bytes: Bytes::default(), told: Bytes::default() };
        self.attempts.insert(key, running);
        self.running += 1;
    }

    /// Takes in the end of an attempt that runs, as the `place`-th thing that happened; the end of any other is nobody's.
    pub(super) fn end(&mut self, place: u64, ended: Ended) {
        match self.attempts.get(&ended.key) {
            Some(&Attempt::Running { lease, .. }) => {
                self.running -= 1;
                self.end_bytes += size(&ended);
                self.ends.insert(place, ended.key);
                self.attempts.insert(ended.key, Attempt::Ended { lease, place, ended });
            }
            Some(Attempt::Dropped) => {
                self.attempts.remove(&ended.key);
            }
            Some(Attempt::Ended { .. }) | None => {}
        }
    }

    /// Forgets an attempt for the coordinator; true when it runs and must be stopped.
    pub(super) fn drop(&mut self, key: Key) -> bool {
        let runs = self.is_running(key);
        if runs {
            self.running -= 1;
            self.attempts.insert(key, Attempt::Dropped);
        }
        self.take(key);
        runs
    }

    /// Forgets the end of an attempt: it is safe. One that still runs has no end to forget.
    pub(super) fn take(&mut self, key: Key) {
        if let Some(Attempt::Ended { place, ended, .. }) = self.attempts.get(&key) {
            self.ends.remove(place);
            self.end_bytes -= size(ended);
            self.attempts.remove(&key);
        }
    }

    /// Whether this attempt runs for the coordinator.
    pub(super) fn is_running(&self, key: Key) -> bool {
        matches!(self.attempts.get(&key), Some(Attempt::Running { .. }))
    }

    /// The attempts that run for the coordinator.
    pub(super) fn running(&self) -> impl Iterator<Item = Key> + '_ {
        self.attempts.iter().filter(|(_, attempt)| matches!(attempt, Attempt::Running { .. })).map(|(key, _)| *key)
    }

    /// The running attempts of the same task that a newer one makes void.
    pub(super) fn older(&self, newer: Key) -> Vec<Key> {
        let first = Key { task: newer.task, attempt: AttemptId(0) };
        self.attempts.range(first..newer).map(|(key, _)| *key).filter(|key| self.is_running(*key)).collect()
    }

    /// The first end at or after this place.
    pub(super) fn end_from(&self, place: u64) -> Option<(u64, LeaseId, &Ended)> {
        let (&place, key) = self.ends.range(place..).next()?;
        match self.attempts.get(key) {
            Some(Attempt::Ended { lease, ended, .. }) => Some((place, *lease, ended)),
            _ => None,
        }
    }

    /// Takes note how far attempts are; true when one of them got further than the coordinator was told.
    pub(super) fn advance(&mut self, progress: &[(Key, Bytes)]) -> bool {
        let mut news = false;
        for (key, now) in progress {
            if let Some(Attempt::Running { bytes, told, .. }) = self.attempts.get_mut(key) {
                *bytes = *now;
                news |= told != now;
            }
        }
        news
    }

    /// How far the running attempts are, to be told now; with `all` also those that are where they were.
    pub(super) fn tell(&mut self, all: bool) -> Vec<(Key, Bytes)> {
        let tell = |(key, attempt): (&Key, &mut Attempt)| match attempt {
            Attempt::Running { bytes, told, .. } if all || told != bytes => {
                *told = *bytes;
                Some((*key, *bytes))
            }
            _ => None,
        };
        self.attempts.iter_mut().filter_map(tell).collect()
    }
}

fn size(ended: &Ended) -> usize {
    match &ended.outcome {
        Ok(value) => value.len(),
        Err(failure) => failure.message.len() + failure.hint.as_ref().map_or(0, String::len),
    }
}
