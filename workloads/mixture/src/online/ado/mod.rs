//! ADO (Jiang et al., "Adaptive data optimization: dynamic sample selection with scaling laws", ICLR 2025, arXiv 2410.11820; the
//! constants and the credit of the authors' code of December 2024).
//!
//! ```text
//! natural proportions ── every `refit` steps: a law of each domain's training loss ─▶ preference ─▶ proportions, every leg
//! ```
//!
//! Law: `L_i(n) = e^{ε_i} + e^{a_i} n^{-α_i}` over the domain's own data. Preference `∝ slope_i μ_i h_i^{1/2}`: the slope
//! `α_i (L_i - e^{ε_i}) / n_i` of the law where the domain stands now, its natural share `μ`, and the moving average `h` of what was
//! really consumed. Played is 0.9 of the mean preference so far (which begins at `μ`) and 0.1 of the present one, the latter with
//! at least 0.01 a domain before it is normalized.
//!
//! What differs from the released code: losses come as means over legs, neighbours being joined when there are many, instead of by a
//! Savitzky-Golay filter over all steps, so that the state stays small; and the fit is by Levenberg and Marquardt from the best of the
//! same 512 starts. Cost: none but the fit, some milliseconds a domain; training losses by domain are at hand.

mod fit;
mod history;

use super::{
    Run,
    contract::{Directive, Leg, Method, Needs, Observation},
    settings::{demand, natural},
};
use crate::{BatchRule, MixtureError, Proportions};
use fit::Law;
use history::History;
use serde::{Deserialize, Serialize};

/// The constants of ADO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdoSettings {
    /// Steps between updates of the proportions.
    pub every: u64,
    /// Losses up to this step are not fitted: learning is not a power law yet.
    pub skip: u64,
    /// The step of the first fit.
    pub first_fit: u64,
    /// Steps between fits.
    pub refit: u64,
    /// How much of the moving average `h` stays at an update.
    pub credit_memory: f64,
    /// How much of what is played is the mean preference.
    pub inertia: f64,
    /// The least preference.
    pub floor: f64,
    /// The least `α` in a slope.
    pub least_exponent: f64,
}

impl Default for AdoSettings {
    fn default() -> Self {
        Self {
            every: 1,
            skip: 500,
            first_fit: 1000,
            refit: 1000,
            credit_memory: 0.9,
            inertia: 0.9,
            floor: 0.01,
            least_exponent: 0.05,
        }
    }
}

/// ADO at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Ado {
    settings: AdoSettings,
    /// `μ`.
    natural: Proportions,
    /// `h`.
    credit: Proportions,
    shares: Proportions,
    /// The mean of preferences, and of how many (with `μ` as the first).
    mean: Proportions,
    preferences: u64,
    next_fit: u64,
    domains: Vec<Domain>,
}

/// What is known of one domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Domain {
    /// Tokens consumed.
    tokens: u64,
    history: History,
    law: Option<Law>,
}

const NAME: &str = "ado";

impl Ado {
    pub(super) fn new(settings: &AdoSettings, run: &Run) -> Result<Self, MixtureError> {
        let part = "from 0 to 1";
        demand(settings.every > 0, NAME, "every", settings.every, "at least 1")?;
        demand(settings.refit > 0, NAME, "refit", settings.refit, "at least 1")?;
        demand(settings.first_fit > settings.skip, NAME, "first_fit", settings.first_fit, "later than skip")?;
        demand((0.0..=1.0).contains(&settings.credit_memory), NAME, "credit_memory", settings.credit_memory, part)?;
        demand((0.0..=1.0).contains(&settings.inertia), NAME, "inertia", settings.inertia, part)?;
        demand((0.0..=1.0).contains(&settings.floor), NAME, "floor", settings.floor, part)?;
        demand(settings.least_exponent >= 0.0, NAME, "least_exponent", settings.least_exponent, "at least 0")?;
        let natural = natural(run, NAME, 1.0)?;
        let domains = run.domains.len();
        let domain = Domain { tokens: 0, history: History::new(domains), law: None };
        Ok(Self {
            settings: settings.clone(),
            credit: natural.clone(),
            shares: natural.clone(),
            mean: natural.clone(),
            natural,
            preferences: 1,
            next_fit: settings.first_fit,
            domains: vec![domain; domains],
        })
    }

    /// Tokens are counted in sequences of the run's mean length, which is what the starts of the fit are made for.
    fn sequence(&self, run: &Run, step: u64) -> f64 {
        let tokens: f64 = self.domains.iter().map(|domain| domain.tokens as f64).sum();
        (tokens / (step.max(1) as f64 * run.slots as f64)).max(f64::MIN_POSITIVE)
    }

    /// `max(slope μ h^{1/2}, floor)`, normalized.
    fn preference(&self, sequence: f64) -> Proportions {
        let slope = |domain: &Domain| {
            let (Some(law), 1..) = (&domain.law, domain.tokens) else { return 0.0 };
            law.slope(domain.tokens as f64 / sequence, self.settings.least_exponent)
        };
        let parts = self.domains.iter().zip(self.natural.iter()).zip(self.credit.iter());
        let weights = parts.map(|((domain, natural), credit)| slope(domain) * natural * credit.max(0.0).sqrt()).collect();
        let Ok(preference) = Proportions::normalize(weights) else { return self.natural.clone() };
        let floored = preference.iter().map(|share| share.max(self.settings.floor)).collect();
        Proportions::normalize(floored).unwrap_or(preference)
    }
}

impl Method for Ado {
    fn name(&self) -> &'static str {
        NAME
    }

    fn next(&self, _: &Run, step: u64) -> Directive {
        let needs = Needs { train: true, ..Needs::default() };
        let until = step.saturating_add(self.settings.every);
        Directive::Train(Leg { proportions: self.shares.clone(), rule: BatchRule::Exact, objective: None, until, needs })
    }

    fn observe(&mut self, run: &Run, seen: &Observation) -> Result<(), MixtureError> {
        for (domain, (&tokens, loss)) in self.domains.iter_mut().zip(seen.tokens.iter().zip(&seen.train)) {
            let middle = domain.tokens as f64 + tokens as f64 / 2.0;
            domain.tokens = domain.tokens.saturating_add(tokens);
            if let Some(loss) = loss.filter(|&loss| loss > 0.0 && tokens > 0 && seen.step > self.settings.skip) {
                domain.history.add(middle, loss);
            }
        }
        let consumed = Proportions::normalize(seen.tokens.iter().map(|&tokens| tokens as f64).collect());
        if let Ok(consumed) = consumed {
            self.credit = consumed.mixed_with(&self.credit, self.settings.credit_memory);
        }
        let sequence = self.sequence(run, seen.step);
        if seen.step >= self.next_fit {
            for domain in &mut self.domains {
                domain.law = fit::fit(&domain.history.points(sequence)).or_else(|| domain.law.take());
            }
            self.next_fit = seen.step.saturating_add(self.settings.refit);
        }
        if self.domains.iter().any(|domain| domain.law.is_some()) {
            let preference = self.preference(sequence);
            self.preferences += 1;
            self.mean = self.mean.mixed_with(&preference, 1.0 / self.preferences as f64);
            self.shares = preference.mixed_with(&self.mean, self.settings.inertia);
        }
        Ok(())
    }

    fn learnt(&self, _: &Run) -> Proportions {
        self.mean.clone()
    }

    fn fits(&self, domains: usize) -> bool {
        let all = [&self.natural, &self.credit, &self.shares, &self.mean];
        self.domains.len() == domains && all.iter().all(|proportions| proportions.len() == domains)
    }
}

#[cfg(test)]
mod tests;
