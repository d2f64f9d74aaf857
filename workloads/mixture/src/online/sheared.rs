//! Dynamic batch loading of Sheared LLaMA (Xia et al., ICLR 2024, arXiv 2310.06694; Algorithm 2 and the callback of its released code).
//!
//! At each evaluation `w_i ∝ w_i exp(η (L_i - target_i))`, then smoothed to `(1 - c) w + c/m`: domains that lag behind the loss wanted of
//! them get more. Targets come from a scaling law or from a model that is to be matched. Nothing differs but that batches are
//! composed exactly. Cost: a validation pass an update.

use super::{
    Run,
    contract::{Directive, Leg, Method, Needs, Observation},
    settings::{demand, demand_len},
};
use crate::{BatchRule, MixtureError, Proportions};
use serde::{Deserialize, Serialize};

/// The constants of the rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShearedSettings {
    /// The loss wanted of each domain, in order.
    pub targets: Vec<f64>,
    /// Steps between evaluations.
    #[serde(default = "every")]
    pub every: u64,
    /// `η`.
    #[serde(default = "rate")]
    pub rate: f64,
    /// `c`.
    #[serde(default = "smoothing")]
    pub smoothing: f64,
    /// Where it begins; uniform unless given.
    #[serde(default)]
    pub start: Option<Proportions>,
}

fn every() -> u64 {
    400
}

fn rate() -> f64 {
    1.0
}

fn smoothing() -> f64 {
    1e-4
}

/// The rule at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sheared {
    settings: ShearedSettings,
    shares: Proportions,
}

const NAME: &str = "sheared";

impl Sheared {
    pub(super) fn new(settings: &ShearedSettings, run: &Run) -> Result<Self, MixtureError> {
        demand(settings.every > 0, NAME, "every", settings.every, "at least 1")?;
        demand(settings.rate.is_finite(), NAME, "rate", settings.rate, "a number")?;
        demand((0.0..=1.0).contains(&settings.smoothing), NAME, "smoothing", settings.smoothing, "from 0 to 1")?;
        run.domains.check_len("targets", settings.targets.len())?;
        demand(settings.targets.iter().all(|target| target.is_finite()), NAME, "targets", "not all numbers", "numbers alone")?;
        let shares = settings.start.clone().unwrap_or_else(|| Proportions::uniform(run.domains.len()));
        demand_len(run, "start", &shares)?;
        Ok(Self { settings: settings.clone(), shares })
    }
}

impl Method for Sheared {
    fn name(&self) -> &'static str {
        NAME
    }

    fn next(&self, run: &Run, step: u64) -> Directive {
        let until = step.saturating_add(self.settings.every);
        let needs = Needs { validation: until < run.steps, ..Needs::default() };
        Directive::Train(Leg { proportions: self.shares.clone(), rule: BatchRule::Exact, objective: None, until, needs })
    }

    fn observe(&mut self, run: &Run, seen: &Observation) -> Result<(), MixtureError> {
        let behind = seen.validation.iter().zip(&self.settings.targets);
        let gains: Vec<f64> = behind.map(|(loss, target)| self.settings.rate * (loss - target)).collect();
        if !gains.is_empty() {
            let uniform = Proportions::uniform(run.domains.len());
            self.shares = self.shares.exponentiated(&gains).mixed_with(&uniform, self.settings.smoothing);
        }
        Ok(())
    }

    fn learnt(&self, _: &Run) -> Proportions {
        self.shares.clone()
    }

    fn fits(&self, domains: usize) -> bool {
        self.shares.len() == domains
    }
}
