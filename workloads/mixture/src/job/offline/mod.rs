//! Methods that fit a law to what was measured before the run whose proportions they set. Settings and arithmetic; runs nothing.
//!
//! ```text
//! swarm            runs on many mixtures ──────────────────────────────────────────────┐
//! merged proxies   prefix ─▶ one expert a domain ─▶ many weighted merges, evaluated ───┤─ fit a law a domain ─ propose ─▶ run
//!                        └─▶ a few real runs ─▶ calibration of each domain ────────────┘
//! ```

mod fit;
mod settings;

pub use fit::{DomainFit, Fitted, Point};
pub use settings::{LawSettings, MergedProxies, Offline, SwarmRuns};

pub(super) use fit::{Measured, fit};
