//! What an error of the etcd client tells about the call: whether it was sent, and whether another try may help. Pure.

use crate::store::Cause;
use etcd_client::Error;
use tonic::{Code, ConnectError};

/// Why there is no good answer.
pub(super) enum Trouble {
    /// It never left this process: no connection.
    NotSent(Cause),
    /// It may have had its effect.
    NoAnswer(Cause),
    /// It was refused for now.
    Busy(Cause),
    /// It was refused for good.
    Refused(Cause),
    /// It asked for a moment that the server has forgotten.
    Compacted(Cause),
}

/// Sorts an error. Whatever is not certain counts as [`Trouble::NoAnswer`].
pub(super) fn judge(error: Error) -> Trouble {
    let sort = match &error {
        Error::GRpcStatus(status) => match status.code() {
            _ if is_connect_error(status) => Trouble::NotSent,
            // It has no code of its own.
            Code::OutOfRange if status.message().contains("compacted") => Trouble::Compacted,
            // Out of space or overloaded; the request was not taken.
            Code::ResourceExhausted => Trouble::Busy,
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::DataLoss
            | Code::Unauthenticated => Trouble::Refused,
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Internal
            | Code::Unavailable => Trouble::NoAnswer,
        },
        Error::InvalidArgs(_) | Error::InvalidUri(_) | Error::InvalidMetadataValue(_) => Trouble::Refused,
        _ => Trouble::NoAnswer,
    };
    // The status itself reads better than the client's wrapping of it.
    sort(match error {
        Error::GRpcStatus(status) => Cause::from(Said(status)),
        other => Cause::from(other),
    })
}

fn is_connect_error(status: &tonic::Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A status in few words: tonic's own text repeats the headers of the answer.
#[derive(Debug, thiserror::Error)]
#[error("{}", if self.0.message().is_empty() { self.0.code().description() } else { self.0.message() })]
struct Said(tonic::Status);

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Status;

    #[test]
    fn only_what_is_certain_counts_as_without_effect() {
        let word = |error| match judge(error) {
            Trouble::NotSent(_) => "not sent",
            Trouble::NoAnswer(_) => "no answer",
            Trouble::Busy(_) => "busy",
            Trouble::Refused(_) => "refused",
            Trouble::Compacted(_) => "compacted",
        };
        for (error, expected) in [
            (Error::GRpcStatus(Status::unavailable("etcdserver: request timed out")), "no answer"),
            (Error::GRpcStatus(Status::cancelled("Timeout expired")), "no answer"),
            (Error::GRpcStatus(Status::deadline_exceeded("")), "no answer"),
            (Error::GRpcStatus(Status::unknown("transport error")), "no answer"),
            (Error::GRpcStatus(Status::resource_exhausted("etcdserver: mvcc: database space exceeded")), "busy"),
            (Error::GRpcStatus(Status::invalid_argument("etcdserver: request is too large")), "refused"),
            (Error::GRpcStatus(Status::permission_denied("")), "refused"),
            (Error::GRpcStatus(Status::out_of_range("etcdserver: mvcc: required revision has been compacted")), "compacted"),
            (Error::GRpcStatus(Status::out_of_range("message length too large")), "refused"),
            (Error::GRpcStatus(Status::from_error(ConnectError("refused".into()).into())), "not sent"),
            (Error::WatchError("channel closed".into()), "no answer"),
            (Error::InvalidArgs("empty endpoints".into()), "refused"),
        ] {
            let text = error.to_string();
            assert_eq!(word(error), expected, "{text}");
        }
    }
}
