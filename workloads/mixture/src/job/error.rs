//! What can go wrong with a mixture job.

use crate::{MixtureError, trainer::TrainerError};
use braid_workload::{ExchangeError, Failure};
use std::{io, path::PathBuf};

/// Why a mixture job cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// A spec that is none.
    #[error("{name}: {problem}")]
    Spec {
        /// The file.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A field of a spec that cannot be.
    #[error("{field}: {problem}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A method, its data or its measurements.
    #[error(transparent)]
    Mixture(#[from] MixtureError),
    /// The trainer.
    #[error(transparent)]
    Trainer(#[from] TrainerError),
    /// The ranks of a trainer do not reach each other any more.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// One run of the job.
    #[error("{run}: {source}")]
    Run {
        /// Which.
        run: String,
        /// What went wrong with it.
        source: Box<Self>,
    },
    /// A file of the output.
    #[error("cannot {operation} {}: {source}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A folder that another mixture has written.
    #[error("{} holds the results of another mixture: {problem}", path.display())]
    Other {
        /// Which.
        path: PathBuf,
        /// What differs.
        problem: String,
    },
    /// A file of this job that cannot be read.
    #[error("{}: {problem}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// A payload or a value that no version of this job writes.
    #[error("a task of the mixture: {0}")]
    Task(String),
}

impl JobError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Mixture(error) => error.hint(),
            Self::Trainer(error) => error.hint(),
            Self::Other { .. } | Self::Unreadable { .. } => Some("give another output folder, or remove this one"),
            Self::Run { source, .. } => source.hint(),
            _ => None,
        }
    }

    pub(super) fn field(field: &'static str, problem: String) -> Self {
        Self::Field { field, problem }
    }

    pub(super) fn file(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { operation, path, source }
    }

    pub(super) fn of(self, run: &str) -> Self {
        match self {
            Self::Trainer(TrainerError::Cancelled) => self,
            other => Self::Run { run: run.to_owned(), source: Box::new(other) },
        }
    }

    /// The failure that decides what becomes of the task.
    fn kind(&self) -> braid_workload::FailureKind {
        match self {
            Self::Trainer(TrainerError::Cancelled) => braid_workload::FailureKind::Cancelled,
            Self::Exchange(error) => Failure::from(error.clone()).kind,
            Self::File { .. } | Self::Trainer(TrainerError::File { .. } | TrainerError::Died { .. }) => {
                braid_workload::FailureKind::Retry
            }
            Self::Run { source, .. } => source.kind(),
            _ => braid_workload::FailureKind::Fatal,
        }
    }
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        let failure = Self { kind: error.kind(), message: error.to_string(), hint: None, exit: None };
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}
