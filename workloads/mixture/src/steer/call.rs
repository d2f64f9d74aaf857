//! What a trainer that asks can ask, and what it is answered. Everything by domain is in the order of the spec.

use super::Told;
use crate::{
    MixtureError,
    online::{Leg, Needs, ProbePlan},
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What a trainer calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// It is there, and goes on after so many steps.
    Begin {
        /// Steps done, by its checkpoint.
        step: u64,
    },
    /// What is it to do after so many steps?
    Turn {
        /// Steps done.
        step: u64,
    },
    /// What it has seen.
    Tell(Told),
}

/// What it is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// What it takes part in.
    Begun(Begun),
    /// What it is to do.
    Turn(Turn),
    /// It is recorded.
    Taken {
        /// Not before, by an earlier life of the trainer.
        new: bool,
    },
}

/// What a trainer must know of its run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    /// What is mixed.
    pub domains: Vec<DomainInfo>,
    /// Steps in all.
    pub steps: u64,
    /// Sequences of a batch, of all ranks together.
    pub slots: u64,
    /// Tokens of a sequence, as the spec says; 0 where it says nothing.
    pub context: u64,
    /// Keys all chance.
    pub seed: u64,
    /// How often the spec would have a checkpoint, in steps.
    pub checkpoint_every: u64,
    /// Where the trainer may keep its checkpoints.
    pub folder: PathBuf,
    /// The method's name in the spec.
    pub method: String,
}

/// A domain, as a trainer is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainInfo {
    /// Its name.
    pub name: String,
    /// Its files, where the spec names any.
    pub paths: Vec<PathBuf>,
    /// Its size, where the spec says it.
    pub tokens: Option<u64>,
}

/// What a trainer is to do next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// Train.
    Train {
        /// The step at which the leg begins.
        from: u64,
        /// On what, and how far.
        leg: Leg,
    },
    /// Measure the model as it is, and report that.
    Measure(Needs),
    /// Train branches beside the run, and say what they found.
    Probe(ProbePlan),
    /// Measure the losses by which the run is judged.
    Test,
    /// Nothing more.
    Over,
}

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Why.
    pub message: String,
    /// What a person can do.
    pub hint: Option<String>,
    /// Whether the same call may succeed later: nothing is wrong with it.
    pub passing: bool,
}

impl From<MixtureError> for Refusal {
    fn from(error: MixtureError) -> Self {
        Self { message: error.to_string(), hint: error.hint().map(str::to_owned), passing: false }
    }
}
