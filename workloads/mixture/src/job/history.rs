//! What a run has done, a line of JSON for each thing: `history.jsonl`.

use super::JobError;
use crate::{
    Domains, Proportions,
    online::{Observation, ProbeReport},
};
use serde::{Deserialize, Serialize};

/// One thing that a run has done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Line {
    /// It has trained up to a step on these proportions. A leg that a checkpoint has cut has several lines; the last one has what the
    /// method got to see.
    Trained {
        /// The steps done.
        step: u64,
        /// What share of the tokens each domain was to have.
        proportions: Proportions,
        /// Tokens of each domain that it has read since the line before.
        tokens: Vec<u64>,
        /// Mean training loss in nats a token; none where a domain had no tokens.
        losses: Vec<Option<f64>>,
        /// Steps of these that were trained on older proportions, because what was told before could not be recorded.
        #[serde(default, skip_serializing_if = "is_zero")]
        stale: u64,
    },
    /// The method has taken in what the trainer saw.
    Observed {
        /// What it was.
        seen: Observation,
        /// Its estimate of which domain helps which, where it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interactions: Option<Vec<Vec<f64>>>,
    },
    /// The method has taken in what a probe found.
    Probed {
        /// What it was.
        report: ProbeReport,
        /// As above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interactions: Option<Vec<Vec<f64>>>,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Line {
    /// Lines as they are kept.
    pub(super) fn encode(lines: &[Self]) -> Result<String, JobError> {
        let line = |line| serde_json::to_string(line).map(|text| text + "\n");
        lines
            .iter()
            .map(line)
            .collect::<Result<_, _>>()
            .map_err(|error| JobError::Task(format!("cannot write the history: {error}")))
    }

    /// Reads kept lines.
    pub(super) fn decode(text: &str) -> Result<Vec<Self>, String> {
        text.lines().map(|line| serde_json::from_str(line).map_err(|error| error.to_string())).collect()
    }
}

/// `0.25 docs, 0.75 code`, for a line that people read.
pub(super) fn shares(domains: &Domains, proportions: &Proportions) -> String {
    let share = |(name, share): (&String, f64)| format!("{share:.3} {name}");
    domains.names().iter().zip(proportions.iter()).map(share).collect::<Vec<_>>().join(", ")
}
