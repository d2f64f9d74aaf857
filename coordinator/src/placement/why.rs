//! Which constraint binds: from what asks for most to what may pass by itself. It looks; it places nothing.

use super::{Away, Candidate, Problem, Unit, Wait, Waiting};
use crate::model::Inventory;
use braid_workload::JobId;
use bytesize::ByteSize;

/// Why tasks of a class wait, where `after` are the nodes with what came before them, and `kept` says for which gang the reserved
/// ones are kept.
pub(super) fn why(class: &Waiting, problem: &Problem, after: &[Candidate], kept: Option<(JobId, u32)>) -> Wait {
    let offers: Vec<&Inventory> =
        after.iter().map(|node| &*node.offer).chain(problem.absent.iter().map(|node| &*node.offer)).collect();
    if offers.is_empty() {
        return Wait::NoWorker;
    }
    if let Some(wait) = missing(class, &offers) {
        return wait;
    }
    let able: Vec<&Candidate> = after.iter().filter(|node| node.fits(class)).collect();
    let absent = problem.absent.iter().filter(|node| node.offer.could_run(&class.kind, &class.class));
    let absent: Vec<_> = absent.collect();
    if able.is_empty()
        && let Some(first) = absent.first()
    {
        return Wait::Away { node: first.node.clone(), workers: absent.len(), why: first.why };
    }
    if class.class.gang > 1 {
        return gang(class, &able, offers.len(), kept);
    }
    busy(class, &able, kept)
}

/// What no node has, whatever else it runs.
fn missing(class: &Waiting, offers: &[&Inventory]) -> Option<Wait> {
    let (demand, workers) = (&class.class, offers.len());
    if offers.iter().any(|offer| offer.could_run(&class.kind, demand)) {
        return None;
    }
    let none = |has: &dyn Fn(&Inventory) -> bool| !offers.iter().any(|offer| has(offer));
    if none(&|offer| offer.kinds.contains(&class.kind)) {
        return Some(Wait::Kind { kind: class.kind.clone(), workers });
    }
    if demand.gang > 1 && none(&|offer| !offer.exchange.is_empty()) {
        return Some(Wait::Exchange { workers });
    }
    for (name, value) in &demand.labels {
        if none(&|offer| offer.labels.get(name) == Some(value)) {
            return Some(Wait::Label { label: format!("{name}={value}"), workers });
        }
    }
    if demand.gpus > 0 {
        let most = offers.iter().map(|offer| offer.gpus.count).max().unwrap_or(0);
        let of_kind = |offer: &Inventory| offer.gpus.count > 0 && offer.gpus.is_kind(demand.gpu_kind.as_deref());
        if let Some(kind) = demand.gpu_kind.as_ref().filter(|_| none(&of_kind)) {
            let workers = offers.iter().filter(|offer| offer.gpus.count > 0).count();
            return Some(Wait::GpuKind { kind: kind.clone(), workers });
        }
        if most < demand.gpus {
            return Some(Wait::Gpus { wanted: demand.gpus, most });
        }
    }
    let most = offers.iter().filter(|offer| offer.kinds.contains(&class.kind)).map(|offer| offer.memory).max().unwrap_or(0);
    if most < demand.memory {
        return Some(Wait::Memory { wanted: demand.memory, most });
    }
    if let Some(space) = &demand.disk {
        let free = offers.iter().filter(|offer| offer.kinds.contains(&class.kind)).map(|offer| offer.free_at(&space.path));
        // One of which nothing is known has room for all.
        let most = free.map(|free| free.unwrap_or(u64::MAX)).max().unwrap_or(0);
        if most < space.bytes {
            return Some(Wait::Disk { wanted: space.bytes, most, path: space.path.clone() });
        }
    }
    Some(Wait::Together { wanted: wanted(class) })
}

/// `2 GPUs of H100, 80.0 GiB and rack=7`
fn wanted(class: &Waiting) -> String {
    let demand = &class.class;
    let gpus = match (demand.gpus, &demand.gpu_kind) {
        (0, _) => None,
        (count, None) => Some(format!("{count} GPUs")),
        (count, Some(kind)) => Some(format!("{count} GPUs of {kind}")),
    };
    let memory = (demand.memory > 0).then(|| ByteSize(demand.memory).to_string());
    let exchange = (demand.gang > 1).then(|| "an exchange".to_owned());
    let labels = demand.labels.iter().map(|(name, value)| format!("{name}={value}"));
    let disk = demand.disk.as_ref().map(|space| format!("{} free on the disk of {}", ByteSize(space.bytes), space.path));
    let mut parts: Vec<String> = gpus.into_iter().chain(memory).chain(disk).chain(exchange).chain(labels).collect();
    parts.insert(0, format!("`{}` jobs", class.kind));
    let last = parts.pop().unwrap_or_default();
    if parts.is_empty() { last } else { format!("{} and {last}", parts.join(", ")) }
}

fn gang(class: &Waiting, able: &[&Candidate], workers: usize, kept: Option<(JobId, u32)>) -> Wait {
    let demand = &class.class;
    let sum = |of: &dyn Fn(&Candidate) -> u32| able.iter().map(|node| of(node)).fold(0, u32::saturating_add);
    let (capacity, free) = (sum(&|node| node.capacity(demand)), sum(&|node| node.free(demand)));
    let unit = match (demand.gpus, demand.wide) {
        (0, false) => Unit::Threads,
        (0, true) => Unit::Workers,
        _ => Unit::Gpus,
    };
    let (size, memory) = (demand.gang, demand.memory);
    if capacity < size {
        return Wait::GangTooLarge { size, unit, memory, capacity, workers };
    }
    let open = able.iter().filter(|node| !node.reserved).map(|node| node.free(demand)).fold(0, u32::saturating_add);
    match kept.filter(|(job, _)| *job != class.job && free >= size && open < size) {
        Some((job, size)) => Wait::Reserved { job, size },
        None => Wait::Gang { size, unit, each: demand.gpus.max(1), memory, free, capacity },
    }
}

fn busy(class: &Waiting, able: &[&Candidate], kept: Option<(JobId, u32)>) -> Wait {
    let demand = &class.class;
    if let Some((job, size)) = kept
        && able.iter().any(|node| node.reserved && node.room(demand, class.seconds) > 0)
    {
        return Wait::Reserved { job, size };
    }
    if demand.gpus > 0 {
        let free = |node: &Candidate| node.offer.gpus.count.saturating_sub(node.load.gpus);
        let most = able.iter().map(|node| free(node)).max().unwrap_or(0);
        if most < demand.gpus {
            let of = able.iter().map(|node| node.offer.gpus.count).max().unwrap_or(0);
            return Wait::GpusBusy { wanted: demand.gpus, most, of };
        }
    }
    let most = able.iter().map(|node| node.offer.memory.saturating_sub(node.load.memory)).max().unwrap_or(0);
    if most < demand.memory { Wait::MemoryBusy { wanted: demand.memory, most } } else { Wait::Busy { workers: able.len() } }
}

impl Away {
    /// What would end it.
    pub(super) fn end(self) -> &'static str {
        match self {
            Self::Silent => "its worker connects again",
            Self::Leaving => "its worker stays, or starts again",
            Self::Cordoned => "`braid node uncordon` opens it",
        }
    }
}
