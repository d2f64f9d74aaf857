//! Who makes a call, and what a role is.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What a person may do. Each role may do all that the one before it may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    #[default]
    Viewer,
    /// Submit and cancel jobs.
    Operator,
    /// Say who else may, let nodes in and out, read the audit log.
    Admin,
}

/// Who makes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// This very process, over a pipe in memory.
    Inside,
    /// Anybody: the coordinator was started with `--insecure`.
    Anybody,
    /// Over TLS, without saying who.
    Stranger,
    /// A person with a token.
    Person {
        /// What the token allows.
        role: Role,
        /// Names the token.
        token: String,
        /// Whose it is, as whoever made it says.
        label: String,
        /// Of whose jobs it may be submitted and cancelled with it; of any, if there are none.
        projects: Vec<String>,
    },
    /// A machine with a certificate.
    Node {
        /// The node's name.
        name: String,
    },
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        })
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Viewer, Self::Operator, Self::Admin]
            .into_iter()
            .find(|role| role.to_string() == text)
            .ok_or_else(|| "a role is viewer, operator or admin".into())
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inside => f.write_str("this process"),
            Self::Anybody => f.write_str("anybody"),
            Self::Stranger => f.write_str("stranger"),
            Self::Person { role, token, label, projects: _ } if label.is_empty() => write!(f, "{role} (token {token})"),
            Self::Person { role, token, label, projects: _ } => write!(f, "{role} {label} (token {token})"),
            Self::Node { name } => write!(f, "node {name}"),
        }
    }
}
