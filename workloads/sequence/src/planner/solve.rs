//! From a batch to a plan: tries each number of micro-batches, plans every one of them, keeps the fastest step. One more
//! division is tried: the one that groups of a single degree would fill.
//!
//! What is certified: for the micro-batches of the plan, that no other groups for the same sequences are faster than the
//! bound (each micro-batch by itself); a number of micro-batches is given up only when the sum of its bounds is no less
//! than a plan in hand. What is not: that another division into as many micro-batches could not be faster. How much it
//! could gain at most, [`Plan::any_division_bound_ms`] says.

use super::{
    Batch, CostModel, Effort, Plan, PlanOptions, Sequence, chunk,
    instance::{self, Instance},
    no_barrier,
    pack::refine::{Draft, Refine, Work, draft},
    uniform, write,
};
use crate::SequenceError;
use rayon::prelude::*;
use std::ops::Range;

/// Numbers of micro-batches tried beyond those asked for, while their bounds still promise a faster step.
const MORE_TRIALS: usize = 16;

/// The bound of a micro-batch of so many sequences is raised within a millisecond.
const QUICK: usize = 24;

/// A step of refinement; whether the trial can still win.
type Step<'s> = &'s (dyn Fn(&mut Draft, Refine<'_>) -> bool + Sync);

/// Says when to stop looking for better and take what there is.
pub type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// Plans one step. The same batch, cost and options give the same plan on every machine.
///
/// # Errors
/// There is no sequence, one that fits on no group, or nothing was found that fits.
pub fn plan(batch: &Batch, cost: &CostModel, options: &PlanOptions) -> Result<Plan, SequenceError> {
    plan_until(batch, cost, options, &|| false)
}

/// Plans one step, and stops refining as soon as `stop` says so (a time budget, say). A plan that was cut short depends on
/// when that was.
///
/// # Errors
/// There is no sequence, one that fits on no group, or nothing was found that fits.
pub fn plan_until(batch: &Batch, cost: &CostModel, options: &PlanOptions, stop: Stop<'_>) -> Result<Plan, SequenceError> {
    instance::admit(batch, cost)?;
    let sequences = instance::descending(batch);
    let cost = &cost.in_units(instance::unit(batch));
    let trials = trials(&sequences, cost, options, stop);
    let most = trials.iter().map(|t| t.chunks.len()).max().unwrap_or(0);
    let best = best(trials, options, stop).ok_or(SequenceError::NoPlan { micro_batches: most })?;
    let plan = write::plan(cost, &best).ok_or(SequenceError::NoPlan { micro_batches: most })?;
    if options.barrier {
        return Ok(plan);
    }
    Ok(no_barrier::plan(&sequences, cost, options.effort, &plan, stop))
}

/// A division into micro-batches, each planned.
pub(super) struct Trial<'a> {
    /// All sequences, those of a micro-batch side by side.
    pub(super) sequences: Vec<Sequence>,
    /// The micro-batches, as ranges of them.
    pub(super) chunks: Vec<Range<usize>>,
    pub(super) instances: Vec<Instance<'a>>,
    /// None where a chunk has no plan.
    pub(super) drafts: Option<Vec<Draft>>,
}

impl Trial<'_> {
    fn predicted(&self) -> f64 {
        self.drafts.as_ref().map_or(f64::INFINITY, |all| all.iter().map(|d| d.packing.time).sum())
    }

    fn bound(&self) -> f64 {
        self.drafts.as_ref().map_or(0.0, |all| all.iter().map(|d| d.bound).sum())
    }
}

/// Drafts for every number of micro-batches that may be worth it.
fn trials<'a>(sequences: &[Sequence], cost: &'a CostModel, options: &PlanOptions, stop: Stop<'_>) -> Vec<Trial<'a>> {
    let lengths: Vec<u64> = sequences.iter().map(|s| s.tokens.0).collect();
    let tokens: u64 = lengths.iter().sum();
    let least = (tokens.div_ceil(cost.capacity().0).max(1) as usize).min(lengths.len());
    let asked = options.trials.max(1);
    let draft_all = |counts: Range<usize>| -> Vec<Trial<'a>> {
        counts
            .into_par_iter()
            .filter(|&count| count <= lengths.len())
            .map(|count| trial(sequences.to_vec(), chunk::cut(&lengths, count), cost, options.effort))
            .collect()
    };
    let mut all = draft_all(least..least + asked);
    let mut count = least + asked;
    while count <= lengths.len() && !stop() {
        let best = all.iter().map(Trial::predicted).fold(f64::INFINITY, f64::min);
        let promising = all.last().is_none_or(|t| t.drafts.is_none() || t.bound() < best);
        if best.is_finite() && (!promising || count >= least + asked + MORE_TRIALS) {
            break;
        }
        all.extend(draft_all(count..count + 1));
        count += 1;
    }
    if let Some((order, chunks)) = uniform::divide(&lengths, cost) {
        all.push(trial(order.into_iter().map(|index| sequences[index]).collect(), chunks, cost, options.effort));
    }
    all
}

fn trial<'a>(sequences: Vec<Sequence>, chunks: Vec<Range<usize>>, cost: &'a CostModel, effort: Effort) -> Trial<'a> {
    let lengths = |chunk: &Range<usize>| sequences[chunk.clone()].iter().map(|sequence| sequence.tokens.0).collect::<Vec<_>>();
    let instances: Vec<_> = chunks.iter().map(|chunk| Instance::new(cost, lengths(chunk).into_iter())).collect();
    let drafts = instances.par_iter().map(|i| draft(i, effort.cuts())).collect();
    Trial { sequences, chunks, instances, drafts }
}

/// Refines the trials, most promising first, and gives up those that cannot win.
fn best<'a>(mut trials: Vec<Trial<'a>>, options: &PlanOptions, stop: Stop<'_>) -> Option<Trial<'a>> {
    trials.retain(|t| t.drafts.is_some());
    trials.sort_by(|a, b| a.predicted().total_cmp(&b.predicted()));
    let work = options.effort.work();
    let mut best: Option<Trial<'a>> = None;
    for mut trial in trials {
        let limit = best.as_ref().map_or(f64::INFINITY, Trial::predicted);
        if trial.refine(limit, &work, stop) && trial.predicted() < limit {
            best = Some(trial);
        }
    }
    best
}

impl Trial<'_> {
    /// Refines every micro-batch, and says false as soon as it is clear that the step will not take less than `limit`, or less by
    /// too little to be worth it: first the bounds are raised, of few sequences before those of many; then plans looked for that
    /// are fast enough in view of the bounds of the others, and last improved.
    fn refine(&mut self, limit: f64, work: &Work, stop: Stop<'_>) -> bool {
        let raise = |draft: &mut Draft, by: Refine<'_>| {
            draft.raise_bound(by);
            true
        };
        let quick = |draft: &mut Draft, by: Refine<'_>| by.instance.items.len() > QUICK || raise(draft, by);
        let close = |draft: &mut Draft, by: Refine<'_>| {
            draft.close_gap(by);
            true
        };
        let steps: [Step<'_>; 4] = [&quick, &raise, &Draft::reach_ceiling, &close];
        steps.into_iter().all(|step| self.each(limit, work, stop, step))
    }

    /// Takes a step of refinement with each micro-batch.
    fn each(&mut self, limit: f64, work: &Work, stop: Stop<'_>, step: Step<'_>) -> bool {
        let Some(drafts) = &mut self.drafts else { return false };
        let sum: f64 = drafts.iter().map(|d| d.bound).sum();
        if sum >= limit * (1.0 - work.worth) {
            return false;
        }
        let all = drafts.par_iter_mut().zip(&self.instances).map(|(draft, instance)| {
            let ceiling = limit - (sum - draft.bound);
            step(draft, Refine { instance, work, ceiling, stop })
        });
        // No short circuit: which of them would be left out is a matter of chance.
        all.collect::<Vec<bool>>().into_iter().all(|reached| reached)
    }
}
