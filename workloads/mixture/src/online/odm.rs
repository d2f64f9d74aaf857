//! Online data mixing (Albalak et al., "Efficient online data mixing for language model pre-training", arXiv 2312.02406): EXP3, whose
//! reward for a domain is its training loss.
//!
//! `R_i += r_i / (10 π_i)`, `ε_t = min(1/m, sqrt(ln m / (m t)))`, `π_i = (1 - m ε_t) softmax_i(ε_{t-1} R) + ε_t`.
//!
//! The published bandit draws one domain a turn. A batch that holds several domains counts as the mean of its slots' turns: the
//! reward of a domain is multiplied by its share of the leg's tokens, so that its expectation is the bandit's. A leg of one domain
//! is one turn exactly. Cost: none; training losses by domain are at hand.

use super::{
    Run,
    contract::{Directive, Leg, Method, Needs, Observation},
    settings::demand,
};
use crate::{BatchRule, MixtureError, Proportions};
use serde::{Deserialize, Serialize};

/// The constants of ODM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OdmSettings {
    /// Steps between updates.
    pub every: u64,
    /// Losses are divided by it.
    pub scale: f64,
}

impl Default for OdmSettings {
    fn default() -> Self {
        Self { every: 1, scale: 10.0 }
    }
}

/// ODM at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Odm {
    settings: OdmSettings,
    /// `π`.
    shares: Proportions,
    /// `R`.
    rewards: Vec<f64>,
    /// `t`, updates so far.
    turns: u64,
}

const NAME: &str = "odm";

impl Odm {
    pub(super) fn new(settings: &OdmSettings, run: &Run) -> Result<Self, MixtureError> {
        demand(settings.every > 0, NAME, "every", settings.every, "at least 1")?;
        demand(settings.scale > 0.0, NAME, "scale", settings.scale, "a number above 0")?;
        let domains = run.domains.len();
        Ok(Self { settings: settings.clone(), shares: Proportions::uniform(domains), rewards: vec![0.0; domains], turns: 0 })
    }
}

/// `ε_t`; all of `1/m` before the first turn.
fn exploration(domains: usize, turn: u64) -> f64 {
    let domains = domains as f64;
    let least = 1.0 / domains;
    if turn == 0 { least } else { least.min((libm::log(domains) / (domains * turn as f64)).sqrt()) }
}

impl Method for Odm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn next(&self, _: &Run, step: u64) -> Directive {
        let needs = Needs { train: true, ..Needs::default() };
        let until = step.saturating_add(self.settings.every);
        Directive::Train(Leg { proportions: self.shares.clone(), rule: BatchRule::Exact, objective: None, until, needs })
    }

    fn observe(&mut self, run: &Run, seen: &Observation) -> Result<(), MixtureError> {
        let domains = run.domains.len();
        let all: f64 = seen.tokens.iter().map(|&tokens| tokens as f64).sum();
        let turns = self.rewards.iter_mut().zip(self.shares.iter()).zip(seen.train.iter().zip(&seen.tokens));
        for ((reward, share), (loss, &tokens)) in turns {
            if let Some(loss) = loss.filter(|_| share > 0.0) {
                *reward += tokens as f64 / all * loss / (self.settings.scale * share);
            }
        }
        let before = exploration(domains, self.turns);
        self.turns += 1;
        let now = exploration(domains, self.turns);
        let gains: Vec<f64> = self.rewards.iter().map(|reward| before * reward).collect();
        let greedy = Proportions::uniform(domains).exponentiated(&gains);
        self.shares = greedy.mixed_with(&Proportions::uniform(domains), domains as f64 * now);
        Ok(())
    }

    fn learnt(&self, _: &Run) -> Proportions {
        self.shares.clone()
    }

    fn fits(&self, domains: usize) -> bool {
        self.shares.len() == domains && self.rewards.len() == domains
    }
}
