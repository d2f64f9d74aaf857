//! What a group can hold within a makespan: subsets of sequences under two limits, time and memory, worth a given value.
//!
//! The one search that bounds (is there a group worth more than its GPUs?), exact plans (all groups that waste little) and
//! greedy plans (the best company for this sequence) share. Both limits together are relaxed to one, a weighted mean of
//! the shares used; in order of value a weight, what follows is worth at most the room left times the next efficiency.

use super::{GroupKind, Load};

/// Room for float error when a sequence just fits; plans take their true times, so this only ever loosens a bound.
const ROUNDING: f64 = 1e-12;

/// Steps of the search for the tightest share, each of which leaves 0.62 of the interval.
const TIGHTENING: usize = 10;
/// The golden section.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// A class of equal sequences, as a group of one kind sees it.
#[derive(Debug, Clone, Copy)]
struct Entry {
    class: usize,
    time: f64,
    tokens: u64,
    value: f64,
    /// Shares of the two limits that one takes.
    takes: (f64, f64),
    /// Value for each unit of room.
    efficiency: f64,
}

/// A group of one kind that has to finish within a makespan.
#[derive(Debug, Clone)]
pub(crate) struct Knapsack {
    pub(crate) kind: usize,
    /// The time that sequences may take.
    slack: f64,
    capacity: u64,
    /// Weight of time in the one relaxed limit; the rest is memory's.
    share: f64,
    /// Classes of which one fits, by efficiency, highest first.
    entries: Vec<Entry>,
    /// The least time and the fewest tokens from each entry on.
    least: Vec<Room>,
}

/// How full a group is.
#[derive(Debug, Clone, Copy)]
struct Room {
    time: f64,
    tokens: u64,
}

impl Knapsack {
    /// For the sequences `classes`, worth `values` each. `share` in [0, 1] weighs time against memory.
    pub(crate) fn new(index: usize, kind: &GroupKind, makespan: f64, share: f64, classes: &[Load], values: &[f64]) -> Self {
        let slack = makespan - kind.fixed;
        let share = share.clamp(0.0, 1.0);
        let entries = classes.iter().zip(values).enumerate().filter_map(|(class, (&load, &value))| {
            let time = kind.variable(load);
            (kind.holds(load) && time <= slack * (1.0 + ROUNDING)).then(|| {
                let takes = (time / slack, load.tokens as f64 / kind.capacity as f64);
                Entry { class, time, tokens: load.tokens, value, takes, efficiency: 0.0 }
            })
        });
        let entries = entries.collect();
        let mut knapsack = Self { kind: index, slack, capacity: kind.capacity, share, entries, least: Vec::new() };
        knapsack.weigh(share);
        knapsack
    }

    /// Puts the entries in order of efficiency under this share.
    fn weigh(&mut self, share: f64) {
        self.share = share;
        for e in &mut self.entries {
            e.efficiency = e.value / e.weight(share);
        }
        self.entries.sort_unstable_by(|a, b| b.efficiency.total_cmp(&a.efficiency).then(a.class.cmp(&b.class)));
        let mut least = Room { time: f64::INFINITY, tokens: u64::MAX };
        let from_here = self.entries.iter().rev().map(|e| {
            least = Room { time: least.time.min(e.time), tokens: least.tokens.min(e.tokens) };
            least
        });
        self.least = from_here.collect();
        self.least.reverse();
    }

    /// Chooses the share under which the relaxation is tightest. No set is worth more than what this returns.
    pub(crate) fn tighten(&mut self, available: &[u32]) -> f64 {
        // the relaxed worth is convex in the share: each set is linear in the multipliers of the two limits
        let (mut low, mut high) = (0.0, 1.0);
        let (mut left, mut right) = (1.0 - GOLDEN, GOLDEN);
        let (mut at_left, mut at_right) = (self.relaxed_worth(left, available), self.relaxed_worth(right, available));
        for _ in 0..TIGHTENING {
            if at_left < at_right {
                (high, right, at_right) = (right, left, at_left);
                left = high - GOLDEN * (high - low);
                at_left = self.relaxed_worth(left, available);
            } else {
                (low, left, at_left) = (left, right, at_right);
                right = low + GOLDEN * (high - low);
                at_right = self.relaxed_worth(right, available);
            }
        }
        self.relaxed_worth(if at_left < at_right { left } else { right }, available)
    }

    /// The worth of the relaxed problem, where sequences can be cut: filled by efficiency (Dantzig's bound).
    fn relaxed_worth(&mut self, share: f64, available: &[u32]) -> f64 {
        self.weigh(share);
        let mut room = 1.0 + ROUNDING;
        let mut worth = 0.0;
        for e in &self.entries {
            let part = (room / e.weight(share)).min(f64::from(available[e.class]));
            worth += part * e.value;
            room -= part * e.weight(share);
            if room <= 0.0 {
                break;
            }
        }
        worth
    }

    fn empty(&self) -> Room {
        Room { time: self.slack * (1.0 + ROUNDING), tokens: self.capacity }
    }

    /// Both limits as one, between 0 and 1.
    fn relaxed(&self, room: Room) -> f64 {
        self.share * room.time / self.slack + (1.0 - self.share) * room.tokens as f64 / self.capacity as f64
    }

    /// Visits sets of at most `available` of each class that are worth more than the threshold, starting at `threshold`
    /// and set anew to what `visit` returns. With `first`, every set holds one of that class. Sets come as classes, in
    /// order of efficiency; `maximal` leaves out those to which another available sequence could be added.
    /// Returns whether all were visited before `nodes` ran out.
    pub(crate) fn visit(
        &self,
        available: &[u32],
        first: Option<usize>,
        threshold: f64,
        maximal: bool,
        nodes: &mut usize,
        visit: &mut dyn FnMut(&[usize], f64) -> f64,
    ) -> bool {
        let mut walk = Walk {
            knapsack: self,
            available,
            threshold,
            maximal,
            nodes,
            visit,
            chosen: Vec::new(),
            taken: vec![0; available.len()],
        };
        let (mut room, mut value) = (self.empty(), 0.0);
        if let Some(class) = first {
            let Some(entry) = self.entries.iter().find(|e| e.class == class) else { return true };
            room = room.without(entry);
            value = entry.value;
            walk.chosen.push(class);
            walk.taken[class] += 1;
        }
        walk.from(0, value, room)
    }

    /// Whether one of `class` fits by itself.
    pub(crate) fn admits(&self, class: usize) -> bool {
        self.entries.iter().any(|e| e.class == class)
    }
}

impl Entry {
    fn weight(&self, share: f64) -> f64 {
        share * self.takes.0 + (1.0 - share) * self.takes.1
    }
}

impl Room {
    fn admits(self, entry: &Entry) -> bool {
        entry.time <= self.time && entry.tokens <= self.tokens
    }

    fn without(self, entry: &Entry) -> Self {
        Self { time: self.time - entry.time, tokens: self.tokens - entry.tokens }
    }
}

struct Walk<'a> {
    knapsack: &'a Knapsack,
    available: &'a [u32],
    threshold: f64,
    maximal: bool,
    nodes: &'a mut usize,
    visit: &'a mut dyn FnMut(&[usize], f64) -> f64,
    chosen: Vec<usize>,
    taken: Vec<u32>,
}

impl Walk<'_> {
    fn from(&mut self, start: usize, value: f64, room: Room) -> bool {
        if *self.nodes == 0 {
            return false;
        }
        *self.nodes -= 1;
        if value > self.threshold && !self.chosen.is_empty() && !(self.maximal && self.can_grow(room)) {
            self.threshold = (self.visit)(&self.chosen, value);
        }
        let relaxed = self.knapsack.relaxed(room);
        for (i, entry) in self.knapsack.entries.iter().enumerate().skip(start) {
            let least = self.knapsack.least[i];
            if value + relaxed * entry.efficiency <= self.threshold || least.time > room.time || least.tokens > room.tokens {
                break;
            }
            if self.taken[entry.class] < self.available[entry.class] && room.admits(entry) {
                self.taken[entry.class] += 1;
                self.chosen.push(entry.class);
                let all = self.from(i, value + entry.value, room.without(entry));
                self.chosen.pop();
                self.taken[entry.class] -= 1;
                if !all {
                    return false;
                }
            }
        }
        true
    }

    fn can_grow(&self, room: Room) -> bool {
        let least = self.knapsack.least.first();
        least.is_some_and(|l| l.time <= room.time && l.tokens <= room.tokens)
            && self.knapsack.entries.iter().any(|e| self.taken[e.class] < self.available[e.class] && room.admits(e))
    }
}
