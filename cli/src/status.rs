//! What an answer of the coordinator that is no answer means to a person and to a script: text, hint and exit code.

use crate::{
    error::{Error, chain},
    exit::Exit,
};
use tonic::{Code, Status};

/// The error for a call to the coordinator at `address` that ended with `status`.
pub(crate) fn error(address: &str, status: &Status) -> Error {
    let exit = exit(status.code());
    let message = match status.code() {
        Code::Unavailable => format!("cannot reach the coordinator at {address}: {}", cause(status)),
        Code::DeadlineExceeded => format!("the coordinator at {address} did not answer in time"),
        Code::Unimplemented => format!("the coordinator at {address} does not know this request"),
        Code::Internal | Code::Unknown | Code::DataLoss => format!("the coordinator at {address} failed: {}", cause(status)),
        _ => status.message().to_owned(),
    };
    let hint = if message.contains(OTHER_FLEET) { Some(OTHER_FLEET_HINT) } else { hint(status.code()) };
    Error { exit, message, hint: hint.map(str::to_owned) }
}

/// What is said of a coordinator whose certificate the CA of the token's fleet has not signed.
pub(crate) const OTHER_FLEET: &str = "is not of the fleet that the token is for";
const OTHER_FLEET_HINT: &str = "a token is taken from --token, --credentials, BRAID_TOKEN, BRAID_CREDENTIALS or else the user's own credentials \
                                file; on the coordinator's machine its own are in admin.json of its data folder: --credentials DATA/admin.json";

/// The text of an I/O error below the status, which tonic hides behind "transport error".
fn cause(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(source) => chain(source).replace("transport error: ", ""),
        None => status.message().to_owned(),
    }
}

/// The exit code that stands for a gRPC code.
fn exit(code: Code) -> Exit {
    match code {
        Code::Ok => Exit::Ok,
        Code::InvalidArgument | Code::OutOfRange | Code::Unauthenticated | Code::PermissionDenied => Exit::Usage,
        Code::NotFound | Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => Exit::NotFoundOrConflict,
        Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Exit::Unavailable,
    }
}

fn hint(code: Code) -> Option<&'static str> {
    match code {
        Code::Unavailable => Some("is `braid coordinator` running there, and does --coordinator name its address?"),
        Code::DeadlineExceeded => Some("the coordinator may be waiting for its store; its log says more"),
        Code::Unimplemented => Some("the versions of the two differ: update the older one"),
        Code::AlreadyExists => Some("wait for that job or cancel it, or choose another folder for the result"),
        Code::Unauthenticated => Some("`braid token create` makes a token: for a machine, or with --role for a person"),
        Code::PermissionDenied => Some("an admin can do it, or give you a token that allows it"),
        _ => None,
    }
}

/// Whether the same call may succeed later without anyone changing anything.
pub(crate) fn is_passing(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Aborted | Code::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_exit_code_and_text() {
        let table = [
            (Status::not_found("there is no job 7"), 3, "there is no job 7"),
            (Status::failed_precondition("job 7 has ended"), 3, "job 7 has ended"),
            (Status::already_exists("job 3 writes to /out"), 3, "job 3 writes to /out"),
            (Status::invalid_argument("unknown kind \"x\""), 2, "unknown kind \"x\""),
            (Status::unauthenticated("wrong token"), 2, "wrong token"),
            (Status::unavailable("refused"), 4, "cannot reach the coordinator at h:1: refused"),
            (Status::deadline_exceeded(""), 4, "the coordinator at h:1 did not answer in time"),
            (Status::internal("store broken"), 4, "the coordinator at h:1 failed: store broken"),
        ];
        for (status, code, message) in table {
            let error = error("h:1", &status);
            assert_eq!((error.exit.code(), error.message.as_str()), (code, message));
        }
    }
}
