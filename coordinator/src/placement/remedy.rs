//! The smallest change that would let a task start that waits. Found by trying: each change is made to the problem, and counts if
//! the task is placed then.

use super::{Candidate, Decision, Greedy, Load, Placer, Problem, Waiting};
use crate::model::Inventory;
use braid_workload::NodeId;
use bytesize::ByteSize;
use serde::Serialize;
use std::{fmt, sync::Arc};

/// What would let it start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// At which node; `None`: at a new one.
    pub node: Option<NodeId>,
    /// What is to change there. Never empty.
    pub changes: Vec<Change>,
}

/// One thing that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Its worker is one that knows the kind of job.
    Kind(String),
    /// It has a label.
    Label(String, String),
    /// Its tasks may hold so many bytes more.
    Memory(u64),
    /// So many bytes more are free on the disk of a folder.
    Disk(u64, String),
    /// It has so many GPUs more.
    Gpus(u32),
    /// Its GPUs are of a kind.
    GpuKind(String),
    /// Its worker has an exchange.
    Exchange,
    /// So much of what it holds ends.
    Ends(u32),
    /// It may be given tasks again.
    Returns(&'static str),
    /// So many more like it.
    More(u32),
}

/// The smallest change that lets one task or gang of a class start, if one was found.
pub(super) fn remedy(class: &Waiting, problem: &Problem) -> Option<Remedy> {
    let alone = |problem: &Problem| Problem { classes: vec![class.clone()], ..problem.clone() };
    let starts = |problem: &Problem| -> bool {
        let Decision { placements, gangs, .. } = Greedy.place(&alone(problem));
        !placements.is_empty() || !gangs.is_empty()
    };
    if starts(problem) {
        return None; // what is before it is all that is in its way
    }
    for absent in problem.absent.iter().filter(|absent| absent.offer.could_run(&class.kind, &class.class)) {
        let mut changed = problem.clone();
        changed.nodes.push(candidate(absent.node.clone(), absent.offer.clone()));
        if starts(&changed) {
            return Some(Remedy { node: Some(absent.node.clone()), changes: vec![Change::Returns(absent.why.end())] });
        }
    }
    let mut tried: Vec<(Weight, Remedy)> = vec![];
    for (at, node) in problem.nodes.iter().enumerate() {
        let mut changed = problem.clone();
        let mut changes = upgrade(class, Arc::make_mut(&mut changed.nodes[at].offer));
        let upgraded = changes.len();
        let held = node.load.wide.saturating_add(node.load.narrow);
        if !starts(&changed) && held > 0 {
            // What it holds ends, as little of it as will do; how much each part takes is not told apart here.
            let ends = (1..=held.min(64)).find(|ends| {
                changed.nodes[at].load = part(node.load, held - ends, held);
                starts(&changed)
            });
            changes.extend(ends.map(Change::Ends));
        }
        if !changes.is_empty() && starts(&changed) {
            let weight = Weight { changes: upgraded, size: size(&changes, class), at };
            tried.push((weight, Remedy { node: Some(node.node.clone()), changes }));
        }
    }
    let best = tried.into_iter().min_by(|a, b| a.0.order(&b.0)).map(|(_, remedy)| remedy);
    best.or_else(|| more(class, problem, &starts))
}

/// Which of two remedies is smaller: waiting before buying, few things before many, little before much.
struct Weight {
    changes: usize,
    size: f64,
    at: usize,
}

impl Weight {
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.changes.cmp(&other.changes).then(self.size.total_cmp(&other.size)).then(self.at.cmp(&other.at))
    }
}

fn size(changes: &[Change], class: &Waiting) -> f64 {
    let of = |change: &Change| match change {
        Change::Memory(bytes) => *bytes as f64 / (class.class.memory as f64).max(1.0),
        Change::Disk(bytes, _) => *bytes as f64 / class.class.disk.as_ref().map_or(1.0, |space| space.bytes.max(1) as f64),
        Change::Gpus(count) => f64::from(*count),
        Change::Ends(count) => f64::from(*count) / 1e3,
        Change::Label(..) => 0.5,
        Change::Kind(_) | Change::GpuKind(_) | Change::Exchange | Change::Returns(_) | Change::More(_) => 2.0,
    };
    changes.iter().map(of).sum()
}

/// Makes an offer one that a task fits, and says what that took.
fn upgrade(class: &Waiting, offer: &mut Inventory) -> Vec<Change> {
    let demand = &class.class;
    let mut changes = vec![];
    if offer.kinds.insert(class.kind.clone()) {
        changes.push(Change::Kind(class.kind.clone()));
    }
    for (name, value) in &demand.labels {
        if offer.labels.insert(name.clone(), value.clone()).as_ref() != Some(value) {
            changes.push(Change::Label(name.clone(), value.clone()));
        }
    }
    if demand.memory > offer.memory {
        changes.push(Change::Memory(demand.memory - offer.memory));
        offer.memory = demand.memory;
    }
    if let Some(space) = &demand.disk {
        let free = offer.free_at(&space.path).unwrap_or(u64::MAX);
        if free < space.bytes {
            changes.push(Change::Disk(space.bytes - free, space.path.clone()));
            offer.disks.clear(); // as one of which nothing is known, which has room
        }
    }
    if let Some(kind) = demand.gpu_kind.as_ref().filter(|kind| demand.gpus > 0 && !offer.gpus.is_kind(Some(kind))) {
        changes.push(Change::GpuKind(kind.clone()));
        offer.gpus.kind.clone_from(kind);
    }
    if demand.gpus > offer.gpus.count {
        changes.push(Change::Gpus(demand.gpus - offer.gpus.count));
        offer.gpus.count = demand.gpus;
    }
    if demand.gang > 1 && offer.exchange.is_empty() {
        changes.push(Change::Exchange);
        "here".clone_into(&mut offer.exchange);
    }
    changes
}

/// New nodes: like the one that takes the most members, or made for the task.
fn more(class: &Waiting, problem: &Problem, starts: &dyn Fn(&Problem) -> bool) -> Option<Remedy> {
    let like = problem.nodes.iter().rev().filter(|node| node.fits(class)).max_by_key(|node| node.capacity(&class.class));
    let (offer, mut changes) = match like {
        Some(like) => (like.offer.clone(), vec![]),
        None => {
            let mut offer = Inventory { threads: class.class.threads.max(1), ..Inventory::default() };
            let changes = upgrade(class, &mut offer);
            (Arc::new(offer), changes)
        }
    };
    let count = (1..=class.class.gang.max(1)).find(|count| {
        let mut changed = problem.clone();
        changed.nodes.extend((0..*count).map(|number| candidate(NodeId(format!("added-{number}")), offer.clone())));
        starts(&changed)
    })?;
    changes.push(Change::More(count));
    Some(Remedy { node: like.map(|like| like.node.clone()), changes })
}

fn candidate(node: NodeId, offer: Arc<Inventory>) -> Candidate {
    Candidate { node, offer, ..Candidate::default() }
}

/// What is left of a load when so many of so many tasks are.
fn part(load: Load, left: u32, of: u32) -> Load {
    let scale = |count: u32| (u64::from(count) * u64::from(left)).div_ceil(u64::from(of.max(1))) as u32;
    Load {
        wide: scale(load.wide),
        narrow: scale(load.narrow),
        threads: scale(load.threads),
        memory: (u128::from(load.memory) * u128::from(left) / u128::from(of.max(1))) as u64,
        gpus: scale(load.gpus),
        backlog: load.backlog * f64::from(left) / f64::from(of.max(1)),
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((Change::More(count), needs)) = self.changes.split_last() {
            let workers = if *count == 1 { "worker" } else { "workers" };
            return match (&self.node, needs) {
                (Some(node), _) => write!(f, "{count} more {workers} like {node}"),
                (None, []) => write!(f, "{count} more {workers}"),
                (None, needs) => write!(f, "{count} more {workers} with {}", listed(needs.iter().map(need))),
            };
        }
        let node = self.node.as_ref().map_or("a worker", |node| &node.0);
        f.write_str(&listed(self.changes.iter().map(|change| done(change, node))))
    }
}

fn listed(parts: impl Iterator<Item = String>) -> String {
    let mut parts: Vec<String> = parts.collect();
    let last = parts.pop().unwrap_or_default();
    if parts.is_empty() { last } else { format!("{}, and {last}", parts.join(", ")) }
}

/// What a new worker is to have.
fn need(change: &Change) -> String {
    match change {
        Change::Kind(kind) => format!("`{kind}` jobs"),
        Change::Label(name, value) => format!("the label {name}={value}"),
        Change::Memory(bytes) => ByteSize(*bytes).to_string(),
        Change::Disk(bytes, path) => format!("{} on the disk of {path}", ByteSize(*bytes)),
        Change::Gpus(count) => format!("{count} GPUs"),
        Change::GpuKind(kind) => format!("GPUs of kind {kind}"),
        Change::Exchange => "an exchange".into(),
        Change::Ends(_) | Change::Returns(_) | Change::More(_) => String::new(),
    }
}

/// What happens to a node that is there.
fn done(change: &Change, node: &str) -> String {
    match change {
        Change::Kind(kind) => format!("{node} runs a worker that knows `{kind}` jobs"),
        Change::Label(name, value) => format!("{node} is labelled {name}={value}"),
        Change::Memory(bytes) => format!("{node} has {} more for tasks", ByteSize(*bytes)),
        Change::Disk(bytes, path) => format!("{node} has {} more free on the disk of {path}", ByteSize(*bytes)),
        Change::Gpus(1) => format!("{node} has 1 more GPU"),
        Change::Gpus(count) => format!("{node} has {count} more GPUs"),
        Change::GpuKind(kind) => format!("{node} has GPUs of kind {kind}"),
        Change::Exchange => format!("{node} has an exchange"),
        Change::Ends(1) => format!("a task on {node} ends"),
        Change::Ends(count) => format!("{count} tasks on {node} end"),
        Change::Returns(how) => format!("{node}: {how}"),
        Change::More(count) => format!("{count} more like {node}"),
    }
}
