//! Everything that can end a worker or keep it from starting. What a retry mends is not here: the worker retries it.
//!
//! A message is complete in itself, its cause included; what a person can do is the [hint](WorkerError::hint).

use braid_workload::lock::Holder;
use std::{io, path::PathBuf};

/// Why a worker cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The coordinator will not have this worker as it is.
    #[error("the coordinator refused worker {node}: {message}")]
    Refused {
        /// The node's name.
        node: String,
        /// The coordinator's own words.
        message: String,
        /// What a person can do.
        hint: &'static str,
    },
    /// The compute threads cannot be started.
    #[error("cannot start {threads} compute threads: {message}")]
    Threads {
        /// How many were wanted.
        threads: usize,
        /// What the system said.
        message: String,
    },
    /// The data directory or the file in it that holds the node's name cannot be used.
    #[error("cannot {operation} {}: {source}", path.display())]
    Data {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The node's key or certificate cannot be used.
    #[error("{0}")]
    Identity(String),
    /// Another worker holds the data directory.
    #[error("data directory {} is in use by another worker ({holder})", folder.display())]
    InUse {
        /// Which.
        folder: PathBuf,
        /// Whose.
        holder: Holder,
    },
    /// The file with the node's name holds something else.
    #[error("{} holds no node name but {text:?}", path.display())]
    BadName {
        /// The file.
        path: PathBuf,
        /// The start of what it holds.
        text: String,
    },
}

impl WorkerError {
    /// What a person can do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { hint, .. } => Some(hint),
            Self::Threads { .. } => Some("start the worker with a lower --threads"),
            Self::InUse { .. } => Some("give each worker a --data-dir of its own"),
            Self::BadName { .. } => Some("delete the file to register as a new node"),
            Self::Identity(_) => Some("remove identity.json from the data directory and join anew with a token"),
            Self::Data { .. } => None,
        }
    }
}
