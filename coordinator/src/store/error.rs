//! What can go wrong with a store, and what a caller may do about it.

use super::{Epoch, Key};
use braid_workload::lock::Holder;
use std::{io, path::PathBuf};

/// An error below this one, in the words of the library that found it.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An operation on a store that did not do what was asked. The text names the operation and the store; the cause is in
/// [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A guard did not hold; nothing happened.
    #[error("{key}: the record is not the one that was expected")]
    Conflict {
        /// The record.
        key: Key,
    },
    /// The store cannot be reached now; nothing happened. The same call may be made again.
    #[error("{operation} in {place}: the store is unavailable")]
    Unavailable {
        /// What was tried.
        operation: String,
        /// Which store.
        place: String,
        /// Why it did not work.
        #[source]
        source: Cause,
    },
    /// The answer to a commit was lost: it may have happened, may yet happen, or not. Read again before anything else.
    #[error("{operation} in {place}: no answer, so it may have happened or not")]
    OutcomeUnknown {
        /// What was tried.
        operation: String,
        /// Which store.
        place: String,
        /// What came in place of an answer.
        #[source]
        source: Cause,
    },
    /// The store cannot do this, and trying again will not help.
    #[error("{operation} in {place}: failed")]
    Failed {
        /// What was tried.
        operation: String,
        /// Which store.
        place: String,
        /// Why it did not work.
        #[source]
        source: Cause,
    },
    /// More than a store takes; see the limits beside [`Transaction`](super::Transaction).
    #[error("{0}")]
    Limit(String),
    /// Another coordinator has claimed the store; this one must stop.
    #[error("a newer coordinator (epoch {theirs}) has taken over from this one (epoch {mine})")]
    Fenced {
        /// Of this coordinator.
        mine: Epoch,
        /// Of the one that holds the store now.
        theirs: Epoch,
    },
    /// This coordinator led by a record that is no longer there; it must stop.
    #[error("this coordinator no longer leads: its lease has ended")]
    Deposed,
    /// Another process has the file open.
    #[error("{}: in use by {holder}", file.display())]
    InUse {
        /// The embedded store's file.
        file: PathBuf,
        /// Who has it.
        holder: Holder,
    },
    /// The file is something else, or holds what no Braid wrote.
    #[error("{place}: not a store of Braid: {reason}")]
    Foreign {
        /// The file or the record.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is broken.
    #[error("{}: the file is damaged", file.display())]
    Damaged {
        /// The embedded store's file.
        file: PathBuf,
        /// What was found.
        #[source]
        source: Cause,
    },
    /// The records are of another version of Braid.
    #[error("{place}: its records are of schema {found}, this version of Braid reads schema {expected}")]
    Schema {
        /// Which store.
        place: String,
        /// The schema that it names.
        found: String,
        /// The schema that this version reads and writes.
        expected: u32,
    },
    /// The operating system refused something about a file.
    #[error("{operation} {}", file.display())]
    Io {
        /// What was tried: `create`.
        operation: &'static str,
        /// With which file or folder.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No address of a store.
    #[error("store {text:?}: {reason}")]
    Url {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An etcd address in a build without etcd.
    #[error("store {0}: this build of Braid has no support for etcd")]
    NoEtcd(String),
    /// The store or the writer has been closed.
    #[error("{0} is closed")]
    Closed(&'static str),
}

impl StoreError {
    /// Whether the same call, made again as it is, may succeed. False when the outcome of a commit is unknown, because
    /// the caller must first learn it.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether a commit may or may not have happened.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. })
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::InUse { .. } => "another coordinator runs on this data directory: stop it, or use another --data-dir",
            Self::Foreign { .. } => "give Braid a data directory of its own",
            Self::Damaged { .. } => "restore the file from a backup, or move it away to start without the jobs in it",
            Self::Schema { .. } => "run the version of Braid that wrote it",
            Self::NoEtcd(_) => "build it with `--features etcd`, which needs protoc (Debian: protobuf-compiler)",
            Self::Url { .. } => "a folder, or etcd://HOST:PORT[,HOST:PORT…]",
            Self::Failed { source, .. } if is_disk_full(source.as_ref()) => DISK_FULL,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => DISK_FULL,
            _ => return None,
        })
    }

    /// The error and its causes on one line, for a log.
    pub(crate) fn line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        line
    }
}

const DISK_FULL: &str = "the disk is full: free some space and start again; nothing that was acknowledged is lost";

fn is_disk_full(mut cause: &(dyn std::error::Error + 'static)) -> bool {
    loop {
        let io = match cause.downcast_ref::<redb::Error>() {
            Some(redb::Error::Io(error)) => Some(error),
            _ => cause.downcast_ref::<io::Error>(),
        };
        if io.is_some_and(|error| error.kind() == io::ErrorKind::StorageFull) {
            return true;
        }
        match cause.source() {
            Some(next) => cause = next,
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_recognised_below_the_library() {
        let failed = |kind: io::ErrorKind| StoreError::Failed {
            operation: "commit".into(),
            place: "state.redb".into(),
            source: Box::new(redb::Error::Io(kind.into())),
        };
        assert_eq!(failed(io::ErrorKind::StorageFull).hint(), Some(DISK_FULL));
        assert_eq!(failed(io::ErrorKind::PermissionDenied).hint(), None);
        assert_eq!(failed(io::ErrorKind::StorageFull).line(), "commit in state.redb: failed: I/O error: no storage space");
    }
}
