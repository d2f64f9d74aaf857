//! What came of a replay.

use super::LineError;
use crate::model::RecordError;
use serde::Serialize;

/// Differences that are kept; of more, only their number.
const KEPT: usize = 1000;

/// What was replayed, and what came out otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Of the braid that wrote the recording, the newest.
    pub recorded_by: String,
    /// Terms of coordinators that it holds.
    pub terms: u64,
    /// Events.
    pub events: u64,
    /// Effects of events that were compared.
    pub effects: u64,
    /// Placements that were decided again.
    pub placements: u64,
    /// Plans that were made again.
    pub plans: u64,
    /// What was decided otherwise, in order.
    pub differences: Vec<Difference>,
    /// Further ones, of which nothing is kept.
    pub further_differences: u64,
    /// What could not be replayed, and why.
    pub notes: Vec<String>,
}

/// Something that was decided otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// In which term of the recording, from 1.
    pub term: u64,
    /// At which of its events, from 1; a plan is counted with the event before it.
    pub event: u64,
    /// What happened.
    pub what: String,
    /// What was decided, as far as it is different.
    pub recorded: Vec<String>,
    /// What is decided now, as far as it is different.
    pub now: Vec<String>,
}

/// A recording that cannot be replayed at all.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A line is none.
    #[error("line {line}: {problem}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong with it.
        problem: LineError,
    },
    /// It does not begin as recordings do.
    #[error("line {line}: a recording begins with its header")]
    NoHeader {
        /// Which, from 1.
        line: u64,
    },
    /// A record of the store that it begins with cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// There is nothing in it.
    #[error("nothing is recorded in it")]
    Empty,
}

impl ReplayError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Line { problem: LineError::OtherFormat { version, .. }, .. } => {
                Some(format!("replay it with braid {version}, which wrote it"))
            }
            Self::Line { .. } | Self::NoHeader { .. } | Self::Empty => {
                Some("recordings are written by `braid coordinator --record FILE`".into())
            }
            Self::Record(_) | Self::Io(_) => None,
        }
    }
}

impl Summary {
    /// Whether everything was decided as before.
    pub fn is_same(&self) -> bool {
        self.differences.is_empty()
    }

    /// All differences, kept or not.
    pub fn count(&self) -> u64 {
        self.differences.len() as u64 + self.further_differences
    }

    /// Notes a difference between two lists, if there is one.
    pub(super) fn compare(&mut self, event: u64, what: &str, recorded: &[String], now: &[String]) {
        if recorded == now {
            return;
        }
        if self.differences.len() >= KEPT {
            self.further_differences += 1;
            return;
        }
        let (mut only_recorded, mut only_now) = (without(recorded, now), without(now, recorded));
        if only_recorded.is_empty() && only_now.is_empty() {
            (only_recorded, only_now) = (recorded.to_vec(), now.to_vec()); // in another order
        }
        let what = what.to_owned();
        self.differences.push(Difference { term: self.terms, event, what, recorded: only_recorded, now: only_now });
    }
}

/// What is in the one list more often than in the other.
fn without(list: &[String], other: &[String]) -> Vec<String> {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for line in other {
        *counts.entry(line).or_default() += 1;
    }
    let mut is_more = |line: &&String| match counts.get_mut(line.as_str()) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    list.iter().filter(|line| is_more(line)).cloned().collect()
}
