//! A whole answer from a fractional one (Lenstra, Shmoys and Tardos, Math. Prog. 46, 1990): what is whole stays; of what is
//! divided, each node takes at most one task more, by a matching. What the matching cannot place goes where it ends first.

use super::{Program, Whole, list};

/// Below this a share is no reason to go somewhere.
const LEAST: f64 = 1e-6;

/// Rounds shares `[class][node]`, each class in sum 1.
pub fn round(program: &Program, shares: &[f64]) -> Whole {
    let mut whole = Whole::none(program);
    let mut busy = program.base.clone();
    // One entry for each task that is divided: its class, and the nodes that have a part, the largest first.
    let mut divided: Vec<(usize, Vec<usize>)> = vec![];
    for class in 0..program.classes() {
        let count = f64::from(program.count(class));
        let mut parts: Vec<(usize, f64)> = vec![];
        for node in (0..program.nodes).filter(|node| program.allows(class, *node)) {
            let tasks = count * shares[class * program.nodes + node];
            let floor = (tasks + LEAST).floor();
            if floor >= 1.0 {
                list::add(program, &mut whole, &mut busy, class, node, floor.min(count) as u32);
            }
            if tasks - floor > LEAST {
                parts.push((node, tasks - floor));
            }
        }
        // Shares that are a little off must not place more than there is.
        let mut excess = whole.placed(class).saturating_sub(program.count(class));
        for node in 0..program.nodes {
            let cut = excess.min(whole.get(class, node));
            *whole.get_mut(class, node) -= cut;
            excess -= cut;
        }
        parts.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let left = program.count(class) - whole.placed(class);
        let nodes: Vec<usize> = parts.into_iter().map(|(node, _)| node).collect();
        divided.extend((0..left.min(nodes.len() as u32)).map(|_| (class, nodes.clone())));
    }
    busy = program.busy(&whole);
    for (at, node) in matching(program.nodes, &divided).into_iter().enumerate() {
        if let Some(node) = node {
            list::add(program, &mut whole, &mut busy, divided[at].0, node, 1);
        }
    }
    let mut left: Vec<(usize, f64)> = (0..program.classes())
        .filter(|class| whole.placed(*class) < program.count(*class))
        .map(|class| {
            (class, (0..program.nodes).flat_map(|node| program.load(class, node)).copied().fold(f64::INFINITY, f64::min))
        })
        .collect();
    left.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    for (class, _) in left {
        list::complete(program, &mut whole, &mut busy, class);
    }
    whole
}

/// A node for as many tasks as possible, none twice, by augmenting paths.
fn matching(nodes: usize, tasks: &[(usize, Vec<usize>)]) -> Vec<Option<usize>> {
    let mut holder: Vec<Option<usize>> = vec![None; nodes];
    for task in 0..tasks.len() {
        augment(task, tasks, &mut holder, &mut vec![false; nodes]);
    }
    let mut place = vec![None; tasks.len()];
    for (node, task) in holder.into_iter().enumerate() {
        if let Some(task) = task {
            place[task] = Some(node);
        }
    }
    place
}

/// Finds a node for a task, moving others. Depth is at most the number of nodes.
fn augment(task: usize, tasks: &[(usize, Vec<usize>)], holder: &mut [Option<usize>], seen: &mut [bool]) -> bool {
    for &node in &tasks[task].1 {
        if std::mem::replace(&mut seen[node], true) {
            continue;
        }
        let other = holder[node];
        if other.is_none_or(|other| augment(other, tasks, holder, seen)) {
            holder[node] = Some(task);
            return true;
        }
    }
    false
}
