//! What can go wrong with the coordinator itself.

use crate::{model::RecordError, store::StoreError};

/// Why a coordinator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// The store cannot be opened, claimed or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store holds a record that this version cannot read.
    #[error(transparent)]
    Record(#[from] RecordError),
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
            Self::NoSecret(_) | Self::NoThread(_) => None,
            Self::Record(_) => Some("was the store written by another version of braid, or edited by hand?".into()),
        }
    }
}
