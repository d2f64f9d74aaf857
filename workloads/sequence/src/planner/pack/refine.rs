//! One micro-batch from first draft to certificate.
//!
//! ```text
//! draft:   bound by degree ─ build ─ descend                                  under a millisecond
//! refine:  bound by groups (bisection) ─ rebuild, repair towards it ─ exact search   until the gap is small enough
//! ```

pub(crate) use super::repair::Tries;
use super::{
    Packing, build,
    descend::descend,
    exact::{self, Answer, Question},
    multifit, repair,
    reshape::reshape,
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
    /// A step that is faster by less than this share is not worth looking for among other numbers of micro-batches.
    pub(crate) worth: f64,
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
    /// Sets looked at in exact searches of the whole micro-batch.
    pub(crate) nodes: usize,
}

/// Sequences up to which a micro-batch is solved to proven optimality.
pub(crate) const FEW: usize = 10;
/// Sets looked at for that, at most.
const NODES_FOR_FEW: usize = 2_000_000;
/// "Less than this plan takes": by more than arithmetic can tell apart.
const LESS: f64 = 1.0 - 1e-10;

/// Comparisons of a sequence with a group that a draft may spend on the shapes of its groups.
const RESHAPING: usize = 400_000;
/// The gap of a draft from which on that is worth it.
const RESHAPE_FROM: f64 = 0.015;

/// A plan for a micro-batch and what is known of the best one.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) packing: Packing,
    /// No plan takes less.
    pub(crate) bound: f64,
    relaxed: Relaxed,
    /// Groups that the bound by groups has come upon.
    columns: Vec<Column>,
    /// What it thinks each class worth, at the least makespan that it could not refute.
    values: Vec<f64>,
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
    let mut packing = descend(instance, start, 4 * instance.items.len() + 20);
    if packing.time > (1.0 + RESHAPE_FROM) * relaxed.bound {
        packing = descend(instance, reshape(instance, packing, relaxed.bound, &mut RESHAPING.clone()), 20);
    }
    Some(Draft { bound: relaxed.bound.min(packing.time), packing, relaxed, columns: Vec::new(), values: Vec::new() })
}

/// What refining goes by.
#[derive(Clone, Copy)]
pub(crate) struct Refine<'a> {
    pub(crate) instance: &'a Instance<'a>,
    pub(crate) work: &'a Work,
    /// A plan that takes as long as this or longer is of no use.
    pub(crate) ceiling: f64,
    /// Says when to leave everything as it is.
    pub(crate) stop: &'a (dyn Fn() -> bool + Sync),
}

impl Draft {
    pub(crate) fn gap(&self) -> f64 {
        (self.packing.time / self.bound - 1.0).max(0.0)
    }

    /// Looks for the largest makespan, up to the ceiling, that the bound by groups refutes: in growing steps from the bound, for
    /// it rises little where there are many sequences, and then by bisection.
    pub(crate) fn raise_bound(&mut self, by: Refine<'_>) {
        let Refine { instance, work, ceiling, stop } = by;
        if self.is_done(by) || stop() {
            return;
        }
        let mut high = self.packing.time.min(ceiling);
        let mut step = work.precision * self.bound;
        let mut rising = true;
        while self.bound < high && high - self.bound > work.precision * self.bound && !stop() {
            let halfway = 0.5 * (self.bound + high);
            let makespan = if rising { (self.bound + step).min(halfway) } else { halfway };
            if self.refutes(instance, work, makespan) {
                self.bound = makespan;
                step *= 3.0;
            } else {
                (high, rising) = (makespan, false);
            }
        }
        // The one question that may end it all.
        if rising && ceiling <= self.packing.time && self.bound < ceiling && self.refutes(instance, work, ceiling) {
            self.bound = ceiling;
        }
    }

    /// Looks for a plan below the ceiling if there is none yet, and says whether there is one.
    pub(crate) fn reach_ceiling(&mut self, by: Refine<'_>) -> bool {
        if self.packing.time >= by.ceiling {
            self.rebuild(by);
            self.search(by, by.work.nodes);
        }
        self.packing.time < by.ceiling
    }

    /// Closes the gap as far as the work goes.
    pub(crate) fn close_gap(&mut self, by: Refine<'_>) {
        if self.is_done(by) || (by.stop)() {
            return;
        }
        let few = is_few(by.instance);
        self.rebuild(by);
        self.lower_plan(by);
        if self.gap() > by.work.goal || few {
            self.search(by, if few { NODES_FOR_FEW } else { by.work.nodes });
        }
    }

    /// Few sequences are always planned to proven optimality.
    fn is_done(&self, by: Refine<'_>) -> bool {
        self.gap() <= by.work.goal && !is_few(by.instance) && self.packing.time < by.ceiling
    }

    /// Whether no plan takes this makespan or less, by the bound by groups.
    fn refutes(&mut self, instance: &Instance<'_>, work: &Work, makespan: f64) -> bool {
        let Some(target) = target(instance, &self.relaxed, makespan) else { return true };
        let verdict = by_group::refute(&target, &mut self.columns, work.limits);
        if !verdict.refuted {
            self.values = verdict.values;
        }
        verdict.refuted
    }

    /// Builds anew with the values of the bound by groups, which know what goes well together.
    fn rebuild(&mut self, by: Refine<'_>) {
        if self.values.is_empty() {
            return;
        }
        for share in [0.7, 0.4, 0.2, 0.1, 0.05] {
            let makespan = self.between(share);
            let Some(t) = target(by.instance, &self.relaxed, makespan) else { break };
            if let Some(better) = build::within(by.instance, &t, &self.values, by.work.build) {
                self.packing = descend(by.instance, better, 20);
            }
        }
    }

    /// Repairs towards makespans between bound and plan: half-way at first, closer to the plan after each failure.
    fn lower_plan(&mut self, by: Refine<'_>) {
        let mut share = 0.5;
        for seed in 0..by.work.repairs {
            if self.gap() <= by.work.goal || (by.stop)() {
                break;
            }
            let Some(t) = target(by.instance, &self.relaxed, self.between(share)) else { break };
            match repair::repair(by.instance, &self.packing, &t, by.work.tries, seed) {
                Some(better) => self.packing = descend(by.instance, better, 20),
                None => share = 0.5 * (1.0 + share),
            }
        }
    }

    /// So much of the way from the bound to the plan.
    fn between(&self, share: f64) -> f64 {
        self.bound + (self.packing.time - self.bound) * share
    }

    /// Searches the whole micro-batch for makespans between bound and plan, close to the bound first, where little waste is
    /// allowed and the search is short; and last for anything faster at all, which proves the plan when there is nothing.
    /// Looks at no more than `nodes` sets, half of those left for each makespan.
    fn search(&mut self, by: Refine<'_>, mut nodes: usize) {
        let mut share = 0.25;
        while self.gap() > 0.0 && !(by.stop)() {
            let least = self.packing.time * LESS;
            let last = self.gap() < 1e-4 || share > 0.9;
            let makespan = if last { least } else { self.between(share).min(least) };
            let mut left = if last { nodes } else { nodes / 2 };
            nodes -= left;
            let answer = self.ask(by, makespan, &mut left);
            nodes += left;
            match answer {
                Answer::Yes(groups) => {
                    let better = exact::packing(by.instance, groups);
                    if better.time >= self.packing.time {
                        return;
                    }
                    self.packing = better;
                    self.bound = self.bound.min(self.packing.time);
                }
                // what takes less than `least` does not exist: the plan is the best there is
                Answer::No => self.bound = if last { self.packing.time } else { makespan },
                Answer::Unknown if last => return,
                Answer::Unknown => share = 0.5 * (share + 1.0),
            }
        }
    }

    fn ask(&mut self, by: Refine<'_>, makespan: f64, nodes: &mut usize) -> Answer {
        let Some(t) = target(by.instance, &self.relaxed, makespan) else { return Answer::No };
        let verdict = by_group::refute(&t, &mut self.columns, by.work.limits);
        if verdict.refuted {
            return Answer::No;
        }
        let gpus = by.instance.cost.pools().iter().map(|p| p.gpus).collect();
        let counts = by.instance.classes.iter().map(|c| c.1 as u32).collect();
        exact::search(&t, &verdict.values, &Question { counts, gpus }, nodes)
    }
}

fn is_few(instance: &Instance<'_>) -> bool {
    instance.items.len() <= FEW
}

fn target<'a>(instance: &Instance<'a>, relaxed: &'a Relaxed, makespan: f64) -> Option<Target<'a>> {
    Target::new(instance.cost, &instance.classes, &relaxed.prices, makespan)
}
