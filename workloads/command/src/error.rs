//! What can be wrong with a command, in words for a person.

use braid_workload::{ExchangeError, Failure};
use bytesize::ByteSize;
use std::{io, path::PathBuf, time::Duration};

/// What can be wrong with a command.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A job file or a spec that cannot be read.
    #[error("{name}: {problem}")]
    Spec {
        /// The file.
        name: String,
        /// What is wrong, with the line where it is known.
        problem: String,
        /// What was meant.
        hint: Option<String>,
    },
    /// A key with a value that cannot be.
    #[error("{field}: {problem}")]
    Field {
        /// The key.
        field: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// A variable that no environment can hold, or is not the job's to set.
    #[error("env: variable {name:?}: {problem}")]
    Variable {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The folder is not there.
    #[error("cannot run in the folder {}: {source}", dir.display())]
    Dir {
        /// Which.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The program is nowhere to be found.
    #[error("there is no program {program:?}{}", looked.as_ref().map(|path| format!(" in {path}")).unwrap_or_default())]
    NotFound {
        /// As it was asked for.
        program: String,
        /// The search path, for a bare name.
        looked: Option<String>,
    },
    /// The program is there and cannot be run.
    #[error("cannot run {}: {problem}", program.display())]
    NotExecutable {
        /// Where it is.
        program: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The system did not start the program.
    #[error("cannot start {}: {source}", program.display())]
    Start {
        /// Where it is.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something about a process that runs.
    #[error("cannot {operation}: {source}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The process that watches over programs.
    #[error("cannot start the guard, which ends programs when their worker is gone: {0}")]
    Guard(#[source] io::Error),
    /// It ended by itself, and not well.
    #[error("{what} exited with code {code}")]
    Exited {
        /// Which program.
        what: String,
        /// Its code, not 0.
        code: u8,
    },
    /// A signal ended it that was none of ours.
    #[error("{what} was ended by {name}")]
    Signalled {
        /// Which program.
        what: String,
        /// The signal's number.
        signal: i32,
        /// Its name.
        name: String,
    },
    /// It held too much memory.
    #[error("{what} ran out of memory: its limit is {}", ByteSize(*limit))]
    Memory {
        /// Which program.
        what: String,
        /// What it was allowed.
        limit: u64,
    },
    /// It ran for too long.
    #[error("{what} did not end within its timeout of {}", humantime::format_duration(*timeout))]
    Timeout {
        /// Which program.
        what: String,
        /// What it was allowed.
        timeout: Duration,
    },
    /// The members of its gang could not meet.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// It was told to stop.
    #[error("it was told to stop")]
    Cancelled,
}

impl CommandError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Spec { hint, .. } => return hint.clone(),
            Self::NotFound { looked: Some(_), .. } => {
                "the worker looks it up in its own PATH: name it by its path, or install it on every worker".into()
            }
            Self::NotFound { .. } => "paths are those of the worker's machine, and begin from --dir".into(),
            Self::NotExecutable { .. } => "chmod +x it, or name its interpreter first: -- python train.py".into(),
            Self::Dir { .. } => "the folder must be there on the worker's machine: share the file system, or give --dir".into(),
            Self::Signalled { signal: 9, .. } => {
                "SIGKILL from outside: often the kernel, when memory runs out (dmesg says so)".into()
            }
            Self::Memory { .. } => "give it more: --memory".into(),
            Self::Timeout { .. } => {
                "give it longer with --timeout, or let it save at a --save-signal and go on when tried again".into()
            }
            _ => return None,
        })
    }

    /// What a shell would see.
    pub fn exit(&self) -> Option<u8> {
        Some(match self {
            Self::Exited { code, .. } => *code,
            Self::Signalled { signal, .. } => u8::try_from(128 + signal).unwrap_or(u8::MAX),
            Self::Memory { .. } => 137,
            Self::Timeout { .. } => 124,
            Self::NotFound { .. } => 127,
            Self::NotExecutable { .. } | Self::Dir { .. } | Self::Start { .. } => 126,
            _ => return None,
        })
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        let (hint, exit) = (error.hint(), error.exit());
        let failure = match error {
            CommandError::Cancelled => Self::cancelled(),
            CommandError::Exchange(error) => error.into(),
            CommandError::Exited { .. }
            | CommandError::Signalled { .. }
            | CommandError::Memory { .. }
            | CommandError::Timeout { .. }
            | CommandError::Start { .. }
            | CommandError::System { .. }
            | CommandError::Guard(_) => Self::retry(error.to_string()),
            error => Self::fatal(error.to_string()),
        };
        Self { hint: hint.or(failure.hint), exit, ..failure }
    }
}
