//! What a job reads and writes, as far as its spec tells.

use std::path::PathBuf;

/// What a job reads and writes; folders stand for all that is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Nothing but this. What is written may also be read.
    Paths {
        /// What it reads.
        reads: Vec<PathBuf>,
        /// What it makes, changes or removes.
        writes: Vec<PathBuf>,
    },
    /// Whatever it likes: its spec does not tell.
    Anything,
}

impl Reach {
    /// No file at all.
    pub fn nothing() -> Self {
        Self::Paths { reads: Vec::new(), writes: Vec::new() }
    }
}
