//! Which mixtures to try: Dirichlet variates about a prior, as RegMix draws them (arXiv 2407.01492 and its released code), flat or
//! first over groups and then within each (Olmix, arXiv 2602.12237).
//!
//! Strength, the sum of the Dirichlet's parameters, is drawn anew for each mixture, evenly on a logarithmic scale: few near the
//! prior, many near the corners. Rejected are mixtures that give a domain more than it may have, and near copies. What lies below
//! `least` becomes zero, and the rest is rounded to multiples of it, since less cannot be trained on in a short run.
//!
//! Mixture `n` of a seed does not depend on how many are drawn.

use crate::{
    MixtureError, Proportions,
    draw::{Draws, Purpose},
};
use serde::{Deserialize, Serialize};

/// How often a mixture may be rejected, on average.
const PATIENCE: u64 = 1000;

/// What a swarm tries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Design {
    /// Shares of the data.
    pub prior: Proportions,
    /// The prior's power: 0.5 unless given, 1 leaves it as it is.
    #[serde(default = "half")]
    pub temperature: f64,
    /// The least and the largest strength.
    #[serde(default = "strengths")]
    pub strength: (f64, f64),
    /// How many strengths there are between; 0 for any.
    #[serde(default = "levels")]
    pub levels: u32,
    /// A domain gets at most so many times its prior share.
    #[serde(default = "usage")]
    pub usage: f64,
    /// Shares below become zero.
    #[serde(default = "least")]
    pub least: f64,
    /// The group of each domain, such as its source; none for a flat design.
    #[serde(default)]
    pub groups: Option<Vec<String>>,
    /// Keys the chance.
    #[serde(default)]
    pub seed: u64,
}

fn half() -> f64 {
    0.5
}

fn strengths() -> (f64, f64) {
    (0.1, 5.0)
}

fn levels() -> u32 {
    15
}

fn usage() -> f64 {
    15.0
}

fn least() -> f64 {
    2e-4
}

impl Design {
    /// RegMix's constants about a prior.
    pub fn new(prior: Proportions) -> Self {
        let (temperature, strength, levels, usage, least) = (half(), strengths(), levels(), usage(), least());
        Self { prior, temperature, strength, levels, usage, least, groups: None, seed: 0 }
    }

    /// The first `runs` mixtures.
    ///
    /// # Errors
    /// Constants out of range; or rules that reject nearly everything.
    pub fn mixtures(&self, runs: usize) -> Result<Vec<Proportions>, MixtureError> {
        self.check()?;
        let tempered = self
            .prior
            .sharpened(self.temperature)
            .map_err(|problem| MixtureError::Proportions { what: "the prior".into(), problem })?;
        let mut found: Vec<Proportions> = vec![];
        for attempt in 0..(runs as u64).saturating_mul(PATIENCE) {
            if found.len() == runs {
                break;
            }
            let mut draws = Draws::new(self.seed, Purpose::Design, attempt);
            let strength = self.strength_of(draws.uniform());
            let drawn = match &self.groups {
                None => dirichlet(&mut draws, tempered.as_slice(), strength),
                Some(groups) => hierarchical(&mut draws, tempered.as_slice(), groups, strength),
            };
            found.extend(self.accepted(&drawn).filter(|new| found.iter().all(|old| differ(old, new))));
        }
        if found.len() < runs {
            let problem = format!("its rules accepted only {} of {runs} mixtures", found.len());
            return Err(MixtureError::Undetermined { object: "design", problem });
        }
        Ok(found)
    }

    fn check(&self) -> Result<(), MixtureError> {
        let demand = |holds: bool, name: &'static str, value: String, wanted: &str| {
            if holds { Ok(()) } else { Err(MixtureError::Setting { object: "design", name, value, wanted: wanted.into() }) }
        };
        let (low, high) = self.strength;
        demand(self.temperature.is_finite(), "temperature", self.temperature.to_string(), "a number")?;
        demand(low > 0.0 && low <= high && high.is_finite(), "strength", format!("{low} to {high}"), "above 0, the least first")?;
        demand(self.usage >= 1.0, "usage", self.usage.to_string(), "at least 1")?;
        let most = 1.0 / self.prior.len() as f64;
        demand((0.0..most).contains(&self.least), "least", self.least.to_string(), "at least 0 and below one over the domains")?;
        if let Some(groups) = &self.groups {
            let (expected, found) = (self.prior.len(), groups.len());
            if expected != found {
                return Err(MixtureError::Entries { what: "groups of a design".into(), expected, found });
            }
        }
        Ok(())
    }

    fn strength_of(&self, uniform: f64) -> f64 {
        let (low, high) = self.strength;
        let part = match self.levels {
            0 => uniform,
            1 => 0.0,
            levels => (uniform * f64::from(levels)).floor() / f64::from(levels - 1),
        };
        low * libm::pow(high / low, part)
    }

    fn accepted(&self, drawn: &[f64]) -> Option<Proportions> {
        let within = drawn.iter().zip(self.prior.iter()).all(|(&share, prior)| share <= (prior * self.usage).min(1.0));
        if !within {
            return None;
        }
        let kept =
            Proportions::normalize(drawn.iter().map(|&share| if share < self.least { 0.0 } else { share }).collect()).ok()?;
        if self.least == 0.0 {
            return Some(kept);
        }
        Proportions::normalize(kept.iter().map(|share| (share / self.least).round() * self.least).collect()).ok()
    }
}

fn dirichlet(draws: &mut Draws, prior: &[f64], strength: f64) -> Vec<f64> {
    draws.dirichlet(&prior.iter().map(|share| share * strength).collect::<Vec<_>>())
}

/// First the shares of groups, then within each the shares of its domains, both about the prior.
fn hierarchical(draws: &mut Draws, prior: &[f64], groups: &[String], strength: f64) -> Vec<f64> {
    let mut names: Vec<&String> = vec![];
    for group in groups {
        if !names.contains(&group) {
            names.push(group);
        }
    }
    let sum = |name: &String| prior.iter().zip(groups).filter(|(_, group)| *group == name).map(|(share, _)| share).sum();
    let sums: Vec<f64> = names.iter().map(|name| sum(name)).collect();
    let of_groups = dirichlet(draws, &sums, strength);
    let mut shares = vec![0.0; prior.len()];
    for ((name, of_group), sum) in names.iter().zip(of_groups).zip(sums) {
        let own = |(group, share): (&String, &f64)| if group == *name && sum > 0.0 { share / sum } else { 0.0 };
        let within: Vec<f64> = groups.iter().zip(prior).map(own).collect();
        let within = dirichlet(draws, &within, strength);
        shares.iter_mut().zip(within).for_each(|(share, part)| *share += of_group * part);
    }
    shares
}

/// Copies teach nothing.
fn differ(left: &Proportions, right: &Proportions) -> bool {
    left.iter().zip(right.iter()).map(|(left, right)| (left - right).abs()).sum::<f64>() > 1e-5
}
