//! PiKE (Li et al., "PiKE: adaptive data mixing for multi-task learning under low gradient conflicts", NeurIPS 2025,
//! arXiv 2502.06244).
//!
//! Every so many steps `w_k ∝ w_k exp(ζ1 ‖∇L_k‖² - ζ2/(2b) σ_k²)`: domains with a steep and sure gradient get more of each batch, `b`
//! being its slots. Batches hold all domains at once, which the paper finds better than batches of one.
//!
//! Slots are divided by the largest sampling error instead of by rounding, so that a batch keeps its size. The balanced variant
//! (weights of a tilted loss) is not here. Cost: norm and variance of each domain's gradient at each update.

use super::{
    Run,
    contract::{Directive, Leg, Method, Needs, Observation},
    settings::demand,
};
use crate::{BatchRule, MixtureError, Proportions};
use serde::{Deserialize, Serialize};

/// The constants of PiKE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PikeSettings {
    /// Steps between updates.
    pub every: u64,
    /// `ζ1`.
    pub norm_rate: f64,
    /// `ζ2`.
    pub variance_rate: f64,
}

impl Default for PikeSettings {
    fn default() -> Self {
        Self { every: 1000, norm_rate: 1e-2, variance_rate: 1e-2 }
    }
}

/// PiKE at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Pike {
    settings: PikeSettings,
    shares: Proportions,
}

const NAME: &str = "pike";

impl Pike {
    pub(super) fn new(settings: &PikeSettings, run: &Run) -> Result<Self, MixtureError> {
        demand(settings.every > 0, NAME, "every", settings.every, "at least 1")?;
        demand(settings.norm_rate.is_finite(), NAME, "norm_rate", settings.norm_rate, "a number")?;
        demand(settings.variance_rate.is_finite(), NAME, "variance_rate", settings.variance_rate, "a number")?;
        Ok(Self { settings: settings.clone(), shares: Proportions::uniform(run.domains.len()) })
    }
}

impl Method for Pike {
    fn name(&self) -> &'static str {
        NAME
    }

    fn next(&self, _: &Run, step: u64) -> Directive {
        let needs = Needs { norms: true, ..Needs::default() };
        let until = step.saturating_add(self.settings.every);
        Directive::Train(Leg { proportions: self.shares.clone(), rule: BatchRule::Exact, objective: None, until, needs })
    }

    fn observe(&mut self, run: &Run, seen: &Observation) -> Result<(), MixtureError> {
        let Some(gradients) = &seen.gradients else { return Ok(()) };
        let noise = self.settings.variance_rate / (2.0 * run.slots as f64);
        let measured = gradients.squared_norms.iter().zip(&gradients.variances);
        let gains: Vec<f64> = measured.map(|(norm, variance)| self.settings.norm_rate * norm - noise * variance).collect();
        self.shares = self.shares.exponentiated(&gains);
        Ok(())
    }

    fn learnt(&self, _: &Run) -> Proportions {
        self.shares.clone()
    }

    fn fits(&self, domains: usize) -> bool {
        self.shares.len() == domains
    }
}
