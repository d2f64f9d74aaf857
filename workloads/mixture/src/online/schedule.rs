//! Proportions that are known before the run: stratified `1/m`, proportional to `tokens^exponent`, fixed, or by a schedule of
//! stages. Nothing is learnt and nothing asked for; costs nothing. What every other method is compared with, by the same exact
//! composition of batches.

use super::{
    Run,
    contract::{Directive, Leg, Method, Needs, Observation},
    settings::{demand, demand_len, natural},
};
use crate::{BatchRule, MixtureError, Proportions};
use serde::{Deserialize, Serialize};

/// Proportions from a step on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The first step that is trained with them.
    pub from: u64,
    /// One a domain, in order.
    pub proportions: Proportions,
}

/// A run whose proportions are all known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Schedule {
    name: Name,
    stages: Vec<Stage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    Stratified,
    Proportional,
    Fixed,
    Schedule,
}

impl Schedule {
    pub(super) fn stratified(run: &Run) -> Self {
        Self::constant(Name::Stratified, Proportions::uniform(run.domains.len()))
    }

    pub(super) fn proportional(run: &Run, exponent: f64) -> Result<Self, MixtureError> {
        demand(exponent.is_finite(), "proportional", "exponent", exponent, "a number")?;
        Ok(Self::constant(Name::Proportional, natural(run, "proportional", exponent)?))
    }

    pub(super) fn fixed(run: &Run, proportions: Proportions) -> Result<Self, MixtureError> {
        demand_len(run, "fixed proportions", &proportions)?;
        Ok(Self::constant(Name::Fixed, proportions))
    }

    pub(super) fn new(run: &Run, what: &str, stages: Vec<Stage>) -> Result<Self, MixtureError> {
        let first = stages.first().map_or_else(|| "none".into(), |stage| stage.from.to_string());
        demand(first == "0", "schedule", "the first stage's from", first, "0")?;
        for stage in &stages {
            demand_len(run, what, &stage.proportions)?;
        }
        for pair in stages.windows(2) {
            if let [before, after] = pair {
                demand(before.from < after.from, "schedule", "from", after.from, "later than the stage before")?;
            }
        }
        Ok(Self { name: Name::Schedule, stages })
    }

    fn constant(name: Name, proportions: Proportions) -> Self {
        Self { name, stages: vec![Stage { from: 0, proportions }] }
    }

    fn at(&self, run: &Run, step: u64) -> Proportions {
        let stage = self.stages.iter().rev().find(|stage| stage.from <= step);
        stage.map_or_else(|| Proportions::uniform(run.domains.len()), |stage| stage.proportions.clone())
    }
}

impl Method for Schedule {
    fn name(&self) -> &'static str {
        match self.name {
            Name::Stratified => "stratified",
            Name::Proportional => "proportional",
            Name::Fixed => "fixed",
            Name::Schedule => "schedule",
        }
    }

    fn next(&self, run: &Run, step: u64) -> Directive {
        let until = self.stages.iter().map(|stage| stage.from).find(|&from| from > step).unwrap_or(run.steps);
        let (proportions, needs) = (self.at(run, step), Needs::default());
        Directive::Train(Leg { proportions, rule: BatchRule::Exact, objective: None, until, needs })
    }

    fn observe(&mut self, _: &Run, _: &Observation) -> Result<(), MixtureError> {
        Ok(())
    }

    fn learnt(&self, run: &Run) -> Proportions {
        self.at(run, run.steps)
    }

    fn fits(&self, domains: usize) -> bool {
        self.stages.iter().all(|stage| stage.proportions.len() == domains)
    }
}
