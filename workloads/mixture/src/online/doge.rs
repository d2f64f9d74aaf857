//! DoGE (Fan et al., "DoGE: domain reweighting with generalization estimation", ICML 2024, arXiv 2310.15393).
//!
//! Score of a domain: `lr ⟨∇L_j, Σ_i ∇L_i of validation⟩ / (mean_k ‖∇L_k‖ + 1e-6)`, clipped to `[0, clip·lr]`; then
//! `α_j ∝ α_j exp(score_j / μ)`. The proxy's objective is `Σ_j α_j loss_j`; what it recommends is the mean of `α` over the updates.
//!
//! As in the authors' code, where the domains are their own targets no gradient is compared with its own domain's. What differs:
//! weights can be played as proportions ([`Play::Sampling`]). Cost: a proxy run, and at each update `m` gradients of training and as
//! many of validation, which only a trainer that computes them can give.

use super::{
    Run,
    contract::{Directive, Method, Needs, Observation},
    doremi::{Mean, play},
    settings::{Play, demand},
};
use crate::{MixtureError, Proportions};
use serde::{Deserialize, Serialize};

/// The constants of DoGE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DogeSettings {
    /// Steps between updates.
    pub every: u64,
    /// `μ`, the temperature of the update.
    pub temperature: f64,
    /// Scores end at so many learning rates.
    pub clip: f64,
    /// Whether the targets are other data than the domains.
    pub held_out: bool,
    /// How the weights reach the trainer.
    pub play: Play,
}

impl Default for DogeSettings {
    fn default() -> Self {
        Self { every: 1, temperature: 0.01, clip: 5.0, held_out: false, play: Play::Objective }
    }
}

/// DoGE at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Doge {
    settings: DogeSettings,
    weights: Proportions,
    mean: Mean,
}

const NAME: &str = "doge";

impl Doge {
    pub(super) fn new(settings: &DogeSettings, run: &Run) -> Result<Self, MixtureError> {
        let positive = "a number above 0";
        demand(settings.every > 0, NAME, "every", settings.every, "at least 1")?;
        demand(settings.temperature > 0.0, NAME, "temperature", settings.temperature, positive)?;
        demand(settings.clip > 0.0, NAME, "clip", settings.clip, positive)?;
        let domains = run.domains.len();
        Ok(Self { settings: settings.clone(), weights: Proportions::uniform(domains), mean: Mean::new(domains) })
    }
}

impl Method for Doge {
    fn name(&self) -> &'static str {
        NAME
    }

    fn next(&self, _: &Run, step: u64) -> Directive {
        let until = step.saturating_add(self.settings.every);
        Directive::Train(play(self.settings.play, &self.weights, until, Needs { products: true, ..Needs::default() }))
    }

    fn observe(&mut self, run: &Run, seen: &Observation) -> Result<(), MixtureError> {
        let domains = run.domains.len();
        let Some(gradients) = &seen.gradients else { return Ok(()) };
        if !self.settings.held_out {
            run.domains.check_len("rows of inner products", gradients.products.len())?;
        }
        let norms = gradients.squared_norms.iter().map(|squared| squared.max(0.0).sqrt()).sum::<f64>() / domains as f64;
        let rate = gradients.learning_rate;
        let score = |trained: usize| {
            let targets =
                gradients.products.iter().enumerate().filter(|&(target, _)| self.settings.held_out || target != trained);
            let product: f64 = targets.filter_map(|(_, row)| row.get(trained)).sum();
            (rate * product / (norms + 1e-6)).clamp(0.0, (self.settings.clip * rate).max(0.0))
        };
        let gains: Vec<f64> = (0..domains).map(|trained| score(trained) / self.settings.temperature).collect();
        self.weights = self.weights.exponentiated(&gains);
        self.mean.add(&self.weights);
        Ok(())
    }

    fn learnt(&self, _: &Run) -> Proportions {
        self.mean.proportions()
    }

    fn fits(&self, domains: usize) -> bool {
        self.weights.len() == domains && self.mean.fits(domains)
    }
}
