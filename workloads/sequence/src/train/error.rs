//! What can go wrong with a training.

use crate::{SequenceError, model::ModelError, parallel::ParallelError};
use braid_workload::{ExchangeError, Failure};
use std::{io, path::PathBuf};

/// Why a training cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
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
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The plan of a step.
    #[error(transparent)]
    Plan(#[from] SequenceError),
    /// The layout of a micro-batch.
    #[error(transparent)]
    Parallel(#[from] ParallelError),
    /// The exchange between ranks.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// A document.
    #[error("cannot read {}: {problem}", path.display())]
    Document {
        /// Which.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A tokenizer.
    #[error("the tokenizer {}: {problem}", path.display())]
    Tokenizer {
        /// Which.
        path: PathBuf,
        /// Why it cannot be used.
        problem: String,
    },
    /// There is nothing to learn from.
    #[error("no document of at least 2 tokens in {places}")]
    NoDocuments {
        /// Where was looked.
        places: String,
    },
    /// Ranks do not see the same documents.
    #[error("rank {rank} reads other documents than rank 0: every worker must see the same files under the same paths")]
    Differs {
        /// Which rank.
        rank: usize,
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
    /// A checkpoint that this training did not write.
    #[error("the checkpoint {} cannot be continued: {problem}", path.display())]
    Checkpoint {
        /// Which.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The numbers have left the range of f32.
    #[error("the loss of step {step} is not a number")]
    Diverged {
        /// Which step.
        step: u64,
    },
    /// The task was told to stop.
    #[error("cancelled")]
    Cancelled,
}

impl TrainError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Checkpoint { .. } => Some("give another output folder, or remove this one"),
            Self::Diverged { .. } => Some("lower optimizer.lr, or raise optimizer.warmup"),
            Self::Tokenizer { .. } => Some("`tokens` is `byte`, or names a tokenizer.json of Hugging Face whose model is BPE"),
            Self::NoDocuments { .. } => Some("documents names files, or folders that are read with all that is in them"),
            _ => None,
        }
    }

    pub(crate) fn file(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { operation, path, source }
    }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        let hint = error.hint();
        let failure = match error {
            TrainError::Cancelled => Self::cancelled(),
            TrainError::Exchange(error) | TrainError::Model(ModelError::Parallel(ParallelError::Exchange(error))) => error.into(),
            error @ TrainError::File { .. } => Self::retry(error.to_string()),
            error => Self::fatal(error.to_string()),
        };
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}
