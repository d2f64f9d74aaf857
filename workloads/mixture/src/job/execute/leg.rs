//! A stretch of training with one mixture: composes its batches, and adds up what the trainer saw until the leg is over.

use crate::{
    BatchRule, Composer, MixtureError, Proportions,
    online::{Leg, Observation},
    trainer::{Batch, Trained},
};
use serde::{Deserialize, Serialize};

/// Which batches come next: counters alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    composer: Composer,
    /// Draws made of each domain.
    draws: Vec<u64>,
    /// What was seen of a leg that a checkpoint has cut.
    seen: Seen,
}

/// What was seen of a leg so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    /// Steps of the leg.
    steps: u64,
    tokens: Vec<u64>,
    /// Sums of loss over tokens.
    nats: Vec<f64>,
    excess: Vec<f64>,
}

impl Progress {
    /// Before the first batch.
    pub(super) fn new(domains: usize, slots: u64) -> Result<Self, MixtureError> {
        Ok(Self { composer: Composer::new(domains, slots)?, draws: vec![0; domains], seen: Seen::default() })
    }

    /// Steps of the present leg that are done.
    pub(super) fn done(&self) -> u64 {
        self.seen.steps
    }

    /// Draws made of each domain.
    pub(super) fn draws(&self) -> &[u64] {
        &self.draws
    }

    /// The next batches.
    pub(super) fn batches(
        &mut self,
        count: u64,
        proportions: &Proportions,
        (slots, rule, seed): (u64, BatchRule, u64),
    ) -> Result<Vec<Batch>, MixtureError> {
        let mut batch = || {
            let counts = self.composer.next(proportions, slots, rule, seed)?;
            let draw = |(draws, count): (&mut u64, u64)| {
                let first = *draws;
                *draws += count;
                first..*draws
            };
            Ok(Batch(self.draws.iter_mut().zip(counts).map(draw).collect()))
        };
        (0..count).map(|_| batch()).collect()
    }

    /// Takes in a part of a leg.
    pub(super) fn add(&mut self, steps: u64, trained: &Trained) {
        let seen = &mut self.seen;
        let domains = trained.tokens.len();
        for list in [&mut seen.nats, &mut seen.excess] {
            list.resize(domains, 0.0);
        }
        seen.tokens.resize(domains, 0);
        seen.steps += steps;
        for (domain, &tokens) in trained.tokens.iter().enumerate() {
            let sum = |means: &[Option<f64>]| means.get(domain).copied().flatten().map_or(0.0, |mean| mean * tokens as f64);
            seen.tokens[domain] += tokens;
            seen.nats[domain] += sum(&trained.losses);
            seen.excess[domain] += sum(&trained.excess);
        }
    }

    /// The report of the leg that is over; the next one begins.
    pub(super) fn end(&mut self, leg: &Leg) -> Observation {
        let seen = std::mem::take(&mut self.seen);
        let means = |sums: &[f64]| {
            let mean = |(sum, &tokens): (&f64, &u64)| (tokens > 0).then(|| sum / tokens as f64);
            sums.iter().zip(&seen.tokens).map(mean).collect()
        };
        Observation {
            step: leg.until,
            train: means(&seen.nats),
            excess: if leg.needs.excess { means(&seen.excess) } else { vec![] },
            tokens: seen.tokens,
            ..Observation::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::online::Needs;

    fn leg() -> Leg {
        let proportions = Proportions::uniform(2);
        Leg { proportions, rule: BatchRule::Exact, objective: None, until: 3, needs: Needs::default() }
    }

    #[test]
    fn a_leg_that_was_cut_reports_as_a_whole_one() {
        let part =
            |tokens: [u64; 2], losses: [Option<f64>; 2]| Trained { tokens: tokens.into(), losses: losses.into(), excess: vec![] };
        let mut cut = Progress::new(2, 4).unwrap();
        cut.add(1, &part([10, 0], [Some(2.0), None]));
        let mut cut: Progress = serde_json::from_str(&serde_json::to_string(&cut).unwrap()).unwrap();
        assert_eq!(cut.done(), 1);
        cut.add(2, &part([30, 0], [Some(4.0), None]));
        let seen = cut.end(&leg());
        assert_eq!((seen.step, seen.tokens, seen.train), (3, vec![40, 0], vec![Some(3.5), None]));
        assert_eq!(cut.done(), 0);
    }

    #[test]
    fn every_draw_is_made_once() {
        let mut progress = Progress::new(2, 4).unwrap();
        let proportions = Proportions::new(vec![0.7, 0.3]).unwrap();
        let batches = progress.batches(5, &proportions, (4, BatchRule::Exact, 0)).unwrap();
        for domain in 0..2 {
            let ends: Vec<_> = batches.iter().map(|batch| batch.0[domain].clone()).collect();
            assert!(ends.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert_eq!(ends.last().unwrap().end, progress.draws()[domain]);
        }
        assert_eq!(progress.draws(), [14, 6]);
    }
}
