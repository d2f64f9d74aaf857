//! From what a person or a trainer asks to a plan: what the verb and the service share. No file is read here.

mod profile;

pub(crate) use profile::{Named, unknown};

use braid_sequence::{
    SequenceError,
    planner::{
        Batch, Cluster, CostModel, Degrees, ModelProfile, Plan, PlanOptions, Stop, Tokens,
        baseline::{self, Baseline},
        plan_until,
    },
};
use std::time::{Duration, Instant};

/// A step to be planned.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// The length of each sequence; a plan names them by their place here.
    pub(crate) lengths: Vec<Tokens>,
    pub(crate) cluster: Cluster,
    pub(crate) model: ModelProfile,
    /// Longer sequences are dropped; without it the longest sequence is the context.
    pub(crate) context: Option<Tokens>,
    pub(crate) degrees: Degrees,
    pub(crate) options: PlanOptions,
}

/// A plan, and what it was made from.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) plan: Plan,
    pub(crate) batch: Batch,
    pub(crate) cost: CostModel,
    pub(crate) context: Tokens,
    /// How long it took to make.
    pub(crate) solve: Duration,
}

/// The same step under a single degree.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Baselines {
    pub(crate) fixed: Option<Baseline>,
    pub(crate) batch_ada: Option<Baseline>,
}

/// Every length is planned as the next multiple of this: both halves of a causal mask split evenly over all GPUs.
pub(crate) fn unit(cluster: &Cluster) -> u64 {
    2 * u64::from(cluster.gpus())
}

/// The longest sequence that a context keeps.
pub(crate) fn longest_kept(cluster: &Cluster, context: Tokens) -> Tokens {
    Tokens(context.0.saturating_sub(unit(cluster)))
}

/// Plans the step. `stop` ends the search early, with the best plan so far.
pub(crate) fn answer(question: &Question, stop: Stop<'_>) -> Result<Answer, SequenceError> {
    let Question { lengths, cluster, model, degrees, options, .. } = question;
    let unit = unit(cluster);
    let longest = lengths.iter().max().map_or(unit, |longest| longest.0.next_multiple_of(unit));
    let (context, limit) = match question.context {
        Some(context) => (context, context),
        // One unit above the longest nothing is dropped.
        None => (Tokens(longest), Tokens(longest + unit)),
    };
    let batch = Batch::for_context(lengths, limit, cluster.gpus());
    let cost = CostModel::new(cluster, model, context, *degrees)?;
    let start = Instant::now();
    let plan = plan_until(&batch, &cost, options, stop)?;
    Ok(Answer { plan, batch, cost, context, solve: start.elapsed() })
}

impl Answer {
    /// What the step takes without a planner.
    pub(crate) fn baselines(&self) -> Baselines {
        Baselines { fixed: self.fixed_degree(), batch_ada: baseline::batch_ada(&self.batch, &self.cost) }
    }

    /// The fastest degree of those that could hold a sequence as long as the context: one that is fixed for a training has
    /// to take whatever comes.
    fn fixed_degree(&self) -> Option<Baseline> {
        let fitting = self.cost.kinds().iter().filter(|kind| kind.capacity >= self.context.0);
        let steps = fitting.filter_map(|kind| baseline::static_degree(&self.batch, &self.cost, kind.degree));
        steps.min_by(|a, b| a.predicted.0.total_cmp(&b.predicted.0))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A step on the built-in cluster.
    pub(crate) fn question(lengths: &[u64], context: Option<u64>) -> Question {
        Question {
            lengths: lengths.iter().copied().map(Tokens).collect(),
            cluster: Cluster::built_in("a100x64").unwrap(),
            model: ModelProfile::built_in("gpt-7b").unwrap(),
            context: context.map(Tokens),
            degrees: Degrees::PowersOfTwo,
            options: PlanOptions::default(),
        }
    }

    #[test]
    fn without_a_context_nothing_is_dropped_and_the_longest_sequence_is_the_context() {
        let answer = answer(&question(&[100_001, 50, 4_000], None), &|| false).unwrap();
        assert_eq!((answer.batch.dropped.len(), answer.context), (0, Tokens(100_096)));
        answer.plan.check(&answer.batch, &answer.cost).unwrap();
        assert_eq!(answer.batch.tokens(), Tokens(100_096 + 128 + 4_096));
    }

    #[test]
    fn a_context_drops_what_is_longer_after_rounding() {
        let answer = answer(&question(&[32_000, 31_872, 31_873, 1], Some(32_000)), &|| false).unwrap();
        assert_eq!((answer.batch.dropped.as_slice(), answer.context), ([0, 2].as_slice(), Tokens(32_000)));
        assert_eq!(longest_kept(&question(&[], None).cluster, Tokens(32_000)), Tokens(31_872));
    }

    #[test]
    fn a_degree_fixed_for_a_training_holds_its_context() {
        // Short sequences alone: the best degree for this batch is small, and no training with long ones can use it.
        let lengths = [4_000; 200];
        let with = |context| answer(&question(&lengths, context), &|| false).unwrap();
        let fixed = |context| with(context).baselines().fixed.unwrap();
        assert_eq!(fixed(Some(384_000)).degree.0, 64);
        assert_eq!(fixed(Some(192_000)).degree.0, 32);
        assert!(fixed(None).degree.0 <= 8);
        let answer = with(Some(192_000));
        assert!(answer.plan.predicted_ms < answer.baselines().batch_ada.unwrap().predicted);
        assert!(answer.baselines().batch_ada.unwrap().predicted < fixed(Some(192_000)).predicted);
    }
}
