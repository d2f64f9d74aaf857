//! One micro-batch from first draft to certificate.
//!
//! ```text
//! draft:   bound by degree ─ build ─ descend                                  under a millisecond
//! refine:  bound by groups (bisection) ─ repair towards it ─ exact search      until the gap is small enough
//! ```

pub(crate) use super::repair::Tries;
use super::{
    Packing, build,
    descend::descend,
    exact::{self, Answer, Question},
    multifit, repair,
};
use crate::planner::{
    bound::{
        by_degree::{self, Relaxed},
        by_group::{self, Column, Limits},
    },
    instance::Instance,
    target::Target,
};

/// How much work refining may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    /// The gap that is small enough.
    pub(crate) goal: f64,
    /// For each attempt to refute a makespan.
    pub(crate) limits: Limits,
    /// The bound is found to this share.
    pub(crate) precision: f64,
    /// Sets looked at for one group when building anew.
    pub(crate) build: usize,
    /// Attempts to come closer to the bound by repair.
    pub(crate) repairs: u64,
    /// For each of these.
    pub(crate) tries: Tries,
    /// Sets looked at in an exact search of the whole micro-batch.
    pub(crate) nodes: usize,
}

/// Sequences up to which a micro-batch is solved to proven optimality.
pub(crate) const FEW: usize = 10;
/// Sets looked at for that.
const NODES_FOR_FEW: usize = 2_000_000;
/// "Less than this plan takes": by more than arithmetic can tell apart.
const LESS: f64 = 1.0 - 1e-10;

/// A plan for a micro-batch and what is known of the best one.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) packing: Packing,
    /// No plan takes less.
    pub(crate) bound: f64,
    relaxed: Relaxed,
}

impl Draft {
    pub(crate) fn gap(&self) -> f64 {
        (self.packing.time / self.bound - 1.0).max(0.0)
    }
}

/// A first plan; none if no plan is found at all.
pub(crate) fn draft(instance: &Instance<'_>, cuts: usize) -> Option<Draft> {
    let relaxed = by_degree::relax(instance, cuts);
    let built = build::build(instance, &relaxed, 1e-3);
    // where all but nothing fits, choosing groups one by one runs into dead ends
    let alike = if built.as_ref().is_none_or(|b| b.time > 1.1 * relaxed.bound) {
        multifit::alike(instance, relaxed.bound, 1e-2)
    } else {
        None
    };
    let start = [built, alike].into_iter().flatten().min_by(|a, b| a.time.total_cmp(&b.time))?;
    let packing = descend(instance, start, 4 * instance.items.len() + 20);
    Some(Draft { bound: relaxed.bound.min(packing.time), packing, relaxed })
}

/// Closes the gap as far as `work` goes; `stop` says when to leave it as it is.
pub(crate) fn refine(instance: &Instance<'_>, mut draft: Draft, work: &Work, stop: &(dyn Fn() -> bool + Sync)) -> Draft {
    let few = instance.items.len() <= FEW;
    if (draft.gap() <= work.goal && !few) || stop() {
        return draft;
    }
    let mut columns = Vec::new();
    let values = raise_bound(instance, &mut draft, &mut columns, work, stop);
    rebuild(instance, &mut draft, &values, work);
    lower_plan(instance, &mut draft, work, stop);
    if draft.gap() > work.goal || few {
        prove(instance, &mut draft, &mut columns, work, if few { NODES_FOR_FEW } else { work.nodes }, stop);
    }
    draft
}

fn target<'a>(instance: &Instance<'a>, relaxed: &'a Relaxed, makespan: f64) -> Option<Target<'a>> {
    Target::new(instance.cost, &instance.classes, &relaxed.prices, makespan)
}

/// Bisects for the largest makespan that the bound by groups refutes, and returns the values at the least that it does not.
fn raise_bound(
    instance: &Instance<'_>,
    draft: &mut Draft,
    columns: &mut Vec<Column>,
    work: &Work,
    stop: &(dyn Fn() -> bool + Sync),
) -> Vec<f64> {
    let mut values = Vec::new();
    let mut high = draft.packing.time;
    while high - draft.bound > work.precision * draft.bound && !stop() {
        let middle = 0.5 * (draft.bound + high);
        match target(instance, &draft.relaxed, middle).map(|t| by_group::refute(&t, columns, work.limits)) {
            Some(verdict) if !verdict.refuted => (high, values) = (middle, verdict.values),
            _ => draft.bound = middle,
        }
    }
    values
}

/// Builds anew with the values of the bound by groups, which know what goes well together.
fn rebuild(instance: &Instance<'_>, draft: &mut Draft, values: &[f64], work: &Work) {
    if values.is_empty() {
        return;
    }
    for share in [0.7, 0.4, 0.2, 0.1, 0.05] {
        let makespan = draft.bound + (draft.packing.time - draft.bound) * share;
        let Some(t) = target(instance, &draft.relaxed, makespan) else { break };
        if let Some(better) = build::within(instance, &t, values, work.build) {
            draft.packing = descend(instance, better, 20);
        }
    }
}

/// Repairs towards makespans between bound and plan: half-way at first, closer to the plan after each failure.
fn lower_plan(instance: &Instance<'_>, draft: &mut Draft, work: &Work, stop: &(dyn Fn() -> bool + Sync)) {
    let mut share = 0.5;
    for seed in 0..work.repairs {
        if draft.gap() <= work.goal || stop() {
            break;
        }
        let makespan = draft.bound + (draft.packing.time - draft.bound) * share;
        let Some(t) = target(instance, &draft.relaxed, makespan) else { break };
        match repair::repair(instance, &draft.packing, &t, work.tries, seed) {
            Some(better) => draft.packing = descend(instance, better, 20),
            None => share = 0.5 * (1.0 + share),
        }
    }
}

/// Searches the whole micro-batch for makespans between bound and plan, close to the bound first, where little waste is
/// allowed and the search is short; and last for anything faster at all, which proves the plan when there is nothing.
fn prove(
    instance: &Instance<'_>,
    draft: &mut Draft,
    columns: &mut Vec<Column>,
    work: &Work,
    nodes: usize,
    stop: &(dyn Fn() -> bool + Sync),
) {
    let mut share = 0.25;
    while draft.gap() > 0.0 && !stop() {
        let least = draft.packing.time * LESS;
        let between = draft.bound + (draft.packing.time - draft.bound) * share;
        let makespan = if draft.gap() < 1e-4 || share > 0.9 { least } else { between.min(least) };
        match ask(instance, draft, columns, work, makespan, nodes) {
            Answer::Yes(groups) => {
                let better = exact::packing(instance, groups);
                if better.time >= draft.packing.time {
                    return;
                }
                draft.packing = better;
                draft.bound = draft.bound.min(draft.packing.time);
            }
            // what takes less than `least` does not exist: the plan is the best there is
            Answer::No => draft.bound = if makespan >= least { draft.packing.time } else { makespan },
            Answer::Unknown if makespan >= least => return,
            Answer::Unknown => share = 0.5 * (share + 1.0),
        }
    }
}

fn ask(instance: &Instance<'_>, draft: &Draft, columns: &mut Vec<Column>, work: &Work, makespan: f64, nodes: usize) -> Answer {
    let Some(t) = target(instance, &draft.relaxed, makespan) else { return Answer::No };
    let verdict = by_group::refute(&t, columns, work.limits);
    if verdict.refuted {
        return Answer::No;
    }
    let gpus = instance.cost.pools().iter().map(|p| p.gpus).collect();
    let counts = instance.classes.iter().map(|c| c.1 as u32).collect();
    exact::search(&t, &verdict.values, &Question { counts, gpus }, nodes)
}
