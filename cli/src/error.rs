//! Why a verb ended early: one text, one hint, one exit code. What a gRPC status means is in `status.rs`.

use crate::exit::Exit;
use std::io;

/// The end of a verb that did not do all it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error {
    /// The number for the shell. With [`Exit::Ok`] nothing is printed.
    pub(crate) exit: Exit,
    /// The object, the operation and what was wrong; no full stop.
    pub(crate) message: String,
    /// What the person can do about it.
    pub(crate) hint: Option<String>,
}

/// What every verb returns.
pub(crate) type Result<T = ()> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unavailable, message)
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A failure to write to stdout. A closed pipe is the reader's way to say that it has seen enough (`braid job ls | head`).
    pub(crate) fn stdout(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::Ok, ""),
            _ => Self::unavailable(format!("cannot write to standard output: {error}")),
        }
    }
}

/// An error and its causes on one line, each said once: libraries differ in whether they repeat their source.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
