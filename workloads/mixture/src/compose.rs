//! Which domain each slot of a batch goes to.
//!
//! [`BatchRule::Exact`] gives each next slot to the domain that is furthest behind its share, `w_i n - used_i` (the rule of
//! Megatron-LM's blended data set). Within one batch that is the method of largest remainders; over batches what one domain got
//! too much is taken back, so that the realised proportions stay within one slot of those asked for, and seven domains in
//! sixteen slots come out even. Proportions may change from batch to batch: a domain's due is the sum of what every batch owed it.
//!
//! All arithmetic is in whole numbers, 2^-32 of a slot. The counters are the whole state. This module reads no data.

use crate::{
    MixtureError, Proportions,
    draw::{Draws, Purpose},
};
use serde::{Deserialize, Serialize};

/// One slot.
const ONE: i64 = 1 << 32;

/// How the slots of a batch are divided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchRule {
    /// By the largest sampling error: no chance in it.
    #[default]
    Exact,
    /// Each slot drawn by itself, as most trainers do. For comparison.
    Multinomial,
    /// `max(1, floor(p_i B))` for all but the last domain, which gets what is left or nothing: how the released code of Aioli
    /// composes the batches that it learns from. The batch can be longer than asked for. For comparison.
    Floored,
}

/// Divides batches among domains, and goes on from its own value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Composer {
    /// What each domain is owed, in parts of a slot.
    due: Vec<i64>,
    /// Batches so far.
    batches: u64,
}

impl Composer {
    /// For batches of `slots` sequences.
    ///
    /// # Errors
    /// [`MixtureError::Slots`] when a batch has fewer slots than there are domains, or more than 2^24.
    pub fn new(domains: usize, slots: u64) -> Result<Self, MixtureError> {
        if slots < domains as u64 || domains == 0 {
            return Err(MixtureError::Slots { slots, domains });
        }
        if slots > 1 << 24 {
            let value = slots.to_string();
            return Err(MixtureError::Setting { object: "batch", name: "slots", value, wanted: "at most 2^24".into() });
        }
        Ok(Self { due: vec![0; domains], batches: 0 })
    }

    /// The counts of the next batch: one entry a domain, in sum `slots` (but for [`BatchRule::Floored`]). `seed` matters where
    /// the rule draws: batch `n` of a seed is the same whatever came before.
    ///
    /// # Errors
    /// Proportions of another number of domains.
    pub fn next(&mut self, proportions: &Proportions, slots: u64, rule: BatchRule, seed: u64) -> Result<Vec<u64>, MixtureError> {
        let domains = self.due.len();
        if proportions.len() != domains {
            return Err(MixtureError::Entries { what: "proportions".into(), expected: domains, found: proportions.len() });
        }
        let batch = self.batches;
        self.batches += 1;
        Ok(match rule {
            BatchRule::Exact => self.exact(proportions, slots),
            BatchRule::Multinomial => multinomial(proportions, slots, Draws::new(seed, Purpose::Batch, batch)),
            BatchRule::Floored => floored(proportions, slots),
        })
    }

    fn exact(&mut self, proportions: &Proportions, slots: u64) -> Vec<u64> {
        let slots = slots.min(1 << 24);
        for (due, part) in self.due.iter_mut().zip(parts(proportions)) {
            *due += part * slots as i64;
        }
        let mut counts: Vec<u64> = self.due.iter().map(|due| due.div_euclid(ONE).max(0) as u64).collect();
        // Debts from before can promise more whole slots than there are; then slot by slot from the first.
        if counts.iter().sum::<u64>() > slots {
            counts.iter_mut().for_each(|count| *count = 0);
        }
        for (due, count) in self.due.iter_mut().zip(&counts) {
            *due -= ONE * *count as i64;
        }
        for _ in counts.iter().sum::<u64>()..slots {
            // The first of the largest.
            let Some((furthest, due)) = self.due.iter_mut().enumerate().rev().max_by_key(|(_, due)| **due) else { break };
            *due -= ONE;
            counts[furthest] += 1;
        }
        counts
    }
}

/// Shares as whole parts of 2^32, in sum 2^32, by largest remainders.
fn parts(proportions: &Proportions) -> Vec<i64> {
    let wanted: Vec<f64> = proportions.iter().map(|share| share * ONE as f64).collect();
    let mut parts: Vec<i64> = wanted.iter().map(|part| part.floor() as i64).collect();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|&a, &b| (wanted[b] - wanted[b].floor()).total_cmp(&(wanted[a] - wanted[a].floor())).then(a.cmp(&b)));
    let missing = ONE - parts.iter().sum::<i64>();
    let domains = parts.len() as i64;
    for (rank, index) in order.into_iter().enumerate() {
        parts[index] += missing.div_euclid(domains) + i64::from((rank as i64) < missing.rem_euclid(domains));
    }
    parts
}

fn multinomial(proportions: &Proportions, slots: u64, mut draws: Draws) -> Vec<u64> {
    let mut counts = vec![0; proportions.len()];
    for _ in 0..slots {
        counts[draws.pick(proportions)] += 1;
    }
    counts
}

fn floored(proportions: &Proportions, slots: u64) -> Vec<u64> {
    let mut counts: Vec<u64> = proportions.iter().map(|share| ((share * slots as f64).floor() as u64).max(1)).collect();
    if let Some((last, others)) = counts.split_last_mut() {
        *last = slots.saturating_sub(others.iter().sum());
    }
    counts
}

/// What a run has really consumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally(Vec<u64>);

impl Tally {
    /// Nothing yet.
    pub fn new(domains: usize) -> Self {
        Self(vec![0; domains])
    }

    /// Adds tokens (or slots) by domain.
    pub fn add(&mut self, consumed: &[u64]) {
        for (total, more) in self.0.iter_mut().zip(consumed) {
            *total = total.saturating_add(*more);
        }
    }

    /// The counts by domain.
    pub fn counts(&self) -> &[u64] {
        &self.0
    }

    /// The realised proportions; none before anything was consumed.
    pub fn proportions(&self) -> Option<Proportions> {
        Proportions::normalize(self.0.iter().map(|&count| count as f64).collect()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shares(shares: &[f64]) -> Proportions {
        Proportions::new(shares.to_vec()).unwrap()
    }

    fn run(composer: &mut Composer, proportions: &Proportions, slots: u64, batches: usize) -> Vec<Vec<u64>> {
        (0..batches).map(|_| composer.next(proportions, slots, BatchRule::Exact, 0).unwrap()).collect()
    }

    #[test]
    fn the_first_batch_is_by_largest_remainders() {
        let mut composer = Composer::new(3, 8).unwrap();
        // 3.6, 2.8, 1.6: 3, 2, 1 and two more to 2 (.8) and to the first of those with .6.
        assert_eq!(run(&mut composer, &shares(&[0.45, 0.35, 0.2]), 8, 1), [[4, 3, 1]]);
        // Owed now -0.4, -0.2, 0.6 more: 3.2, 2.6, 2.2.
        assert_eq!(run(&mut composer, &shares(&[0.45, 0.35, 0.2]), 8, 1), [[3, 3, 2]]);
    }

    #[test]
    fn seven_domains_in_sixteen_slots_come_out_even() {
        let mut composer = Composer::new(7, 16).unwrap();
        let mut tally = Tally::new(7);
        for batch in run(&mut composer, &Proportions::uniform(7), 16, 7) {
            assert!(batch.iter().all(|count| (2..=3).contains(count)), "{batch:?}");
            tally.add(&batch);
        }
        assert_eq!(tally.counts(), [16; 7]);
    }

    #[test]
    fn the_released_rule_overfills_batches() {
        // Seven groups, eight slots, 0.75 on one: eleven sequences, none of the last group, unless that is the hot one.
        let hot = |hot| {
            let share = |index| if index == hot { 0.75 } else { 0.25 / 6.0 };
            floored(&shares(&(0..7).map(share).collect::<Vec<_>>()), 8)
        };
        assert_eq!(hot(0), [6, 1, 1, 1, 1, 1, 0]);
        assert_eq!(hot(6), [1, 1, 1, 1, 1, 1, 2]);
    }

    #[test]
    fn chance_follows_the_proportions_and_the_seed() {
        let mut composer = Composer::new(2, 1000).unwrap();
        let first = composer.next(&shares(&[0.8, 0.2]), 1000, BatchRule::Multinomial, 7).unwrap();
        assert!((750..850).contains(&first[0]), "{first:?}");
        let second = composer.next(&shares(&[0.8, 0.2]), 1000, BatchRule::Multinomial, 7).unwrap();
        assert_ne!(first, second);
        let again = Composer::new(2, 1000).unwrap().next(&shares(&[0.8, 0.2]), 1000, BatchRule::Multinomial, 7).unwrap();
        assert_eq!(first, again);
    }

    /// One batch of `testdata/compose/batches.json`.
    #[derive(Deserialize)]
    struct Golden {
        proportions: Proportions,
        counts: Vec<u64>,
    }

    /// A run of batches there.
    #[derive(Deserialize)]
    struct Case {
        domains: usize,
        slots: u64,
        seed: u64,
        rule: BatchRule,
        batches: Vec<Golden>,
        state: Composer,
    }

    #[test]
    fn the_python_client_composes_the_same_batches() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../testdata/compose/batches.json")).unwrap();
        assert_eq!(cases.len(), 7);
        for case in cases {
            let mut composer = Composer::new(case.domains, case.slots).unwrap();
            for (number, batch) in case.batches.iter().enumerate() {
                let counts = composer.next(&batch.proportions, case.slots, case.rule, case.seed).unwrap();
                assert_eq!(counts, batch.counts, "{} domains, {:?}, batch {number}", case.domains, case.rule);
            }
            assert_eq!(composer, case.state);
        }
    }

    #[test]
    fn too_few_slots() {
        assert_eq!(Composer::new(7, 6).unwrap_err().to_string(), "a batch of 6 slots cannot hold each of 7 domains");
        assert!(Composer::new(2, u64::MAX).is_err());
        let error = Composer::new(2, 8).unwrap().next(&Proportions::uniform(3), 8, BatchRule::Exact, 0).unwrap_err();
        assert_eq!(error.to_string(), "proportions: expected 2 entries, one for each domain, found 3");
    }

    proptest! {
        /// Changing proportions, a restart in the middle: sums are whole, and nobody is ever a slot ahead or two behind.
        #[test]
        fn realised_is_what_was_asked_for(
            weights in prop::collection::vec(prop::collection::vec(0.0f64..1.0, 5), 1..40),
            slots in 5u64..40,
            restart in 0usize..40,
        ) {
            let mut composer = Composer::new(5, slots).unwrap();
            let (mut owed, mut tally) = ([0.0; 5], Tally::new(5));
            for (index, weights) in weights.into_iter().enumerate() {
                let Ok(proportions) = Proportions::normalize(weights) else { continue };
                if index == restart {
                    composer = serde_json::from_str(&serde_json::to_string(&composer).unwrap()).unwrap();
                }
                let counts = composer.next(&proportions, slots, BatchRule::Exact, 0).unwrap();
                prop_assert_eq!(counts.iter().sum::<u64>(), slots);
                tally.add(&counts);
                owed.iter_mut().zip(proportions.iter()).for_each(|(owed, share)| *owed += share * slots as f64);
                for (owed, &used) in owed.iter().zip(tally.counts()) {
                    prop_assert!(used as f64 - owed < 1.0 + 1e-6 && owed - used as f64 <= 2.0, "{owed} {used}");
                }
            }
        }
    }
}
