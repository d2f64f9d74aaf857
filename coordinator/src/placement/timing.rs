//! How long a task of a class takes on a node, and what it keeps busy there, as far as is known.

use super::{Candidate, Problem, Resource, Waiting};

/// Bytes per second of a node that has not finished anything yet, when no other has either.
const UNKNOWN_RATE: f64 = 1e9;
/// Seconds of a task of which nothing is known.
const UNKNOWN_SECONDS: f64 = 1.0;
/// All resources, in the order of the rows.
pub(super) const RESOURCES: [Resource; 5] = [Resource::Threads, Resource::Memory, Resource::Gpus, Resource::Link, Resource::Disk];

/// What a node of unknown rate is taken for: the mean of the others.
pub(super) fn usual_rate(nodes: &[Candidate]) -> f64 {
    let known: Vec<f64> = nodes.iter().filter_map(|node| node.rate).collect();
    if known.is_empty() { UNKNOWN_RATE } else { known.iter().sum::<f64>() / known.len() as f64 }
}

impl Candidate {
    /// Bytes per second of tasks of a kind of job.
    pub(super) fn rate_of(&self, kind: &str, usual: f64) -> f64 {
        self.rates.get(kind).copied().or(self.rate).unwrap_or(usual).max(1.0)
    }

    /// Bytes of a class's inputs that are at hand.
    pub(super) fn at_hand(&self, class: &Waiting) -> u64 {
        let here = class.class.inputs.iter().filter(|input| self.inputs.contains(&input.name));
        here.fold(0, |sum, input| sum.saturating_add(input.bytes))
    }

    /// Seconds of one task here.
    pub(super) fn seconds(&self, class: &Waiting, usual: f64) -> f64 {
        let rate = self.rate_of(&class.kind, usual);
        match class.seconds {
            Some(seconds) if seconds > 0.0 => seconds * usual / rate,
            _ if class.bytes > 0.0 => class.bytes / rate,
            _ => UNKNOWN_SECONDS,
        }
    }

    /// Seconds that one task keeps each resource busy, in the order of [`RESOURCES`].
    pub(super) fn busy_for(&self, class: &Waiting, usual: f64) -> [f64; 5] {
        let (demand, seconds) = (&class.class, self.seconds(class, usual));
        let share = |part: f64, whole: f64| if part > 0.0 { (part / whole.max(1.0)).min(1.0) } else { 0.0 };
        let threads = if demand.wide { 1.0 } else { share(demand.threads.into(), self.offer.threads.into()) };
        let inputs = class.class.inputs.iter().fold(0u64, |sum, input| sum.saturating_add(input.bytes));
        let here = self.at_hand(class);
        let over = |bytes: u64, rate: Option<u64>| rate.filter(|rate| *rate > 0).map_or(0.0, |rate| bytes as f64 / rate as f64);
        [
            threads * seconds,
            share(demand.memory as f64, self.offer.memory as f64) * seconds,
            share(demand.gpus.into(), self.offer.gpus.count.into()) * seconds,
            over(inputs - here, self.offer.link),
            over(here, self.offer.disk),
        ]
    }

    /// Seconds until what is here is done, in the order of [`RESOURCES`].
    pub(super) fn busy_now(&self, usual: f64) -> [f64; 5] {
        let seconds = self.load.backlog / self.rate.unwrap_or(usual).max(1.0);
        let at_once = if self.load.wide > 0 { 1.0 } else { f64::from(self.offer.threads.max(1)) };
        let tasks = f64::from((self.load.wide.saturating_add(self.load.narrow)).max(1));
        let gpus = f64::from(self.load.gpus) / f64::from(self.offer.gpus.count.max(1));
        [seconds / at_once, 0.0, seconds * gpus.min(1.0) / tasks, 0.0, 0.0]
    }
}

/// Which resources matter in a problem.
pub(super) fn in_use(problem: &Problem) -> Vec<usize> {
    let any = |of: fn(&Waiting) -> bool| problem.classes.iter().any(of);
    let has = |of: fn(&Candidate) -> bool| problem.nodes.iter().any(of);
    let inputs = any(|class| !class.class.inputs.is_empty());
    let used = [
        true,
        any(|class| class.class.memory > 0),
        any(|class| class.class.gpus > 0) || has(|node| node.load.gpus > 0),
        inputs && has(|node| node.offer.link.is_some()),
        inputs && has(|node| node.offer.disk.is_some()),
    ];
    (0..RESOURCES.len()).filter(|at| used[*at]).collect()
}
