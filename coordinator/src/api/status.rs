//! Errors as gRPC codes, in one place: what a client may try again is UNAVAILABLE, and nothing else is.

use crate::{engine::Refusal, runtime::Stopped};
use braid_proto::DecodeError;
use tonic::Status;

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::UnknownKind { .. }
            | Refusal::BadSpec(_)
            | Refusal::TooLarge { .. }
            | Refusal::TooDeep { .. }
            | Refusal::HalfGang { .. } => Self::invalid_argument(text),
            Refusal::Held { .. } => Self::already_exists(text),
            Refusal::BadLabel { .. } | Refusal::BadProject { .. } => Self::invalid_argument(text),
            Refusal::NoSuchNode(_) => Self::not_found(text),
            Refusal::NoSuchJob(_) | Refusal::NoJobYet => Self::not_found(text),
            Refusal::Over(_) => Self::failed_precondition(text),
        }
    }
}

impl From<Stopped> for Status {
    fn from(stopped: Stopped) -> Self {
        Self::unavailable(stopped.to_string())
    }
}

/// A message that cannot be read.
pub(super) fn malformed(error: &DecodeError) -> Status {
    Status::invalid_argument(error.to_string())
}
