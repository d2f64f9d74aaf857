//! Typed ids: mixing two kinds does not compile.
//!
//! Each prints as a person types it: a job is `12`, the fourth task of it `12.3`.

use serde::{Deserialize, Serialize};
use std::{fmt, num::ParseIntError, str::FromStr};

/// What a user submits. Counts up from 1 within one store and is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u64);

/// What a worker runs: the `index`-th task of a job, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId {
    /// The job it belongs to.
    pub job: JobId,
    /// Its place in the order in which the workload made it.
    pub index: u32,
}

/// One try of a task. Strictly increasing for a task, over restarts too; a result of any but the newest is dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(pub u32);

/// A worker's right to run what it was given, from registration until its keep-alives stop. Never used again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(pub u64);

/// A machine, by the name that its worker keeps in its data directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub String);

/// Text that is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdParseError {
    /// Not a number.
    #[error("a job is a number as `braid job ls` prints it, not {text:?}")]
    Job {
        /// What was given.
        text: String,
        /// Why it is no number.
        #[source]
        source: ParseIntError,
    },
    /// Not `JOB.INDEX`.
    #[error("a task is JOB.INDEX such as 12.3, not {0:?}")]
    Task(String),
}

impl JobId {
    /// Its `index`-th task.
    pub fn task(self, index: u32) -> TaskId {
        TaskId { job: self, index }
    }
}

impl AttemptId {
    /// The try after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.job, self.index)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for JobId {
    type Err = IdParseError;

    fn from_str(text: &str) -> Result<Self, IdParseError> {
        text.parse().map(Self).map_err(|source| IdParseError::Job { text: text.to_owned(), source })
    }
}

impl FromStr for TaskId {
    type Err = IdParseError;

    fn from_str(text: &str) -> Result<Self, IdParseError> {
        let wrong = || IdParseError::Task(text.to_owned());
        let (job, index) = text.split_once('.').ok_or_else(wrong)?;
        Ok(JobId(job.parse().map_err(|_| wrong())?).task(index.parse().map_err(|_| wrong())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_read_back_as_they_print(job: u64, index: u32) {
            let id = JobId(job).task(index);
            prop_assert_eq!(id.to_string().parse::<TaskId>().unwrap(), id);
            prop_assert_eq!(id.job.to_string().parse::<JobId>().unwrap(), id.job);
        }
    }

    #[test]
    fn text_that_is_no_id_is_named_in_the_error() {
        assert_eq!("x".parse::<JobId>().unwrap_err().to_string(), "a job is a number as `braid job ls` prints it, not \"x\"");
        assert!("12".parse::<TaskId>().is_err());
        assert!("12.x".parse::<TaskId>().is_err());
    }
}
