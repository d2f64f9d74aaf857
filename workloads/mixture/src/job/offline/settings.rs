//! The constants of offline methods, and the mixtures that follow from them.

use crate::{
    Domains, MixtureError, Proportions,
    job::JobError,
    swarm::{Caps, Design, LawKind},
};
use serde::{Deserialize, Serialize};

/// An offline method with its constants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum Offline {
    /// See [`SwarmRuns`].
    Swarm(SwarmRuns),
    /// See [`MergedProxies`].
    MergedProxies(MergedProxies),
}

/// A swarm of small runs on mixtures about the prior (RegMix, arXiv 2407.01492; Olmix, arXiv 2602.12237).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SwarmRuns {
    /// How many.
    pub runs: usize,
    /// Steps of each; a quarter of the job's unless given.
    pub steps: Option<u64>,
    /// What is fitted, and what is proposed by it.
    pub law: LawSettings,
}

/// Experts trained from a shared prefix, one a domain; their weighted merges stand for runs on mixtures (MergeMix, arXiv 2601.17858;
/// OP-Mix, arXiv 2605.15220). What merges say of a domain is brought to the scale of a few real runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MergedProxies {
    /// Steps of the prefix, on even proportions; a fifth of the job's unless given. The final run goes on from it.
    pub prefix: Option<u64>,
    /// Steps of an expert and of a real run, from the prefix on; a tenth of the job's unless given.
    pub steps: Option<u64>,
    /// Merges that are evaluated.
    pub merges: usize,
    /// Real runs that calibrate them; two more than domains unless given.
    pub real: Option<usize>,
    /// Real runs that only test what was predicted.
    pub held_out: usize,
    /// What is fitted, and what is proposed by it.
    pub law: LawSettings,
}

/// Which law, and how a mixture is proposed by it: `Σ_i f_i(p) / m + λ KL(p ‖ prior)` is to be small.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LawSettings {
    /// Of each domain's validation loss.
    pub kind: LawKind,
    /// The prior is proportional to `tokens^exponent`.
    pub exponent: f64,
    /// `λ`.
    pub closeness: f64,
    /// How often a token may be seen in the final run.
    pub repetitions: f64,
}

impl Default for SwarmRuns {
    fn default() -> Self {
        Self { runs: 16, steps: None, law: LawSettings::default() }
    }
}

impl Default for MergedProxies {
    fn default() -> Self {
        Self { prefix: None, steps: None, merges: 20, real: None, held_out: 0, law: LawSettings::default() }
    }
}

impl Default for LawSettings {
    fn default() -> Self {
        Self { kind: LawKind::LogLinear, exponent: 1.0, closeness: 0.05, repetitions: 4.0 }
    }
}

impl Offline {
    /// The words that a spec has for them.
    pub const WORDS: [&'static str; 2] = ["swarm", "merged-proxies"];

    /// The law's settings.
    pub fn law(&self) -> &LawSettings {
        match self {
            Self::Swarm(swarm) => &swarm.law,
            Self::MergedProxies(merged) => &merged.law,
        }
    }

    /// Checks them for a job of so many steps.
    ///
    /// # Errors
    /// [`MixtureError::Setting`].
    pub(in crate::job) fn check(&self, steps: u64) -> Result<(), JobError> {
        let demand = |holds: bool, name: &'static str, value: String, wanted: &str| {
            let object = match self {
                Self::Swarm(_) => "swarm",
                Self::MergedProxies(_) => "merged-proxies",
            };
            if holds { Ok(()) } else { Err(MixtureError::Setting { object, name, value, wanted: wanted.to_owned() }) }
        };
        let law = self.law();
        demand(law.exponent.is_finite(), "law.exponent", law.exponent.to_string(), "a number")?;
        demand(law.closeness >= 0.0 && law.closeness.is_finite(), "law.closeness", law.closeness.to_string(), "0 or more")?;
        demand(law.repetitions > 0.0 && law.repetitions.is_finite(), "law.repetitions", law.repetitions.to_string(), "above 0")?;
        match self {
            Self::Swarm(swarm) => {
                demand((2..=10_000).contains(&swarm.runs), "runs", swarm.runs.to_string(), "2 to 10000")?;
                demand(swarm.steps != Some(0), "steps", "0".into(), "at least 1")?;
            }
            Self::MergedProxies(merged) => {
                let prefix = merged.prefix(steps);
                demand(prefix > 0 && prefix < steps, "prefix", prefix.to_string(), "at least 1, and fewer than the job's steps")?;
                demand(merged.steps != Some(0), "steps", "0".into(), "at least 1")?;
                demand((2..=10_000).contains(&merged.merges), "merges", merged.merges.to_string(), "2 to 10000")?;
                let real = merged.real.unwrap_or(2);
                demand((2..=1000).contains(&real), "real", real.to_string(), "2 to 1000")?;
                demand(merged.held_out <= 1000, "held_out", merged.held_out.to_string(), "at most 1000")?;
            }
        }
        Ok(())
    }
}

impl SwarmRuns {
    /// Steps of a run in a job of so many.
    pub fn steps(&self, job: u64) -> u64 {
        self.steps.unwrap_or_else(|| (job / 4).max(1))
    }
}

impl MergedProxies {
    /// Steps of the prefix in a job of so many.
    pub fn prefix(&self, job: u64) -> u64 {
        self.prefix.unwrap_or_else(|| (job / 5).max(1))
    }

    /// Steps of an expert in a job of so many.
    pub fn steps(&self, job: u64) -> u64 {
        self.steps.unwrap_or_else(|| (job / 10).max(1))
    }

    /// Real runs over so many domains: those that calibrate, then those that test.
    pub fn real_runs(&self, domains: usize) -> (usize, usize) {
        (self.real.unwrap_or(domains + 2), self.held_out)
    }
}

impl LawSettings {
    /// What proposals are kept close to.
    pub(in crate::job) fn prior(&self, sizes: &[u64]) -> Result<Proportions, MixtureError> {
        let problem = |problem| MixtureError::Proportions { what: "the prior".into(), problem };
        Proportions::tempered(sizes, self.exponent).map_err(problem)
    }

    /// What proposals must stay below in a run of so many tokens.
    pub(in crate::job) fn caps(&self, domains: &Domains, sizes: &[u64], tokens: u64) -> Result<Caps, MixtureError> {
        Caps::of_data(domains, sizes, self.repetitions, tokens)
    }

    /// Mixtures about the prior to be measured: the first so many of a seed.
    pub(in crate::job) fn mixtures(&self, sizes: &[u64], count: usize, seed: u64) -> Result<Vec<Proportions>, MixtureError> {
        let mut design = Design::new(self.prior(sizes)?);
        design.seed = seed;
        design.mixtures(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_follows_from_the_job() {
        let merged = MergedProxies::default();
        assert_eq!((merged.prefix(100), merged.steps(100), merged.real_runs(3)), (20, 10, (5, 0)));
        assert_eq!(SwarmRuns::default().steps(100), 25);
        let text = |offline: Offline| offline.check(100).unwrap_err().to_string();
        let swarm = SwarmRuns { runs: 1, ..SwarmRuns::default() };
        assert_eq!(text(Offline::Swarm(swarm)), "swarm: runs is 1: 2 to 10000");
        let merged = MergedProxies { prefix: Some(100), ..MergedProxies::default() };
        let said = "merged-proxies: prefix is 100: at least 1, and fewer than the job's steps";
        assert_eq!(text(Offline::MergedProxies(merged)), said);
    }

    #[test]
    fn mixtures_of_a_seed_are_the_same_however_many_are_asked_for() {
        let law = LawSettings::default();
        let all = law.mixtures(&[100, 200, 300], 12, 4).unwrap();
        assert_eq!(all[..5], law.mixtures(&[100, 200, 300], 5, 4).unwrap());
        assert_ne!(all, law.mixtures(&[100, 200, 300], 12, 5).unwrap());
    }
}
