//! Which method, with which constants, as a person writes it: `{method: aioli, round: 250, rate: 0.2}`.

use super::{
    Run,
    ado::{Ado, AdoSettings},
    aioli::{Aioli, AioliSettings},
    contract::Method,
    doge::{Doge, DogeSettings},
    doremi::{Doremi, DoremiSettings},
    odm::{Odm, OdmSettings},
    pike::{Pike, PikeSettings},
    schedule::{Schedule, Stage},
    sheared::{Sheared, ShearedSettings},
    skill_it::{SkillIt, SkillItSettings},
};
use crate::{MixtureError, Proportions};
use serde::{Deserialize, Serialize};

/// A method and its constants. The defaults are those of the papers, scaled to nothing: say how often to update where the run is
/// short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum Settings {
    /// The same share for every domain.
    Stratified {},
    /// Shares proportional to `tokens^exponent`.
    Proportional {
        /// 1 unless given; RegMix's prior takes 0.5.
        #[serde(default = "one")]
        exponent: f64,
    },
    /// Given shares.
    Fixed {
        /// One a domain, in order.
        proportions: Proportions,
    },
    /// Given shares from given steps on.
    Schedule {
        /// The first from step 0, each later than the one before.
        stages: Vec<Stage>,
    },
    /// See [`AioliSettings`].
    Aioli(AioliSettings),
    /// See [`SkillItSettings`].
    SkillIt(SkillItSettings),
    /// See [`DoremiSettings`].
    Doremi(DoremiSettings),
    /// See [`DogeSettings`].
    Doge(DogeSettings),
    /// See [`OdmSettings`].
    Odm(OdmSettings),
    /// See [`AdoSettings`].
    Ado(AdoSettings),
    /// See [`PikeSettings`].
    Pike(PikeSettings),
    /// See [`ShearedSettings`].
    Sheared(ShearedSettings),
}

/// How weights that a method learns for the objective reach the trainer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Play {
    /// Batches are even, and each domain's mean loss is weighted: as published, in a proxy run.
    #[default]
    Objective,
    /// The weights are the proportions of the batches: for trainers that cannot weight losses.
    Sampling,
}

fn one() -> f64 {
    1.0
}

impl Settings {
    /// The method in its first state.
    pub(super) fn begin(&self, run: &Run) -> Result<Kind, MixtureError> {
        Ok(match self {
            Self::Stratified {} => Kind::Schedule(Schedule::stratified(run)),
            Self::Proportional { exponent } => Kind::Schedule(Schedule::proportional(run, *exponent)?),
            Self::Fixed { proportions } => Kind::Schedule(Schedule::fixed(run, proportions.clone())?),
            Self::Schedule { stages } => Kind::Schedule(Schedule::new(run, "schedule", stages.clone())?),
            Self::Aioli(settings) => Kind::Aioli(Aioli::new(settings, run)?),
            Self::SkillIt(settings) => Kind::SkillIt(SkillIt::new(settings, run)?),
            Self::Doremi(settings) => Kind::Doremi(Doremi::new(settings, run)?),
            Self::Doge(settings) => Kind::Doge(Doge::new(settings, run)?),
            Self::Odm(settings) => Kind::Odm(Odm::new(settings, run)?),
            Self::Ado(settings) => Kind::Ado(Ado::new(settings, run)?),
            Self::Pike(settings) => Kind::Pike(Pike::new(settings, run)?),
            Self::Sheared(settings) => Kind::Sheared(Sheared::new(settings, run)?),
        })
    }
}

/// A method with its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Schedule(Schedule),
    Aioli(Aioli),
    SkillIt(SkillIt),
    Doremi(Doremi),
    Doge(Doge),
    Odm(Odm),
    Ado(Ado),
    Pike(Pike),
    Sheared(Sheared),
}

impl Kind {
    pub(super) fn get(&self) -> &dyn Method {
        match self {
            Self::Schedule(method) => method,
            Self::Aioli(method) => method,
            Self::SkillIt(method) => method,
            Self::Doremi(method) => method,
            Self::Doge(method) => method,
            Self::Odm(method) => method,
            Self::Ado(method) => method,
            Self::Pike(method) => method,
            Self::Sheared(method) => method,
        }
    }

    pub(super) fn get_mut(&mut self) -> &mut dyn Method {
        match self {
            Self::Schedule(method) => method,
            Self::Aioli(method) => method,
            Self::SkillIt(method) => method,
            Self::Doremi(method) => method,
            Self::Doge(method) => method,
            Self::Odm(method) => method,
            Self::Ado(method) => method,
            Self::Pike(method) => method,
            Self::Sheared(method) => method,
        }
    }
}

/// That a setting is in its range; used by all methods.
pub(super) fn demand(
    holds: bool,
    object: &'static str,
    name: &'static str,
    value: impl ToString,
    wanted: &str,
) -> Result<(), MixtureError> {
    if holds {
        return Ok(());
    }
    Err(MixtureError::Setting { object, name, value: value.to_string(), wanted: wanted.into() })
}

/// That given proportions have one entry a domain.
pub(super) fn demand_len(run: &Run, what: &str, proportions: &Proportions) -> Result<(), MixtureError> {
    run.domains.check_len(what, proportions.len())
}

/// Proportions of the data where sizes are known.
pub(super) fn natural(run: &Run, what: &str, exponent: f64) -> Result<Proportions, MixtureError> {
    run.domains.check_len(&format!("{what}: sizes in tokens"), run.sizes.len())?;
    Proportions::tempered(&run.sizes, exponent).map_err(|problem| MixtureError::Proportions { what: what.into(), problem })
}
