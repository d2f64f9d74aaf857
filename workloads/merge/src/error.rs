//! What can go wrong in a merge, in words for a person.
//!
//! One enum for the crate. Every message names the object (file, tensor, line) and what was expected of it; what a
//! person can do about it is the [hint](MergeError::hint). The message is complete in itself: it includes the text of
//! the underlying cause, because it travels as text from a worker to a user.

use crate::{checkpoint::HeaderProblem, methods::MethodError, plan::PlanError, recipe::RecipeError};
use braid_kernels::KernelError;
use braid_workload::Failure;
use std::{io, path::PathBuf};

/// Why a merge did not go on.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The operating system refused.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried: `read`, `create`, …
        operation: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// A store refused, or could not be reached.
    #[error("cannot {operation} {object}: {problem}")]
    Remote {
        /// What was tried: `open`, `read`, `list`, …
        operation: &'static str,
        /// On which object, as a URL.
        object: String,
        /// Its answer.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
        /// Whether it may be gone at another try.
        passing: bool,
    },
    /// A file ended before the bytes that its header promises.
    #[error("{}: expected {wanted} bytes at offset {offset}, but the file ends after {got} of them", path.display())]
    ShortRead {
        /// The file.
        path: PathBuf,
        /// Where the read began.
        offset: u64,
        /// How many bytes should be there.
        wanted: u64,
        /// How many were.
        got: u64,
    },
    /// A safetensors header that cannot be trusted.
    #[error("{}: {problem}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: HeaderProblem,
    },
    /// A folder or file that is no checkpoint as Braid reads them.
    #[error("{}: {problem}", path.display())]
    Checkpoint {
        /// The folder or file.
        path: PathBuf,
        /// What was expected and what is there.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A result that is not a number.
    #[error("tensor {tensor:?}: element {element} of the result is not a number: {}", origin(model.as_deref()))]
    NotANumber {
        /// The output tensor.
        tensor: String,
        /// Its element, counted from 0 in row-major order.
        element: u64,
        /// The first input model whose own element is not a number; none when the arithmetic made it.
        model: Option<String>,
    },
    /// A kernel refused its operands.
    #[error("tensor {tensor:?}: {source}")]
    Kernel {
        /// The output tensor.
        tensor: String,
        /// What it said.
        source: KernelError,
    },
    /// A method met inputs that it cannot merge.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// A recipe that cannot be used.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A recipe and checkpoints that do not fit together.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The output folder cannot become the result.
    #[error("output {}: {problem}", path.display())]
    Output {
        /// The folder.
        path: PathBuf,
        /// What stands in the way.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Another merge holds the staging folder.
    #[error("{}: another merge is writing there", path.display())]
    Busy {
        /// The staging folder.
        path: PathBuf,
    },
    /// Less memory than the smallest tile takes.
    #[error("the merge needs {needed} bytes of memory at least, but its worker may use only {given}")]
    Memory {
        /// What it takes.
        needed: u64,
        /// What the worker allows.
        given: u64,
    },
    /// Less free space than the result needs.
    #[error("{}: the result needs {needed} more bytes, but its file system has only {free} free", path.display())]
    NoSpace {
        /// The folder that the result goes into.
        path: PathBuf,
        /// Bytes still to be written.
        needed: u64,
        /// Bytes available.
        free: u64,
    },
    /// Less free space than the shards take that a task makes before they go to a store.
    #[error("{}: shards of {needed} bytes are made here before they go to the store, but only {free} are free", path.display())]
    NoScratch {
        /// The folder that they are made in.
        path: PathBuf,
        /// Bytes that they take.
        needed: u64,
        /// Bytes available.
        free: u64,
    },
    /// The inputs are not those that the job was planned for.
    #[error("{}: changed since the merge was planned", path.display())]
    Changed {
        /// The file or folder that differs.
        path: PathBuf,
    },
    /// The recipe and the headers give another plan here than where the merge was planned.
    #[error(
        "this worker sees other checkpoints than the one that planned the merge: plan {}… here, {}… there",
        short(here),
        short(planned)
    )]
    OtherPlan {
        /// The digest of the plan where the merge began.
        planned: String,
        /// The digest of the plan here.
        here: String,
    },
    /// A task whose payload, or a value, that this version cannot read.
    #[error("merge task: {0}")]
    Task(String),
    /// The task was told to stop.
    #[error("cancelled")]
    Cancelled,
}

impl MergeError {
    /// An operation on a path that the operating system refused.
    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }

    /// What a person can do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Recipe(error) => error.hint().map(str::to_owned),
            Self::Plan(error) => error.hint().map(str::to_owned),
            Self::Memory { .. } => Some("give the worker more with --memory".into()),
            Self::Remote { hint, .. } | Self::Checkpoint { hint, .. } | Self::Output { hint, .. } => hint.clone(),
            Self::ShortRead { .. } => Some("the file is truncated: fetch it again".into()),
            Self::Busy { .. } => Some("wait for it, cancel it, or choose another folder for the result".into()),
            Self::NoSpace { .. } => Some("free some space, or choose another folder for the result".into()),
            Self::NoScratch { .. } => {
                Some("start the worker with TMPDIR set to a folder with more room, or make shards smaller".into())
            }
            Self::OtherPlan { .. } => {
                Some("mount the same checkpoints on all nodes, and start the merge again if one was replaced".into())
            }
            Self::Changed { .. } => Some("start the merge again".into()),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space and run the same merge again: it goes on where it stopped".into())
            }
            _ => None,
        }
    }
}

fn short(digest: &str) -> &str {
    digest.get(..8).unwrap_or(digest)
}

fn origin(model: Option<&str>) -> String {
    match model {
        Some(model) => format!("model {model} holds NaN there"),
        None => "no model holds NaN there, so infinite values or weights met in the arithmetic".into(),
    }
}

/// Whether trouble with a file may be gone at another try: a full disk, a mount that hangs. A wrong path stays wrong.
fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    let lasting = [Kind::NotFound, Kind::PermissionDenied, Kind::ReadOnlyFilesystem, Kind::NotADirectory, Kind::IsADirectory];
    !lasting.contains(&error.kind())
}

impl From<MergeError> for Failure {
    fn from(error: MergeError) -> Self {
        let failure = match &error {
            MergeError::Cancelled => Self::cancelled(),
            MergeError::Busy { .. } => Self::retry(error.to_string()),
            MergeError::Remote { passing: true, .. } => Self::retry(error.to_string()),
            MergeError::Io { source, .. } if may_pass(source) => Self::retry(error.to_string()),
            _ => Self::fatal(error.to_string()),
        };
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}
