//! What tells series apart. Values that come from outside are bounded where they are counted: kinds of job are those that
//! are registered, methods those that are served.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use std::fmt;

/// The words of an enumeration, as label values.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),*
        }

        impl $name {
            /// As it is shown.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),*
                }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
                self.word().encode(encoder)
            }
        }
    };
}

words! {
    /// How an attempt ended.
    TaskEnd {
        /// With a result.
        Done = "done",
        /// With a failure that ends its job.
        Failed = "failed",
        /// With a failure after which it is tried again.
        Retried = "retried",
        /// It was stopped, or handed back.
        Cancelled = "cancelled",
        /// With its worker.
        Lost = "lost",
    }
}

words! {
    /// How a job ended.
    JobEnd {
        /// With a result.
        Done = "done",
        /// Without.
        Failed = "failed",
        /// By a person's wish.
        Cancelled = "cancelled",
    }
}

words! {
    /// How it stands with a node.
    NodeState {
        /// It has a session.
        Ready = "ready",
        /// It has none, and its lease has not ended.
        Silent = "silent",
    }
}

words! {
    /// Why the store did not confirm a commit.
    CommitFailure {
        /// A guard did not hold.
        Conflict = "conflict",
        /// The store cannot be reached.
        Unavailable = "unavailable",
        /// It may have happened.
        Unknown = "unknown",
        /// Any other failure.
        Failed = "failed",
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfKind {
    pub(super) kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfTask {
    pub(super) kind: String,
    pub(super) outcome: TaskEnd,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfJob {
    pub(super) kind: String,
    pub(super) outcome: JobEnd,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfState {
    pub(super) state: NodeState,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfNode {
    pub(super) node: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfMount {
    pub(super) mount: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfReason {
    pub(super) reason: CommitFailure,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfMethod {
    pub(super) method: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfCall {
    pub(super) method: String,
    pub(super) code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfBuild {
    pub(super) role: &'static str,
    pub(super) version: &'static str,
}
