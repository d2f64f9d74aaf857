//! What can go wrong with the coordinator itself.

use crate::{model::RecordError, security::SecurityError, store::StoreError};
use std::path::PathBuf;

/// Why a coordinator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// The store cannot be opened, claimed or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store holds a record that this version cannot read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The CA cannot be read or made.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// The audit log cannot be written.
    #[error("cannot open the audit log in {}: {source}", folder.display())]
    Audit {
        /// Where it is kept.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The recording cannot be written.
    #[error("cannot write the recording {}: {source}", file.display())]
    Recording {
        /// Where it was to go.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The machine gives no random numbers.
    #[error("the machine gives no random numbers for a secret: {0}")]
    NoSecret(String),
    /// The machine gives no thread for the lease.
    #[error("cannot start the thread that renews the lease: {0}")]
    NoThread(std::io::Error),
}

impl CoordinatorError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint().map(str::to_owned),
            Self::Security(SecurityError::Store(error)) => error.hint().map(str::to_owned),
            Self::NoSecret(_) | Self::NoThread(_) | Self::Security(_) | Self::Audit { .. } | Self::Recording { .. } => None,
            Self::Record(_) => Some("was the store written by another version of braid, or edited by hand?".into()),
        }
    }
}
