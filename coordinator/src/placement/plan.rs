//! A plan for all that waits: the [`program`](super::program) of a problem, solved, in terms of jobs and nodes.

use super::{
    Placement, Problem, Resource,
    program::{Budget, Cancelled, Effort, Program, solve_with},
    solver::Solvers,
    timing::{RESOURCES, in_use, usual_rate},
};
use crate::model::Class;
use braid_workload::{JobId, NodeId};
use std::collections::BTreeMap;

/// Seconds of makespan that moving for a second is worth, shared by all nodes: enough to decide between equals.
const MOVING: f64 = 1e-3;

/// Which node is to run how many of what.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// By job and class, then by node. A gang counts its members.
    pub targets: BTreeMap<(JobId, Class), BTreeMap<NodeId, u32>>,
    /// Seconds until the last is done.
    pub makespan: f64,
    /// No plan is done sooner.
    pub bound: f64,
    /// What the makespan falls by when a resource of a node has a second less to do, the dearest first. In sum at most 1.
    pub prices: Vec<Price>,
}

impl Plan {
    /// The targets as a list. A gang counts its members.
    pub fn placements(&self) -> Vec<Placement> {
        let of = |((job, class), on): (&(JobId, Class), &BTreeMap<NodeId, u32>)| {
            let place =
                |(node, count): (&NodeId, &u32)| Placement { job: *job, class: class.clone(), node: node.clone(), count: *count };
            on.iter().map(place).collect::<Vec<Placement>>()
        };
        self.targets.iter().flat_map(of).collect()
    }
}

/// What a resource of a node is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Price {
    /// Of which node.
    pub node: NodeId,
    /// Which.
    pub resource: Resource,
    /// Seconds of makespan for a second of its time.
    pub price: f64,
}

/// Plans all that waits and can run, with the best solvers that are compiled in.
///
/// # Errors
/// [`Cancelled`] when the budget was.
pub fn plan(problem: &Problem, effort: Effort, budget: Budget) -> Result<Plan, Cancelled> {
    plan_with(Solvers::BEST, problem, effort, budget)
}

/// The same, with these.
///
/// # Errors
/// [`Cancelled`] when the budget was.
pub fn plan_with(solvers: Solvers, problem: &Problem, effort: Effort, budget: Budget) -> Result<Plan, Cancelled> {
    let rows = in_use(problem);
    let solved = solve_with(solvers, &program(problem, &rows), effort, budget)?;
    let mut targets = BTreeMap::new();
    for (at, class) in problem.classes.iter().enumerate() {
        let on = problem.nodes.iter().enumerate().map(|(node, candidate)| (candidate.node.clone(), solved.whole.get(at, node)));
        let on: BTreeMap<NodeId, u32> = on.filter(|(_, count)| *count > 0).collect();
        if !on.is_empty() {
            targets.insert((class.job, class.class.clone()), on);
        }
    }
    let priced = solved.prices.iter().enumerate().filter(|(_, price)| **price > 1e-9).map(|(at, price)| Price {
        node: problem.nodes[at / rows.len()].node.clone(),
        resource: RESOURCES[rows[at % rows.len()]],
        price: *price,
    });
    let mut prices: Vec<Price> = priced.collect();
    prices.sort_by(|a, b| b.price.total_cmp(&a.price).then_with(|| (&a.node, a.resource).cmp(&(&b.node, b.resource))));
    Ok(Plan { targets, makespan: solved.makespan, bound: solved.bound.min(solved.makespan), prices })
}

/// The numbers of a problem, with a row for each of these resources.
fn program(problem: &Problem, rows: &[usize]) -> Program {
    let usual = usual_rate(&problem.nodes);
    let base = problem.nodes.iter().flat_map(|node| {
        let busy = node.busy_now(usual);
        rows.iter().map(move |row| busy[*row])
    });
    let mut program = Program::new(problem.nodes.len(), rows.len(), base.collect());
    let nodes = problem.nodes.len().max(1) as f64;
    for class in &problem.classes {
        let count = if class.class.gang > 1 { class.count.saturating_mul(class.class.gang) } else { class.count };
        program.class(count, |at| {
            let node = &problem.nodes[at];
            if !node.fits(class) {
                return None;
            }
            let busy = node.busy_for(class, usual);
            let inputs = class.class.inputs.iter().fold(0u64, |sum, input| sum.saturating_add(input.bytes));
            let moved = inputs.saturating_sub(node.at_hand(class)) as f64 / node.rate_of(&class.kind, usual);
            Some((rows.iter().map(|row| busy[*row]).collect(), MOVING * moved / nodes))
        });
    }
    program
}
