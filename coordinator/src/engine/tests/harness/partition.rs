//! Networks that deliver nothing for a while, in one direction or both, and neither end is told.
//!
//! ```text
//!              partition                  heals
//!   delivers ─────────────▶ holds back ─────────────▶ delivers what each stream held, streams among each other in any order
//!                             │ longer than the lease
//!                             ├─▶ the worker gives its stream up and opens another, which is held back as well
//!                             └─▶ the coordinator gives the node up, and now and then the stream first
//! ```
//! What a stream holds is not lost by it: a transport sends again. It is lost when either end gives the stream up.

use super::{LEASE, World};
use crate::{
    engine::Event,
    model::{Millis, SessionId},
};

/// What is not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// What the worker says.
    Up,
    /// What the coordinator says.
    Down,
    Both,
}

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Up,
    Down,
}

#[derive(Debug)]
pub(super) struct Partition {
    cut: Cut,
    since: Millis,
    heals: Millis,
    /// What the worker had when it began.
    session: Option<SessionId>,
}

impl World {
    /// Cuts a worker off until a moment. One that is cut off already stays so until the later of the two.
    pub(crate) fn partition(&mut self, worker: usize, cut: Cut, heals: Millis) {
        let session = self.workers[worker].session;
        let new = Partition { cut, since: self.now, heals, session };
        let partition = self.partitions.entry(worker).or_insert(new);
        partition.heals = partition.heals.max(heals);
        self.seen.partitions += 1;
    }

    pub(super) fn is_cut(&self, worker: usize, way: Way) -> bool {
        self.partitions.get(&worker).is_some_and(|partition| match partition.cut {
            Cut::Up => way == Way::Up,
            Cut::Down => way == Way::Down,
            Cut::Both => true,
        })
    }

    /// What time does to partitions: they heal, and a worker that has heard nothing for a lease gives its stream up.
    pub(crate) fn endure(&mut self) {
        let workers: Vec<usize> = self.partitions.keys().copied().collect();
        for worker in workers {
            let Partition { since, heals, session, .. } = self.partitions[&worker];
            if heals <= self.now {
                self.heal(worker);
            } else if since + LEASE <= self.now
                && let Some(session) = session.filter(|session| self.workers[worker].session == Some(*session))
            {
                self.close(session);
                // Its link may be gone at the coordinator's end.
                self.workers[worker].session = None;
            }
        }
    }

    /// The coordinator's transport takes a stream of a worker that it does not hear for broken; the worker does not know.
    pub(crate) fn break_off(&mut self, worker: usize) {
        let silent = |session: &&SessionId| self.links.get(session).is_some_and(|link| link.worker == worker);
        let Some(session) = self.workers[worker].session.as_ref().filter(silent).copied() else { return };
        if self.is_cut(worker, Way::Up) {
            self.links.remove(&session);
            self.seen.broken_off += 1;
            self.step(Event::Disconnected { session });
        }
    }

    pub(super) fn heal_all(&mut self) {
        for worker in 0..self.workers.len() {
            self.heal(worker);
        }
    }

    fn heal(&mut self, number: usize) {
        let Some(partition) = self.partitions.remove(&number) else { return };
        let worker = &mut self.workers[number];
        let known = worker.session.is_some_and(|session| self.links.contains_key(&session));
        let lost = self.engine.state().nodes().all(|node| node.id != worker.node || node.session.is_none());
        self.seen.rode_out += u64::from(known && worker.session == partition.session && !lost);
        self.seen.cut_off += u64::from(lost && !worker.running().is_empty());
        if !known {
            // The first word from the other end is that there is no such stream.
            worker.session = None;
        }
    }
}
