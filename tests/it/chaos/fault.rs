//! What goes wrong, and for how long: drawn from a seed, and nothing is done here.

use fastrand::Rng;
use std::{fmt, time::Duration};

/// Whoever is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Victim {
    Coordinator(usize),
    Worker(usize),
    /// A member of etcd's cluster.
    Member(usize),
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Blow {
    /// SIGKILL; it is started again afterwards.
    Kill,
    /// SIGSTOP, and SIGCONT afterwards.
    Stop,
    /// Its network delivers nothing, in either direction.
    Cut,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) victim: Victim,
    pub(super) blow: Blow,
    pub(super) lasts: Duration,
}

/// How many there are of each kind of process.
pub(super) const COORDINATORS: usize = 3;
pub(super) const WORKERS: usize = 2;
pub(super) const MEMBERS: usize = 3;

impl Fault {
    fn draw(rng: &mut Rng, lease: Duration, can_cut: bool) -> Self {
        let victim = match rng.u8(..3) {
            0 => Victim::Coordinator(rng.usize(..COORDINATORS)),
            1 => Victim::Worker(rng.usize(..WORKERS)),
            _ => Victim::Member(rng.usize(..MEMBERS)),
        };
        let blow = match rng.u8(..if can_cut { 3 } else { 2 }) {
            0 => Blow::Kill,
            1 => Blow::Stop,
            _ => Blow::Cut,
        };
        let lease = lease.as_millis() as u64;
        let lasts = if rng.bool() { rng.u64(lease / 20..lease / 2) } else { rng.u64(lease * 5 / 4..lease * 7 / 4) };
        Self { victim, blow, lasts: Duration::from_millis(lasts) }
    }

    /// Whether it lasts longer than a lease.
    pub(super) fn is_long(&self, lease: Duration) -> bool {
        self.lasts > lease
    }
}

/// Faults that are there at the same time: one, now and then two of different kinds of processes.
pub(super) fn wave(rng: &mut Rng, lease: Duration, can_cut: bool) -> Vec<Fault> {
    let mut wave = vec![Fault::draw(rng, lease, can_cut)];
    if rng.u8(..4) == 0 {
        let second = Fault::draw(rng, lease, can_cut);
        let kind = |fault: &Fault| std::mem::discriminant(&fault.victim);
        if kind(&second) != kind(&wave[0]) {
            wave.push(second);
        }
    }
    wave.sort_by_key(|fault| fault.lasts);
    wave
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} for {:?}", self.blow, self.victim, self.lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_sequence_that_has_every_fault_in_it() {
        let lease = Duration::from_secs(2);
        let draw = |seed, can_cut| {
            let mut rng = Rng::with_seed(seed);
            (0..200).flat_map(|_| wave(&mut rng, lease, can_cut)).collect::<Vec<_>>()
        };
        assert_eq!(draw(3, true), draw(3, true));
        assert_ne!(draw(3, true), draw(4, true));
        let mut kinds: Vec<_> = draw(3, true).iter().map(|fault| (fault.victim, fault.blow, fault.is_long(lease))).collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), (COORDINATORS + WORKERS + MEMBERS) * 3 * 2);
        assert!(draw(3, false).iter().all(|fault| fault.blow != Blow::Cut));
    }
}
