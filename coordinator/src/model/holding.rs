//! What a node holds, in sum. Kept as tasks come and go, so that no decision walks them all; in whole numbers that cannot
//! overflow, so that what was added can be taken away again to the last byte.

use super::Task;
use crate::placement::Load;
use std::ops::{AddAssign, SubAssign};

/// The sum over the tasks of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holding {
    wide: u32,
    narrow: u32,
    threads: u64,
    memory: u128,
    gpus: u64,
    backlog: u128,
}

impl Holding {
    fn of(task: &Task) -> Self {
        let demand = &task.spec.demand;
        Self {
            wide: demand.wide.into(),
            narrow: (!demand.wide).into(),
            threads: if demand.wide { 0 } else { demand.threads.max(1).into() },
            memory: demand.memory.into(),
            gpus: demand.gpus.into(),
            backlog: demand.bytes.saturating_sub(task.done).max(1).into(),
        }
    }

    /// As placement counts it.
    pub fn load(&self) -> Load {
        Load {
            wide: self.wide,
            narrow: self.narrow,
            threads: u32::try_from(self.threads).unwrap_or(u32::MAX),
            memory: u64::try_from(self.memory).unwrap_or(u64::MAX),
            gpus: u32::try_from(self.gpus).unwrap_or(u32::MAX),
            backlog: self.backlog as f64,
        }
    }
}

impl AddAssign<&Task> for Holding {
    fn add_assign(&mut self, task: &Task) {
        let more = Self::of(task);
        self.wide += more.wide;
        self.narrow += more.narrow;
        self.threads += more.threads;
        self.memory += more.memory;
        self.gpus += more.gpus;
        self.backlog += more.backlog;
    }
}

impl SubAssign<&Task> for Holding {
    /// The task must be in the sum, as it was added or since changed.
    fn sub_assign(&mut self, task: &Task) {
        let less = Self::of(task);
        self.wide = self.wide.saturating_sub(less.wide);
        self.narrow = self.narrow.saturating_sub(less.narrow);
        self.threads = self.threads.saturating_sub(less.threads);
        self.memory = self.memory.saturating_sub(less.memory);
        self.gpus = self.gpus.saturating_sub(less.gpus);
        self.backlog = self.backlog.saturating_sub(less.backlog);
    }
}
