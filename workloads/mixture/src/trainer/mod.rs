//! What a trainer must be able to do for a mixture job. Knows no trainer: whoever registers the kind of job hands them in.
//!
//! ```text
//! Trainer ─ open(checkpoint) ─▶ Session ─ train(stretch) ─▶ losses, tokens
//!                                       ─ evaluate(part) ─▶ loss of each domain
//!                                       ─ save(folder)   ─▶ the next checkpoint
//! ```
//!
//! A session is one model in the middle of its training. What it does depends on the checkpoint, the stretch and the data alone:
//! a session that is opened again from its last checkpoint goes on as if nothing had happened.

pub mod contract;
mod external;

pub use external::{EXTERNAL, External, Led, Shape};

use crate::{
    MixtureError, Proportions,
    data::{Data, Part},
    online::{Ask, Gradients},
};
use braid_workload::TaskContext;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// A kind of trainer.
pub trait Trainer: Send + Sync {
    /// Checks settings, without looking at files.
    ///
    /// # Errors
    /// [`TrainerError::Settings`] naming the field.
    fn check(&self, settings: &Value) -> Result<(), TrainerError>;

    /// Settings with their relative paths, if there are any, made to begin from `folder`.
    fn beside(&self, settings: Value, _folder: &Path) -> Value {
        settings
    }

    /// Whether it uses no files but those of the data and of the results.
    fn is_bounded(&self) -> bool {
        true
    }

    /// What a trainer of these settings can do beside training and evaluating; none: all that a method may ask for.
    ///
    /// # Errors
    /// [`TrainerError::Settings`] naming the field.
    fn offers(&self, _settings: &Value) -> Result<Option<Vec<Ask>>, TrainerError> {
        Ok(None)
    }

    /// Set for a trainer that asks instead of being asked; sessions of it cannot be opened.
    fn external(&self) -> Option<&dyn External> {
        None
    }

    /// A model at the beginning of its training, or as a checkpoint has it.
    ///
    /// # Errors
    /// Settings that are none, a checkpoint that cannot be read.
    fn open<'a>(&'a self, opening: Opening<'a>) -> Result<Box<dyn Session + 'a>, TrainerError>;
}

/// The trainers that specs may name.
#[derive(Clone)]
pub struct Trainers(BTreeMap<&'static str, Arc<dyn Trainer>>);

impl Trainers {
    /// These, each with its name.
    pub fn new(trainers: impl IntoIterator<Item = (&'static str, Arc<dyn Trainer>)>) -> Self {
        Self(trainers.into_iter().collect())
    }

    /// The trainer of this name.
    ///
    /// # Errors
    /// [`TrainerError::Settings`] naming those that there are.
    pub fn get(&self, name: &str) -> Result<&dyn Trainer, TrainerError> {
        let known = || self.0.keys().copied().collect::<Vec<_>>().join(", ");
        let unknown = || TrainerError::Settings(format!("{name} is none; there are {}", known()));
        self.0.get(name).map(|trainer| &**trainer).ok_or_else(unknown)
    }
}

/// What a session begins with.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// As the spec has them.
    pub settings: &'a Value,
    /// What is trained on.
    pub data: &'a Data,
    /// Decides how the model begins.
    pub seed: u64,
    /// Steps in all, for schedules of the learning rate.
    pub schedule: u64,
    /// The folder that [`Session::save`] wrote, with the steps done until then; none at the beginning.
    pub from: Option<(&'a Path, u64)>,
    /// A folder for files that nobody needs when the session is over. Made by the session, removed by the job.
    pub scratch: &'a Path,
    /// Who asks; to look whether the task must stop.
    pub task: &'a TaskContext,
}

/// A model in the middle of its training.
pub trait Session {
    /// Makes the steps of a stretch.
    ///
    /// # Errors
    /// [`TrainerError`]. Losses that are no numbers are reported, not refused: who asked knows the domain's name.
    fn train(&mut self, stretch: &Stretch<'_>) -> Result<Trained, TrainerError>;

    /// Mean loss in nats of a token for each of these domains, on `most` held-out sequences each at most.
    ///
    /// # Errors
    /// [`TrainerError`].
    fn evaluate(&mut self, part: Part, domains: &[usize], most: u64) -> Result<Vec<f64>, TrainerError>;

    /// Writes a checkpoint into a folder that exists and is empty.
    ///
    /// # Errors
    /// [`TrainerError`].
    fn save(&mut self, folder: &Path) -> Result<(), TrainerError>;

    /// Takes the model of a checkpoint as the one that excess losses refer to.
    ///
    /// # Errors
    /// [`TrainerError::Unsupported`] unless the trainer can compute them.
    fn refer(&mut self, _reference: &Path) -> Result<(), TrainerError> {
        Err(TrainerError::Unsupported("excess losses over a reference model"))
    }

    /// Gradients of the domains' losses at the model as it is. Trains nothing.
    ///
    /// # Errors
    /// [`TrainerError::Unsupported`] unless the trainer can compute them.
    fn gradients(&mut self, _sample: &Sample) -> Result<Gradients, TrainerError> {
        Err(TrainerError::Unsupported("gradients of single domains"))
    }

    /// Becomes the weighted sum of the models of checkpoints.
    ///
    /// # Errors
    /// [`TrainerError::Unsupported`] unless the trainer's models can be averaged.
    fn blend(&mut self, _parts: &[(f64, PathBuf)]) -> Result<(), TrainerError> {
        Err(TrainerError::Unsupported("merging of its models"))
    }
}

/// Steps to be made one after the other.
#[derive(Debug, Clone)]
pub struct Stretch<'a> {
    /// The first step, counted from 0.
    pub first: u64,
    /// What share of the tokens each domain is to have; the batches say what it has.
    pub proportions: &'a Proportions,
    /// What share each domain's mean loss has in the objective, where that is not the mean over the batch.
    pub objective: Option<&'a Proportions>,
    /// The stream of data: which sequence comes at which draw.
    pub stream: u64,
    /// One entry a step.
    pub batches: Vec<Batch>,
    /// Whether excess losses are asked for.
    pub excess: bool,
}

/// The draws of a step, by domain: numbers that [`Data::draw`] takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch(pub Vec<Range<u64>>);

/// What a stretch came to. One entry a domain.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trained {
    /// Tokens consumed.
    pub tokens: Vec<u64>,
    /// Mean loss in nats a token; none where it had no tokens.
    pub losses: Vec<Option<f64>>,
    /// Mean of `max(loss - reference loss, 0)`; empty where not asked for.
    pub excess: Vec<Option<f64>>,
}

/// The sequences that gradients are taken of.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The stream of data.
    pub stream: u64,
    /// The step at which it is asked.
    pub step: u64,
    /// Training sequences, by domain.
    pub training: Vec<Range<u64>>,
    /// Held-out sequences of each domain; none where no inner products are asked for.
    pub held_out: Option<u64>,
}

/// Why a trainer did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum TrainerError {
    /// Settings that are none.
    #[error("trainer: {0}")]
    Settings(String),
    /// It cannot do this.
    #[error("this trainer does not offer {0}")]
    Unsupported(&'static str),
    /// It failed.
    #[error("{what} failed: {problem}")]
    Failed {
        /// What was asked of it.
        what: String,
        /// Why.
        problem: String,
    },
    /// Its program ended, and is worth another try.
    #[error("{what}: {problem}")]
    Died {
        /// What was awaited of it.
        what: String,
        /// How it ended.
        problem: String,
    },
    /// It told something that cannot be.
    #[error("{message}")]
    Refused {
        /// What is wrong with it.
        message: String,
        /// What a person can do.
        hint: Option<String>,
    },
    /// It did not answer.
    #[error("{what} had not ended after {after:?}, and was stopped")]
    Hung {
        /// What was asked of it.
        what: String,
        /// How long it had.
        after: Duration,
    },
    /// A checkpoint that cannot be continued.
    #[error("the checkpoint {} cannot be used: {problem}", path.display())]
    Checkpoint {
        /// Which.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// A file.
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
    /// The data, or what came back about it.
    #[error(transparent)]
    Mixture(#[from] MixtureError),
    /// It was told to stop.
    #[error("cancelled")]
    Cancelled,
}

impl TrainerError {
    /// For `map_err` where a file is used.
    pub fn file(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { operation, path, source }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused { hint, .. } => hint.as_deref(),
            Self::Unsupported(_) => Some("take the built-in trainer for this method, or a method that asks for losses alone"),
            Self::Hung { .. } => Some("give the trainer a longer `timeout`"),
            Self::Mixture(error) => error.hint(),
            _ => None,
        }
    }
}
