//! What operators have said about a node. Stored, and outlives the sessions of the node and restarts of the coordinator.
//!
//! ```text
//!          cordon                drain                      the deadline passes
//!   open ─────────▶ cordoned ─────────────▶ draining ─────────────────────────────▶ draining: what ran is stopped
//!    ▲                  │    (or at once)      │                                        │
//!    └───── uncordon ───┴──────────────────────┴────────────────────────────────────────┘
//! ```
//! A cordoned node is given nothing new; what it runs goes on. A node that drains is cordoned, and what it runs beyond the
//! deadline is stopped and waits again, for other nodes.

use super::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What operators have said about a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upkeep {
    /// Whether it is given anything new.
    #[serde(default)]
    pub access: Access,
    /// What they call it, besides what its worker says: `rack=7`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Whether a node is given tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// It is.
    #[default]
    Open,
    /// Nothing new.
    Cordoned,
    /// Nothing new, and what runs beyond this moment is stopped; without one it may take as long as it takes.
    Draining(Option<Millis>),
}

impl Upkeep {
    /// Whether there is nothing to remember.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Access {
    /// Whether it is given new tasks.
    pub fn is_open(self) -> bool {
        self == Self::Open
    }

    /// Whether what still runs is to be stopped now.
    pub fn is_overdue(self, now: Millis) -> bool {
        matches!(self, Self::Draining(Some(until)) if until <= now)
    }
}
