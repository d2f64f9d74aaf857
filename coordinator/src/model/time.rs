//! Time as the engine sees it: a number handed in with every event.

use serde::{Deserialize, Serialize};
use std::{ops::Add, time::Duration};

/// Milliseconds since the Unix epoch, never running backwards within a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Add<Duration> for Millis {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}
