//! What a store answers instead of bytes, in words for a person; several threads may wait for the same answer.

use crate::MergeError;
use object_store::Error;
use std::path::PathBuf;

/// Why something could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is no such object.
    Missing { bucket: bool, answer: String },
    /// It is another version now.
    Changed,
    /// Who asks must not have it.
    Refused { status: u16, answer: String },
    /// The answer is the whole object, where a part was asked for.
    NotPartial,
    /// The range lies behind the end.
    NoRange,
    /// There is such an object already.
    Exists,
    /// The store does not know what was asked of it.
    Unknown(String),
    /// Nobody wants it any more.
    Cancelled,
    /// Anything else; another try may help.
    Failed(String),
    /// Anything else; another try will not help.
    Lasting(String),
}

impl Fault {
    /// Whether another try may help.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// The error of an operation on the object of this URL.
    pub(super) fn of(self, operation: &'static str, url: &str) -> MergeError {
        let passing = self.may_pass();
        let (problem, hint) = match self {
            Self::Changed => return MergeError::Changed { path: PathBuf::from(url) },
            Self::Cancelled => return MergeError::Cancelled,
            Self::Exists => ("there is such an object already".into(), None),
            Self::Unknown(problem) => (problem, Some(UNKNOWN)),
            Self::Missing { bucket: true, answer } => (format!("there is no such bucket ({answer})"), None),
            Self::Missing { bucket: false, answer } => (format!("there is no such object ({answer})"), None),
            Self::Refused { status, answer } => {
                (format!("access is refused, with status {status} ({answer})"), Some(credentials(url)))
            }
            Self::NotPartial => ("the server sends whole objects only, and no parts of them".into(), None),
            Self::NoRange => ("it is shorter than it was".into(), None),
            Self::Failed(problem) => (problem, unreached(url)),
            Self::Lasting(problem) => (problem, None),
        };
        MergeError::Remote { operation, object: url.to_owned(), problem, hint: hint.map(str::to_owned), passing }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let status = status(&error);
        let text = short(&error);
        match error {
            Error::NotFound { .. } => Self::Missing { bucket: NO_BUCKET.iter().any(|code| text.contains(code)), answer: text },
            Error::Precondition { .. } | Error::NotModified { .. } => Self::Changed,
            Error::AlreadyExists { .. } => Self::Exists,
            Error::NotImplemented { .. } => Self::Unknown(text),
            Error::Generic { .. } if status == Some(501) => Self::Unknown(text),
            Error::PermissionDenied { .. } => Self::Refused { status: 403, answer: text },
            Error::Unauthenticated { .. } => Self::Refused { status: 401, answer: text },
            Error::Generic { .. } if status == Some(416) => Self::NoRange,
            // A web server that knows no ranges.
            Error::NotSupported { .. } => Self::NotPartial,
            // Another store, for which the crate has no type.
            Error::Generic { .. } if text.contains("Received non-partial response") => Self::NotPartial,
            Error::Generic { .. }
                if status.is_some_and(|status| (400..500).contains(&status) && status != 408 && status != 429) =>
            {
                Self::Lasting(text)
            }
            Error::Generic { .. } | Error::JoinError { .. } => Self::Failed(text),
            _ => Self::Lasting(text),
        }
    }
}

/// What stores answer where there is no bucket or container.
const NO_BUCKET: [&str; 2] = ["NoSuchBucket", "ContainerNotFound"];

/// What to do where a store lacks what a result needs: objects that are made only where there is none, and uploads in parts.
const UNKNOWN: &str = "a merge begins with an object that is written only where there is none (If-None-Match), which this store does not \
    take: give a folder or another store";

/// The status of an answer, which the crate tells in its text alone.
fn status(error: &Error) -> Option<u16> {
    let text = error.to_string();
    text.split_once("status code: ").and_then(|(_, rest)| rest.get(..3)?.parse().ok())
}

/// The text without line breaks, and not longer than a person reads.
fn short(error: &Error) -> String {
    let text: String = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(400) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn credentials(url: &str) -> &'static str {
    match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("s3" | "s3a") => "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a public bucket",
        Some("gs") => "set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account that may do this",
        Some("az" | "azure" | "abfs" | "abfss" | "adl") => {
            "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or a SAS token"
        }
        Some("hf") => "set HF_TOKEN to a token that may read it; a gated model asks you to accept its terms first",
        _ => "the server wants credentials that Braid does not have",
    }
}

fn unreached(url: &str) -> Option<&'static str> {
    url.starts_with("s3").then_some(
        "AWS_REGION and AWS_ENDPOINT_URL say where the store is; without AWS_ACCESS_KEY_ID the credentials of the machine are asked for",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> Error {
        Error::Generic { store: "S3", source: text.into() }
    }

    #[test]
    fn answers_are_told_apart() {
        let fault = |text| Fault::from(generic(text));
        assert_eq!(fault("Server returned non-2xx status code: 416 : "), Fault::NoRange);
        assert_eq!(fault("Received non-partial response when range requested"), Fault::NotPartial);
        assert!(!fault("Server returned non-2xx status code: 400 Bad Request").may_pass());
        for text in
            ["Server returned non-2xx status code: 503 : SlowDown", "non-2xx status code: 429 : ", "error sending request"]
        {
            assert!(fault(text).may_pass(), "{text}");
        }
        let missing = Error::NotFound { path: "a".into(), source: "<Code>NoSuchBucket</Code>".into() };
        let text = Fault::from(missing).of("open", "s3://bucket/a").to_string();
        assert!(text.starts_with("cannot open s3://bucket/a: there is no such bucket ("), "{text}");
        let refused = Error::PermissionDenied { path: "a".into(), source: "x\n y".into() };
        let error = Fault::from(refused).of("read", "s3://bucket/a");
        assert!(error.to_string().starts_with("cannot read s3://bucket/a: access is refused, with status 403 ("), "{error}");
        assert!(error.hint().unwrap().contains("AWS_ACCESS_KEY_ID"));
    }
}
