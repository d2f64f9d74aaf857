//! One node: its worker's session, lease, and what it holds.
//!
//! ```text
//!             hello                 stream ends              hello
//!   (unknown) ─────▶ Ready ────────────────────▶ Silent ─────────────▶ Ready
//!                      │ no keep-alive for a lease  │ lease ends
//!                      └─────────────▶ (lost: forgotten, its tasks wait again) ◀┘
//! ```
//! Nodes are not stored: after a restart of the coordinator they register again, and the assignments in the task records
//! say what each may go on with.

use super::Millis;
use braid_workload::{LeaseId, NodeId, TaskId};
use std::{collections::BTreeSet, time::Duration};

/// One stream of one worker, numbered by the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// What a worker offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Compute threads.
    pub threads: u32,
    /// Bytes that tasks may hold.
    pub memory: u64,
    /// Kinds of job that it can run.
    pub kinds: BTreeSet<String>,
    /// Where it is, for people.
    pub address: String,
    /// Where its exchange listens, for the other members of a gang; empty when it cannot be in one.
    pub exchange: String,
    /// Of its software.
    pub version: String,
}

/// A node and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// Its stream, while there is one.
    pub session: Option<SessionId>,
    /// The right under which it is given tasks.
    pub lease: LeaseId,
    /// When that right ends unless it is heard of.
    pub expires: Millis,
    /// What it offers; unknown for a node known only from the store.
    pub inventory: Option<Inventory>,
    /// What it holds.
    pub tasks: BTreeSet<TaskId>,
    /// How fast it has been.
    pub rate: Rate,
    /// It gave a task back that it was not told to stop, as a worker does that is going away: nothing new until then.
    pub resting: Option<Millis>,
}

/// Learnt from finished tasks: a moving average that forgets.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rate {
    bytes: f64,
    seconds: f64,
}

impl Rate {
    /// What an old observation still counts after one of the same length.
    const MEMORY: f64 = 0.8;

    /// Takes in one finished task.
    pub fn observe(&mut self, bytes: u64, ran: Duration) {
        if bytes == 0 || ran.is_zero() {
            return;
        }
        self.bytes = self.bytes * Self::MEMORY + bytes as f64;
        self.seconds = self.seconds * Self::MEMORY + ran.as_secs_f64();
    }

    /// Bytes read and written per second, once known.
    pub fn bytes_per_second(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.bytes / self.seconds)
    }
}
