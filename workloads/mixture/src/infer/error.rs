//! What can go wrong between a tokenizer's file and its proportions.

use braid_workload::Failure;
use std::{io, path::PathBuf};

/// Why proportions cannot be inferred.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferError {
    /// The tokenizer's file cannot be used.
    #[error("the tokenizer {path}: {problem}", path = path.display())]
    Tokenizer {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The categories cannot be told apart.
    #[error("--data: {0}")]
    Categories(String),
    /// A category has no text.
    #[error("category `{name}` has no text: {path} {problem}", path = path.display())]
    NoText {
        /// Its name.
        name: String,
        /// Where its text was looked for.
        path: PathBuf,
        /// What was found there.
        problem: &'static str,
    },
    /// A file cannot be read or written.
    #[error("cannot {verb} {path}: {source}", path = path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A file of text is no text.
    #[error("{path}: byte {byte} is not UTF-8, and a tokenizer reads text", path = path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The first byte that is wrong, from the beginning of the file.
        byte: u64,
    },
    /// A line of a JSONL file has no text.
    #[error("{path}: the line at byte {byte}: {problem}", path = path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Where the line begins.
        byte: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A file of text is not what its name says.
    #[error("{path}: {problem}", path = path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file of counts is not what a task of this job wrote.
    #[error("{path} is no file of counts of this job: {problem}", path = path.display())]
    Counts {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// No category tells anything of the merges.
    #[error(
        "none of the {merges} merges occurs in the text of any category: is it text of the kind that the tokenizer was made for?"
    )]
    Unrelated {
        /// Merges looked at.
        merges: usize,
    },
    /// The linear program was not solved.
    #[error("the linear program of {rows} rows was not solved: {problem}")]
    Solver {
        /// Its rows.
        rows: usize,
        /// The solver's word.
        problem: String,
    },
    /// The spec of a job, or a task of it, is not what it should be.
    #[error("{0}")]
    Task(String),
    /// It was told to stop.
    #[error("cancelled")]
    Cancelled,
}

impl InferError {
    /// For `map_err` on what was tried with a file.
    pub(crate) fn file(verb: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { verb, path, source }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Categories(_) => Some("name each once, and at least two: --data en=FILE --data de=FOLDER"),
            Self::NoText { .. } => {
                Some("a category is a text file, a .jsonl or .parquet with a field `text`, or a folder of them")
            }
            Self::NotText { .. } => Some("convert it to UTF-8; if it is compressed, its name must end in .gz or .zst"),
            _ => None,
        }
    }
}

impl From<InferError> for Failure {
    fn from(error: InferError) -> Self {
        let failure = match &error {
            InferError::Cancelled => return Self::cancelled(),
            // A mount that is gone for a moment; what is missing for good fails again.
            InferError::File { .. } => Self::retry(error.to_string()),
            _ => Self::fatal(error.to_string()),
        };
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}
