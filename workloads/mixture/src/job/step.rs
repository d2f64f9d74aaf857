//! What passes between the two halves of a mixture: the payloads of its tasks and the values that they end with.

use super::{
    JobError,
    runs::{CampaignId, RunId},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The payload of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(super) enum Step {
    /// Check the data and the folder of the results.
    Prepare,
    /// Take a run to its next checkpoint, probe or end.
    Run {
        /// Which.
        run: RunId,
    },
    /// Train one branch of a probe.
    Branch {
        /// Whose probe.
        run: RunId,
        /// The probe.
        probe: ProbeId,
        /// Which branch, from 0.
        branch: usize,
    },
    /// Evaluate all merges of a campaign on one domain.
    Merges {
        /// Whose.
        campaign: CampaignId,
        /// Which domain.
        domain: usize,
    },
    /// Fit a campaign's laws, and propose its mixture.
    Fit {
        /// Whose.
        campaign: CampaignId,
    },
    /// Write the report.
    Report,
}

/// A probe of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProbeId {
    /// The step of the run at which it is made.
    pub(super) step: u64,
    /// Its number among those of this step, from 0.
    pub(super) number: u32,
}

/// What [`Step::Prepare`] ends with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Prepared {
    /// Training tokens of all domains together.
    pub(super) tokens: u64,
}

/// What [`Step::Run`] ends with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ran", rename_all = "snake_case")]
pub(super) enum Ran {
    /// It has a checkpoint and goes on from there.
    On {
        /// The step of the checkpoint.
        step: u64,
    },
    /// It waits for the branches of a probe.
    Probe {
        /// The probe.
        probe: ProbeId,
        /// How many branches it has.
        branches: usize,
    },
    /// It has its result.
    Ended,
}

/// Reads a payload or value.
pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, JobError> {
    serde_json::from_value(value.clone()).map_err(|error| JobError::Task(format!("cannot read {value}: {error}")))
}

/// Writes a payload or value.
pub(super) fn write<T: Serialize>(value: &T) -> Result<Value, JobError> {
    serde_json::to_value(value).map_err(|error| JobError::Task(format!("cannot write it: {error}")))
}
