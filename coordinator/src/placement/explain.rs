//! Why a job waits, what would let it start, and what more of something would save: for `braid job explain`.

use super::{
    Greedy, MoreNodes, Placer, Problem, Remedy, Resource, Wait, plan,
    program::{Budget, Effort},
    remedy::remedy,
    why::why,
};
use crate::model::Class;
use braid_workload::{JobId, NodeId};
use std::sync::Arc;

/// Savings below this are not worth a line, in seconds and as a part of the makespan.
const LEAST_SAVING: f64 = 1e-3;
/// Resources that are tried for what more of them would save.
const TRIED: usize = 4;

/// What is known about a job that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Its classes of tasks that wait, each with its reason. Empty when nothing of it waits.
    pub waits: Vec<Share>,
    /// Seconds until all that waits, of all jobs, is done, as far as is known. `None` when nothing can run.
    pub makespan: Option<f64>,
    /// No placement is done sooner.
    pub bound: f64,
    /// What more of something would save, the most first.
    pub relief: Vec<Relief>,
}

/// A part of a job that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Which tasks.
    pub class: Class,
    /// How many, or how many gangs.
    pub count: u32,
    /// What stands in the way. `None`: nothing does, they start at once.
    pub wait: Option<Wait>,
    /// The smallest change that would let one start.
    pub remedy: Option<Remedy>,
}

/// What more of something would save.
#[derive(Debug, Clone, PartialEq)]
pub struct Relief {
    /// What, in words: `one more GPU in node-3`.
    pub what: String,
    /// At which node.
    pub node: NodeId,
    /// Of what; `None` for a whole node.
    pub resource: Option<Resource>,
    /// Seconds of makespan for a second of its time: the dual value.
    pub price: f64,
    /// Seconds by which all would be done sooner.
    pub saves: f64,
}

/// Explains a job, with more nodes than there are if so asked.
pub fn explain(problem: &Problem, job: JobId, more: Option<&MoreNodes>) -> Explanation {
    let mut problem = problem.clone();
    if let Some(more) = more {
        more.add_to(&mut problem);
    }
    let effort = Effort::QUICK;
    let solve = |problem: &Problem| plan(problem, effort, Budget::new(effort.work)).unwrap_or_default();
    let plan = solve(&problem);
    let runs = !plan.targets.is_empty();
    let mut relief = vec![];
    if runs && plan.makespan > 0.0 {
        let least = LEAST_SAVING.max(plan.makespan * LEAST_SAVING);
        for price in plan.prices.iter().take(TRIED) {
            let mut changed = problem.clone();
            let Some(node) = changed.nodes.iter_mut().find(|node| node.node == price.node) else { continue };
            let what = add_one(node, price.resource);
            let saves = plan.makespan - solve(&changed).makespan;
            relief.push(Relief { what, node: price.node.clone(), resource: Some(price.resource), price: price.price, saves });
        }
        if let Some(dearest) = dearest_node(&plan) {
            let mut changed = problem.clone();
            let like = changed.nodes.iter().find(|node| node.node == dearest.0).cloned();
            changed.nodes.extend(like.map(|mut like| {
                like.load = super::Load::default();
                like.node = NodeId("added".into());
                like
            }));
            let saves = plan.makespan - solve(&changed).makespan;
            let what = format!("one more node like {}", dearest.0);
            relief.push(Relief { what, node: dearest.0, resource: None, price: dearest.1, saves });
        }
        relief.retain(|relief| relief.saves >= least);
        relief.sort_by(|a, b| b.saves.total_cmp(&a.saves).then_with(|| a.what.cmp(&b.what)));
    }
    Explanation { waits: waits(&problem, job), makespan: runs.then_some(plan.makespan), bound: plan.bound, relief }
}

/// Adds the smallest usual amount of a resource to a node, and says what.
fn add_one(node: &mut super::Candidate, resource: Resource) -> String {
    const GB: u64 = 1_000_000_000;
    let at = &node.node;
    let offer = Arc::make_mut(&mut node.offer);
    match resource {
        Resource::Threads => {
            offer.threads = offer.threads.saturating_add(1);
            // A wide task is as fast as there are threads.
            let faster = f64::from(offer.threads) / f64::from(offer.threads.saturating_sub(1).max(1));
            node.rate = node.rate.map(|rate| rate * faster);
            node.rates.values_mut().for_each(|rate| *rate *= faster);
            format!("one more thread in {at}")
        }
        Resource::Memory => {
            offer.memory = offer.memory.saturating_add(GB);
            format!("one more GB of memory in {at}")
        }
        Resource::Gpus => {
            offer.gpus.count = offer.gpus.count.saturating_add(1);
            format!("one more GPU in {at}")
        }
        Resource::Link => {
            offer.link = offer.link.map(|link| link.saturating_add(GB));
            format!("one more GB/s of the link to {at}")
        }
        Resource::Disk => {
            offer.disk = offer.disk.map(|disk| disk.saturating_add(GB));
            format!("one more GB/s of the disks of {at}")
        }
    }
}

/// The node all of whose resources together are worth most.
fn dearest_node(plan: &super::Plan) -> Option<(NodeId, f64)> {
    let mut sums: std::collections::BTreeMap<&NodeId, f64> = std::collections::BTreeMap::new();
    plan.prices.iter().for_each(|price| *sums.entry(&price.node).or_default() += price.price);
    let (node, sum) = sums.into_iter().max_by(|a, b| a.1.total_cmp(&b.1).then_with(|| b.0.cmp(a.0)))?;
    Some((node.clone(), sum))
}

/// The parts of a job that wait, each behind what came before it.
fn waits(problem: &Problem, job: JobId) -> Vec<Share> {
    let mut shares = vec![];
    for (at, class) in problem.classes.iter().enumerate().filter(|(_, class)| class.job == job) {
        // With the jobs before it, and it alone at the end: what it waits for is then the last reason.
        let before = Problem { classes: problem.classes[..=at].to_vec(), ..problem.clone() };
        let decision = Greedy.place(&before);
        let started = decision.placements.iter().any(|placement| placement.job == job && placement.class == class.class)
            || decision.gangs.iter().any(|gang| gang.job == job && gang.class == class.class);
        let reason = decision.reasons.into_iter().rfind(|(of, _)| *of == job).map(|(_, wait)| wait);
        let wait = if started { None } else { reason.or_else(|| Some(why(class, problem, &problem.nodes, None))) };
        let remedy = if started { None } else { remedy(class, problem) };
        shares.push(Share { class: class.class.clone(), count: class.count, wait, remedy });
    }
    shares
}
