//! Which attempt gets compute threads next, how much memory, and which GPUs. Pure: no threads, no tasks.
//!
//! Two lanes, each in order of arrival: narrow attempts, up to `threads` threads at once, and wide ones, one at a time. The lanes
//! run side by side, so an hour on one thread does not keep the other threads from a wide task. What both share is
//! memory: the sum of all grants never exceeds the budget. While the head of a lane has a slot but no memory yet, the other
//! lane starts nothing that came later, or the memory would never come free.
//!
//! A wide attempt is granted all that is free but for an eighth of the budget, of which every narrow thread has its
//! part; a narrow attempt is granted that part of each of its threads, or what it demands if that is more. A GPU is one
//! attempt's at a time; what asks for more threads or GPUs than there are gets all.

use super::Key;
use braid_workload::Demand;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The part of the budget kept for narrow attempts is one in so many.
const NARROW_PART: u64 = 8;

/// Where an attempt runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// On one thread.
    Narrow,
    /// Over all threads of the pool.
    Wide,
}

/// Attempts that wait and those that run. `T` is whatever goes with one.
#[derive(Debug)]
pub(super) struct Queue<T> {
    threads: usize,
    memory: u64,
    narrow: VecDeque<Waiting<T>>,
    wide: VecDeque<Waiting<T>>,
    running: BTreeMap<Key, Grant>,
    /// Threads of the narrow attempts that run.
    narrow_threads: usize,
    wide_running: bool,
    granted: u64,
    gpus: usize,
    free_gpus: BTreeSet<usize>,
    arrivals: u64,
}

/// An attempt to start now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start<T> {
    pub(super) key: Key,
    /// Bytes that it may hold.
    pub(super) memory: u64,
    /// GPUs that are its own, by their places among those of the worker.
    pub(super) gpus: Vec<usize>,
    pub(super) item: T,
}

#[derive(Debug)]
struct Waiting<T> {
    arrival: u64,
    key: Key,
    demand: Demand,
    item: T,
}

#[derive(Debug)]
struct Grant {
    lane: Lane,
    threads: usize,
    bytes: u64,
    gpus: Vec<usize>,
}

impl<T> Queue<T> {
    /// An empty queue for so many threads, bytes and GPUs.
    pub(super) fn new(threads: usize, memory: u64, gpus: usize) -> Self {
        Self {
            threads,
            memory,
            narrow: VecDeque::new(),
            wide: VecDeque::new(),
            running: BTreeMap::new(),
            narrow_threads: 0,
            wide_running: false,
            granted: 0,
            gpus,
            free_gpus: (0..gpus).collect(),
            arrivals: 0,
        }
    }

    /// Puts an attempt at the end of its lane.
    pub(super) fn push(&mut self, key: Key, demand: Demand, item: T) -> Lane {
        let lane = if demand.wide { Lane::Wide } else { Lane::Narrow };
        let waiting = Waiting { arrival: self.arrivals, key, demand, item };
        self.arrivals += 1;
        self.lane_mut(lane).push_back(waiting);
        lane
    }

    /// Starts the next attempt of a lane, if there is one and it may start now.
    pub(super) fn next(&mut self, lane: Lane) -> Option<Start<T>> {
        let memory = self.grant(lane)?;
        let Waiting { key, demand, item, .. } = self.lane_mut(lane).pop_front()?;
        self.granted += memory;
        let (threads, gpus) = (self.threads_of(&demand), self.gpus_of(&demand));
        let gpus: Vec<usize> = self.free_gpus.iter().copied().take(gpus).collect();
        self.free_gpus.retain(|gpu| !gpus.contains(gpu));
        match lane {
            Lane::Narrow => self.narrow_threads += threads,
            Lane::Wide => self.wide_running = true,
        }
        self.running.insert(key, Grant { lane, threads, bytes: memory, gpus: gpus.clone() });
        Some(Start { key, memory, gpus, item })
    }

    /// Whether [`Queue::next`] would start one.
    pub(super) fn is_ready(&self, lane: Lane) -> bool {
        self.grant(lane).is_some()
    }

    /// Takes note that a started attempt has ended.
    pub(super) fn end(&mut self, key: Key) {
        let Some(grant) = self.running.remove(&key) else { return };
        self.granted -= grant.bytes;
        self.free_gpus.extend(grant.gpus);
        match grant.lane {
            Lane::Narrow => self.narrow_threads -= grant.threads,
            Lane::Wide => self.wide_running = false,
        }
    }

    /// Takes an attempt out that has not started.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        [Lane::Narrow, Lane::Wide].into_iter().find_map(|lane| {
            let waiting = self.lane_mut(lane);
            let at = waiting.iter().position(|waiting| waiting.key == key)?;
            waiting.remove(at).map(|waiting| waiting.item)
        })
    }

    /// Forgets all that have not started.
    pub(super) fn clear(&mut self) {
        self.narrow.clear();
        self.wide.clear();
    }

    fn lane(&self, lane: Lane) -> &VecDeque<Waiting<T>> {
        match lane {
            Lane::Narrow => &self.narrow,
            Lane::Wide => &self.wide,
        }
    }

    fn lane_mut(&mut self, lane: Lane) -> &mut VecDeque<Waiting<T>> {
        match lane {
            Lane::Narrow => &mut self.narrow,
            Lane::Wide => &mut self.wide,
        }
    }

    /// The bytes for the head of the lane, if it may start now.
    fn grant(&self, lane: Lane) -> Option<u64> {
        let head = self.lane(lane).front().filter(|head| self.has_slot(lane, &head.demand))?;
        let other = match lane {
            Lane::Narrow => Lane::Wide,
            Lane::Wide => Lane::Narrow,
        };
        let first = |older: &Waiting<T>| older.arrival < head.arrival && self.has_slot(other, &older.demand);
        if self.lane(other).front().is_some_and(first) { None } else { self.bytes(lane, &head.demand) }
    }

    /// Whether there are threads and GPUs for it now.
    fn has_slot(&self, lane: Lane, demand: &Demand) -> bool {
        let threads = match lane {
            Lane::Narrow => self.narrow_threads + self.threads_of(demand) <= self.threads,
            Lane::Wide => !self.wide_running,
        };
        threads && self.gpus_of(demand) <= self.free_gpus.len()
    }

    /// Threads that a narrow attempt takes.
    fn threads_of(&self, demand: &Demand) -> usize {
        (demand.threads.max(1) as usize).min(self.threads)
    }

    fn gpus_of(&self, demand: &Demand) -> usize {
        (demand.gpus as usize).min(self.gpus)
    }

    fn bytes(&self, lane: Lane, demand: &Demand) -> Option<u64> {
        let free = self.memory - self.granted;
        // More than there is was never promised to fit: it gets all, alone, and decides itself what to make of it.
        let least = demand.memory.min(self.memory);
        let part = self.memory / NARROW_PART / (self.threads as u64).max(1);
        let bytes = match lane {
            Lane::Narrow => part.saturating_mul(self.threads_of(demand) as u64).max(least),
            Lane::Wide => {
                let kept = part * (self.threads - self.narrow_threads) as u64;
                free.saturating_sub(kept).max(least)
            }
        };
        (bytes <= free).then_some(bytes)
    }
}

#[cfg(test)]
mod tests;
