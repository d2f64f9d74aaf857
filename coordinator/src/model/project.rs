//! Projects: in whose name jobs run, what share of the fleet each has a right to, and how much it may use at most.

use super::Class;
use crate::security::Role;
use serde::{Deserialize, Serialize};

/// The project of jobs that name none.
pub const DEFAULT_PROJECT: &str = "default";

/// Bytes of the name of a project.
const MAX_NAME: usize = 64;

/// Whether a project may be called so: 1 to 64 letters, digits, dots, dashes or underscores.
pub fn is_project(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(fine)
}

/// In whose name a job runs, and how it stands among others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Precedence {
    /// Jobs of a higher one go first, and may take the place of others; 0 unless somebody says otherwise.
    pub priority: i32,
    /// Who it counts for.
    pub project: String,
    /// The role of whoever submitted it: with the project it decides which folders the job may use.
    #[serde(default)]
    pub role: Role,
}

/// What operators say about a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its share beside others: one of weight 2 gets twice as much as one of weight 1. At least 1.
    pub weight: u32,
    /// What its tasks may use at a time.
    #[serde(default)]
    pub quota: Quota,
}

/// The most that the tasks of a project may use at a time; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Threads.
    pub threads: Option<u64>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// GPUs.
    pub gpus: Option<u64>,
}

/// What tasks use, or a fleet has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Threads.
    pub threads: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// GPUs.
    pub gpus: u64,
}

impl Default for Precedence {
    fn default() -> Self {
        Self { priority: 0, project: DEFAULT_PROJECT.to_owned(), role: Role::default() }
    }
}

impl Default for Project {
    fn default() -> Self {
        Self { weight: 1, quota: Quota::default() }
    }
}

impl Amount {
    /// What one task of a class uses; one that spreads over a node uses all `threads` of it.
    pub fn of(class: &Class, threads: u32) -> Self {
        let threads = if class.wide { threads } else { class.threads };
        Self { threads: threads.into(), memory: class.memory, gpus: class.gpus.into() }
    }

    /// So many of it.
    pub fn times(self, count: u32) -> Self {
        let count = u64::from(count);
        Self {
            threads: self.threads.saturating_mul(count),
            memory: self.memory.saturating_mul(count),
            gpus: self.gpus.saturating_mul(count),
        }
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            threads: self.threads.saturating_add(other.threads),
            memory: self.memory.saturating_add(other.memory),
            gpus: self.gpus.saturating_add(other.gpus),
        }
    }

    /// The largest part that it is of anything that a fleet has: the dominant share.
    pub fn share_of(self, fleet: Self) -> f64 {
        let part = |used: u64, all: u64| if all == 0 { 0.0 } else { used as f64 / all as f64 };
        part(self.threads, fleet.threads).max(part(self.memory, fleet.memory)).max(part(self.gpus, fleet.gpus))
    }
}

impl Quota {
    /// How many more of this fit beside what is used; else the first limit in the way, in words.
    ///
    /// # Errors
    /// The words, when none fits.
    pub fn room(self, used: Amount, each: Amount) -> Result<u32, String> {
        let mut room = u32::MAX;
        for (limit, used, each, unit) in [
            (self.threads, used.threads, each.threads, "threads"),
            (self.memory, used.memory, each.memory, "bytes of memory"),
            (self.gpus, used.gpus, each.gpus, "GPUs"),
        ] {
            let Some(limit) = limit.filter(|_| each > 0) else { continue };
            match limit.saturating_sub(used) / each {
                0 => return Err(format!("{limit} {unit}, of which {used} are in use and {each} more are needed")),
                fit => room = room.min(u32::try_from(fit).unwrap_or(u32::MAX)),
            }
        }
        Ok(room)
    }
}
