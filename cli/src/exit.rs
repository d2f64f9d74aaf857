//! The numbers with which the command ends. Scripts rely on them; docs/cli.md lists them.

use std::process::ExitCode;

/// How the command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done, or nobody reads the output any more.
    Ok,
    /// The job failed or was cancelled.
    JobFailed,
    /// The command line or the recipe cannot be understood, or asks for what is refused.
    Usage,
    /// There is no such thing, or it is in a state that forbids this.
    NotFoundOrConflict,
    /// The coordinator, its store or this machine cannot do it now.
    Unavailable,
    /// `--timeout` was over before the job was.
    TimedOut,
    /// Ctrl-C.
    Interrupted,
    /// The program that `braid run` ran ended so.
    Program(u8),
}

impl Exit {
    /// The number for the shell.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::JobFailed => 1,
            Self::Usage => 2,
            Self::NotFoundOrConflict => 3,
            Self::Unavailable => 4,
            Self::TimedOut => 124,
            Self::Interrupted => 130,
            Self::Program(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
