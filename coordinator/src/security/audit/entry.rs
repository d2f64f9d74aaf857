//! One line of the audit log.

use crate::security::Caller;
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Who asked.
    pub who: String,
    /// From which address.
    pub from: String,
    /// For what: the path of the call.
    pub what: String,
    /// On which object, where the call names one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// `OK`, or a gRPC code and its message.
    pub outcome: String,
}

impl Entry {
    pub(crate) fn now(caller: &Caller, from: String, what: &str, object: String, outcome: String) -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
        Self { at, who: caller.to_string(), from, what: what.to_owned(), object, outcome }
    }
}
