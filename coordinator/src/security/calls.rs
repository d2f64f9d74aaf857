//! The one table of calls: who may make each, and which ones the audit log keeps. A call that is not in it is refused.
//!
//! docs/security.md shows the same table; a test compares them, and another compares this one with the protos.

use super::{Caller, Role};

/// Who may make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Whoever speaks TLS: what the call carries is checked by the call itself.
    Nothing,
    /// A node, by its certificate.
    Certificate,
    /// A person with this role or a higher one.
    Role(Role),
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The path of its requests.
    pub path: &'static str,
    /// Who may make it.
    pub need: Need,
    /// Whether the audit log says that it was made; that it was refused is always said.
    pub audited: bool,
}

const fn call(path: &'static str, need: Need, audited: bool) -> Call {
    Call { path, need, audited }
}

const VIEWER: Need = Need::Role(Role::Viewer);
const OPERATOR: Need = Need::Role(Role::Operator);
const ADMIN: Need = Need::Role(Role::Admin);

/// Every call, in the order of the protos.
pub const CALLS: &[Call] = &[
    call("/braid.v1.Fleet/Leader", Need::Nothing, false),
    call("/braid.v1.Jobs/Submit", OPERATOR, true),
    call("/braid.v1.Jobs/Get", VIEWER, false),
    call("/braid.v1.Jobs/List", VIEWER, false),
    call("/braid.v1.Jobs/Watch", VIEWER, false),
    call("/braid.v1.Jobs/Tasks", VIEWER, false),
    call("/braid.v1.Jobs/Cancel", OPERATOR, true),
    call("/braid.v1.Jobs/Logs", VIEWER, false),
    call("/braid.v1.Jobs/Explain", VIEWER, false),
    call("/braid.v1.Projects/List", VIEWER, false),
    call("/braid.v1.Projects/Set", ADMIN, true),
    call("/braid.v1.Nodes/List", VIEWER, false),
    call("/braid.v1.Nodes/Get", VIEWER, false),
    call("/braid.v1.Nodes/Change", OPERATOR, true),
    call("/braid.v1.Planner/Plan", OPERATOR, false),
    call("/braid.v1.Planner/Plans", OPERATOR, false),
    call("/braid.v1.Enrollment/Join", Need::Nothing, true),
    call("/braid.v1.Enrollment/Renew", Need::Certificate, true),
    call("/braid.v1.Access/CreateToken", ADMIN, true),
    call("/braid.v1.Access/ListTokens", ADMIN, false),
    call("/braid.v1.Access/RevokeToken", ADMIN, true),
    call("/braid.v1.Access/RevokeNode", ADMIN, true),
    call("/braid.v1.Access/Audit", ADMIN, true),
    call("/braid.v1.Workers/Session", Need::Certificate, true),
    call("/braid.v1.Workers/Probe", Need::Certificate, false),
];

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It is in no table.
    #[error("there is no call {0}")]
    NoSuchCall(String),
    /// Nobody said who they are.
    #[error("this needs a token of role {0} or higher")]
    NoToken(Role),
    /// The token is not one of this fleet, or no longer.
    #[error("the token is unknown, revoked or expired")]
    BadToken,
    /// The role does not allow it.
    #[error("this needs the role {needs}, and the token {token} is of role {has}")]
    Role {
        /// Which token.
        token: String,
        /// What it allows.
        has: Role,
        /// What would be needed.
        needs: Role,
    },
    /// It is for nodes.
    #[error("this is for nodes that have joined: it needs a node's certificate")]
    NotANode,
    /// It is for people.
    #[error("this is for people: node {0} may not")]
    Node(String),
    /// The certificate is no longer worth anything.
    #[error("the certificate of node {node} is {problem}")]
    Certificate {
        /// Whose.
        node: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// The row of a call.
pub fn find(path: &str) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.path == path)
}

/// Whether this caller may make this call.
///
/// # Errors
/// Why not.
pub fn decide(path: &str, caller: &Caller) -> Result<&'static Call, Denied> {
    let call = find(path).ok_or_else(|| Denied::NoSuchCall(path.chars().take(128).collect()))?;
    match (call.need, caller) {
        (_, Caller::Inside | Caller::Anybody) | (Need::Nothing, _) | (Need::Certificate, Caller::Node { .. }) => Ok(call),
        (Need::Role(needs), Caller::Person { role, .. }) if *role >= needs => Ok(call),
        (Need::Role(needs), Caller::Person { role, token, .. }) => Err(Denied::Role { token: token.clone(), has: *role, needs }),
        (Need::Role(needs), Caller::Stranger) => Err(Denied::NoToken(needs)),
        (Need::Role(_), Caller::Node { name }) => Err(Denied::Node(name.clone())),
        (Need::Certificate, Caller::Stranger | Caller::Person { .. }) => Err(Denied::NotANode),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_call_of_the_protos_is_in_the_table_once_and_nothing_else_is() {
        let known: Vec<&str> = CALLS.iter().map(|call| call.path).collect();
        let (table, protos): (BTreeSet<_>, BTreeSet<_>) =
            (known.iter().copied().collect(), braid_proto::CALLS.iter().copied().collect());
        assert_eq!(table, protos, "who may make these calls?");
        assert_eq!(known.len(), table.len());
    }

    #[test]
    fn each_caller_may_make_exactly_its_calls() {
        let person = |role| Caller::Person { role, token: "t".into(), label: "l".into(), projects: vec![] };
        let callers = [
            (person(Role::Viewer), 0),
            (person(Role::Operator), 1),
            (person(Role::Admin), 2),
            (Caller::Stranger, 3),
            (Caller::Node { name: "n".into() }, 4),
        ];
        for call in CALLS {
            // viewer, operator, admin, stranger, node
            let expected = match call.need {
                Need::Nothing => [true; 5],
                Need::Certificate => [false, false, false, false, true],
                Need::Role(Role::Viewer) => [true, true, true, false, false],
                Need::Role(Role::Operator) => [false, true, true, false, false],
                Need::Role(Role::Admin) => [false, false, true, false, false],
            };
            for (caller, column) in &callers {
                assert_eq!(decide(call.path, caller).is_ok(), expected[*column], "{} by {caller}", call.path);
            }
            for caller in [Caller::Inside, Caller::Anybody] {
                assert!(decide(call.path, &caller).is_ok());
            }
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_refused_whoever_asks() {
        let admin = Caller::Person { role: Role::Admin, token: "t".into(), label: "l".into(), projects: vec![] };
        for caller in [admin, Caller::Inside, Caller::Anybody, Caller::Stranger] {
            for path in ["/braid.v1.Jobs/Erase", "", "/", "/braid.v1.Jobs/Get/", "/braid.v1.jobs/get"] {
                assert_eq!(decide(path, &caller), Err(Denied::NoSuchCall(path.into())), "{caller}");
            }
        }
    }

    #[test]
    fn the_documentation_has_the_same_table() {
        let text = include_str!("../../../docs/security.md");
        for call in CALLS {
            let need = match call.need {
                Need::Nothing => "anybody".to_owned(),
                Need::Certificate => "node".to_owned(),
                Need::Role(role) => role.to_string(),
            };
            let name = call.path.trim_start_matches("/braid.v1.").replace('/', ".");
            let row = format!("| `{name}` | {need} | {} |", if call.audited { "yes" } else { "" });
            assert!(text.contains(&row), "docs/security.md lacks: {row}");
        }
    }
}
