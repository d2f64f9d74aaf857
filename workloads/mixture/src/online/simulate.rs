//! A trainer whose law is known: tests drive methods with it. Nothing of it is in the crate.
//!
//! One step on realised proportions `p` lowers the loss on `i` by `Σ_j A_ij p_j`, times how far the loss is above its floor. With a floor
//! of minus infinity that is the linear law of Aioli exactly.

use super::{BranchReport, Directive, Gradients, Leg, Observation, Online, Origin, ProbePlan, ProbeReport, Run, Settings};
use crate::{
    BatchRule, Composer, Domains, Proportions,
    draw::{Draws, Purpose},
    numerics::Matrix,
};

/// Tokens of a sequence.
const TOKENS: u64 = 32;

#[derive(Clone)]
pub(crate) struct Trainer {
    pub(crate) law: Matrix,
    /// Losses sink towards it; none for a law that is linear.
    pub(crate) floor: Option<Vec<f64>>,
    /// Standard deviation, about, of what is measured.
    pub(crate) noise: f64,
    start: Vec<f64>,
    losses: Vec<f64>,
    composer: Composer,
    /// The losses of the reference model.
    reference: Vec<f64>,
    measured: u64,
    slots: u64,
    seed: u64,
}

impl Trainer {
    pub(crate) fn new(law: Matrix, start: &[f64], run: &Run) -> Self {
        Self {
            floor: None,
            noise: 0.0,
            start: start.to_vec(),
            losses: start.to_vec(),
            composer: Composer::new(start.len(), run.slots).unwrap(),
            reference: vec![0.0; start.len()],
            measured: 0,
            slots: run.slots,
            seed: run.seed,
            law,
        }
    }

    pub(crate) fn losses(&self) -> &[f64] {
        &self.losses
    }

    /// One step; what the objective weights counts as consumed.
    fn step(&mut self, leg: &Leg) -> Vec<u64> {
        let counts = self.composer.next(&leg.proportions, self.slots, leg.rule, self.seed).unwrap();
        let all: u64 = counts.iter().sum();
        let shares: Vec<f64> = match &leg.objective {
            Some(weights) => weights.iter().collect(),
            None => counts.iter().map(|&count| count as f64 / all as f64).collect(),
        };
        let slopes = self.slopes();
        for (loss, row) in self.losses.iter_mut().zip(&slopes) {
            *loss -= row.iter().zip(&shares).map(|(slope, share)| slope * share).sum::<f64>();
        }
        counts.iter().map(|count| count * TOKENS).collect()
    }

    /// The law at the present losses.
    pub(crate) fn slopes(&self) -> Matrix {
        let above = |i: usize| self.floor.as_ref().map_or(1.0, |floor| self.losses[i] - floor[i]);
        self.law.iter().enumerate().map(|(i, row)| row.iter().map(|entry| entry * above(i)).collect()).collect()
    }

    pub(crate) fn validation(&mut self) -> Vec<f64> {
        self.measured += 1;
        let mut draws = Draws::new(self.seed, Purpose::Batch, 1 << 40 | self.measured);
        self.losses.iter().map(|loss| loss + self.noise * (draws.uniform() - 0.5) * 12f64.sqrt()).collect()
    }

    pub(crate) fn train(&mut self, leg: &Leg, from: u64) -> Observation {
        let mut tokens = vec![0; self.start.len()];
        let mut seen = Observation { step: leg.until, ..Observation::default() };
        for _ in from..leg.until {
            tokens.iter_mut().zip(self.step(leg)).for_each(|(sum, more)| *sum += more);
        }
        let some = |values: &[f64]| -> Vec<Option<f64>> {
            values.iter().zip(&tokens).map(|(&value, &tokens)| (tokens > 0).then_some(value)).collect()
        };
        if leg.needs.train {
            seen.train = some(&self.losses);
        }
        if leg.needs.excess {
            let excess: Vec<f64> = self.losses.iter().zip(&self.reference).map(|(own, reference)| own - reference).collect();
            seen.excess = some(&excess);
        }
        if leg.needs.validation {
            seen.validation = self.validation();
        }
        if leg.needs.norms || leg.needs.products {
            // A product of gradients is what a step on one domain does to another's loss.
            let products = self.slopes();
            let squared_norms = (0..products.len()).map(|i| products[i][i].abs()).collect();
            let variances = vec![0.1; products.len()];
            seen.gradients = Some(Gradients { squared_norms, variances, products, learning_rate: 1e-3 });
        }
        seen.tokens = tokens;
        seen
    }

    pub(crate) fn probe(&mut self, plan: &ProbePlan, step: u64) -> ProbeReport {
        let mut origin = self.clone();
        if plan.from == Origin::Start {
            origin.losses = self.start.clone();
        }
        let before = if plan.measure { origin.validation() } else { vec![] };
        let mut branches = vec![];
        for branch in &plan.branches {
            let mut twin = origin.clone();
            twin.composer = Composer::new(twin.start.len(), twin.slots).unwrap();
            let proportions = branch.proportions.clone();
            let leg =
                Leg { proportions, rule: BatchRule::Exact, objective: None, until: branch.steps, needs: Default::default() };
            let tokens = twin.train(&leg, 0).tokens;
            branches.push(BranchReport { tokens, after: if plan.measure { twin.validation() } else { vec![] } });
            self.reference = twin.losses.clone();
        }
        ProbeReport { step, before, branches }
    }

    /// Does what the method asks for once; the proportions of the leg, or none when the run is done.
    pub(crate) fn advance(&mut self, online: &mut Online) -> Option<Option<Proportions>> {
        match online.next() {
            Directive::Done => None,
            Directive::Measure(_) => {
                let validation = self.validation();
                let tokens = vec![0; validation.len()];
                online.observe(&Observation { step: online.step(), tokens, validation, ..Observation::default() }).unwrap();
                Some(None)
            }
            Directive::Train(leg) => {
                let seen = self.train(&leg, online.step());
                online.observe(&seen).unwrap();
                Some(Some(leg.proportions))
            }
            Directive::Probe(plan) => {
                let report = self.probe(&plan, online.step());
                online.probed(&report).unwrap();
                Some(None)
            }
        }
    }
}

/// The first and last step and the proportions of every leg of a whole run.
pub(crate) fn drive(online: &mut Online, trainer: &mut Trainer) -> Vec<Proportions> {
    let mut legs = vec![];
    while let Some(played) = trainer.advance(online) {
        legs.extend(played);
    }
    legs
}

/// A run of `domains` domains.
pub(crate) fn run(domains: usize, steps: u64, slots: u64) -> Run {
    let names = ["web", "code", "books", "wiki", "math", "forum", "law"];
    Run {
        domains: Domains::new(names.into_iter().take(domains)).unwrap(),
        sizes: (1..=domains as u64).map(|i| i * 1000).collect(),
        steps,
        slots,
        seed: 11,
    }
}

/// Settings as a person writes them.
pub(crate) fn settings(text: &str) -> Settings {
    serde_saphyr::from_str(text).unwrap()
}
