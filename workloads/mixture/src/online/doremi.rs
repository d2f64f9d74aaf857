//! DoReMi (Xie et al., "DoReMi: optimizing data mixtures speeds up language model pretraining", NeurIPS 2023, arXiv 2305.10429).
//!
//! ```text
//! reference model: a branch from the start on given proportions, kept ─▶ proxy: legs whose objective is weighted ─▶ mean weights
//! ```
//!
//! Group DRO: `λ_i` is the mean over tokens of `max(loss - reference loss, 0)`; then `α_i ∝ α_i exp(η λ_i)`, smoothed to
//! `(1 - c) α + c/m`. The proxy's batches are even and its objective `Σ_i α_i loss_i`. What it recommends is the mean of `α` over the
//! updates, to be trained on by another run.
//!
//! What differs: a domain without tokens in a leg keeps its last excess; weights can be played as proportions
//! ([`Play::Sampling`]) where a trainer cannot weight losses. Defaults are those of the authors' code (the paper has `c = 1e-3`).
//! Cost: two extra runs, the reference and the proxy, and a forward pass of the reference on the proxy's tokens.

use super::{
    Run,
    contract::{Branch, Directive, Fate, Leg, Method, Needs, Observation, Origin, ProbePlan, ProbeReport},
    settings::{Play, demand, demand_len},
};
use crate::{BatchRule, MixtureError, Proportions};
use serde::{Deserialize, Serialize};

/// The constants of DoReMi.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DoremiSettings {
    /// Steps between updates.
    pub every: u64,
    /// `η`.
    pub rate: f64,
    /// `c`.
    pub smoothing: f64,
    /// What the reference model trains on; uniform unless given.
    pub reference: Option<Proportions>,
    /// Steps of the reference model; as many as the run unless given.
    pub reference_steps: Option<u64>,
    /// How the weights reach the trainer.
    pub play: Play,
}

impl Default for DoremiSettings {
    fn default() -> Self {
        Self { every: 1, rate: 1.0, smoothing: 1e-4, reference: None, reference_steps: None, play: Play::Objective }
    }
}

/// DoReMi at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Doremi {
    settings: DoremiSettings,
    has_reference: bool,
    weights: Proportions,
    excess: Vec<f64>,
    mean: Mean,
}

/// The mean of weights over updates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Mean {
    sums: Vec<f64>,
    updates: u64,
}

impl Mean {
    pub(super) fn new(domains: usize) -> Self {
        Self { sums: vec![0.0; domains], updates: 0 }
    }

    pub(super) fn add(&mut self, weights: &Proportions) {
        self.sums.iter_mut().zip(weights.iter()).for_each(|(sum, weight)| *sum += weight);
        self.updates += 1;
    }

    /// Uniform before the first update.
    pub(super) fn proportions(&self) -> Proportions {
        Proportions::normalize(self.sums.clone()).unwrap_or_else(|_| Proportions::uniform(self.sums.len()))
    }

    pub(super) fn fits(&self, domains: usize) -> bool {
        self.sums.len() == domains
    }
}

const NAME: &str = "doremi";

impl Doremi {
    pub(super) fn new(settings: &DoremiSettings, run: &Run) -> Result<Self, MixtureError> {
        demand(settings.every > 0, NAME, "every", settings.every, "at least 1")?;
        demand(settings.rate.is_finite(), NAME, "rate", settings.rate, "a number")?;
        demand((0.0..=1.0).contains(&settings.smoothing), NAME, "smoothing", settings.smoothing, "from 0 to 1")?;
        demand(settings.reference_steps != Some(0), NAME, "reference_steps", 0, "at least 1")?;
        if let Some(reference) = &settings.reference {
            demand_len(run, "doremi's reference", reference)?;
        }
        let domains = run.domains.len();
        Ok(Self {
            settings: settings.clone(),
            has_reference: false,
            weights: Proportions::uniform(domains),
            excess: vec![0.0; domains],
            mean: Mean::new(domains),
        })
    }
}

impl Method for Doremi {
    fn name(&self) -> &'static str {
        NAME
    }

    fn next(&self, run: &Run, step: u64) -> Directive {
        let uniform = Proportions::uniform(run.domains.len());
        if !self.has_reference {
            let proportions = self.settings.reference.clone().unwrap_or(uniform);
            let branch = Branch { proportions, steps: self.settings.reference_steps.unwrap_or(run.steps), stream: 0 };
            return Directive::Probe(ProbePlan {
                from: Origin::Start,
                branches: vec![branch],
                measure: false,
                fate: Fate::Reference,
            });
        }
        let until = step.saturating_add(self.settings.every);
        Directive::Train(play(self.settings.play, &self.weights, until, Needs { excess: true, ..Needs::default() }))
    }

    fn observe(&mut self, run: &Run, seen: &Observation) -> Result<(), MixtureError> {
        for (own, excess) in self.excess.iter_mut().zip(&seen.excess) {
            if let Some(excess) = excess {
                *own = excess.max(0.0);
            }
        }
        let gains: Vec<f64> = self.excess.iter().map(|excess| self.settings.rate * excess).collect();
        let uniform = Proportions::uniform(run.domains.len());
        self.weights = self.weights.exponentiated(&gains).mixed_with(&uniform, self.settings.smoothing);
        self.mean.add(&self.weights);
        Ok(())
    }

    fn probed(&mut self, _: &Run, _: &ProbeReport) -> Result<(), MixtureError> {
        self.has_reference = true;
        Ok(())
    }

    fn learnt(&self, _: &Run) -> Proportions {
        self.mean.proportions()
    }

    fn fits(&self, domains: usize) -> bool {
        self.weights.len() == domains && self.excess.len() == domains && self.mean.fits(domains)
    }
}

/// A leg in which weights reach the trainer one way or the other.
pub(super) fn play(play: Play, weights: &Proportions, until: u64, needs: Needs) -> Leg {
    let (proportions, objective) = match play {
        Play::Objective => (Proportions::uniform(weights.len()), Some(weights.clone())),
        Play::Sampling => (weights.clone(), None),
    };
    Leg { proportions, rule: BatchRule::Exact, objective, until, needs }
}
