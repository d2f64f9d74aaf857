//! What a token is worth. Pure: the clock and the store are elsewhere.
//!
//! ```text
//!   join token:   fresh ──joined──▶ used (the same key may ask again) ──┐
//!   user token:   fresh ────────────────────────────────────────────────┼─▶ expired, or revoked: gone
//! ```

use super::Role;
use crate::model::{Millis, is_project};
use braid_proto::Secret;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// The shortest life of a token.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// The longest, about ten years.
pub const LONGEST: Duration = Duration::from_secs(3650 * 24 * 3600);
/// The longest label, in bytes.
const MAX_LABEL: usize = 64;

/// Projects that a token may be for.
const MAX_PROJECTS: usize = 64;

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// Lets one machine join.
    Node,
    /// Says that a person has this role.
    #[serde(untagged)]
    Role(Role),
}

/// What is stored of a token: everything but its secret, of which the key of the record is a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// What it is good for.
    pub grant: Grant,
    /// Whose it is, for people.
    pub label: String,
    /// The projects of the jobs that it is for; of all jobs, if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub projects: Vec<String>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created: Millis,
    /// From then on it is worth nothing.
    pub expires: Millis,
    /// Who joined with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Use>,
}

/// Who joined with a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The node's name.
    pub node: String,
    /// A hash of its public key.
    pub key: String,
}

/// Why a token does not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Never made, or revoked.
    #[error("the join token is unknown or revoked")]
    Unknown,
    /// Too late.
    #[error("the join token has expired")]
    Expired,
    /// Its one use is over.
    #[error("the join token was used, by node {0}")]
    Used(String),
    /// Of a person.
    #[error("this is a person's token, not one to join with")]
    NotToJoin,
    /// It cannot be made as asked.
    #[error("{0}")]
    Unfit(String),
}

/// The hash under which a secret is kept, in hexadecimal digits.
pub fn hash(secret: &Secret) -> String {
    blake3::hash(secret.bytes()).to_hex().to_string()
}

/// What people call the token with this hash.
pub fn id(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

impl TokenRecord {
    /// A new one.
    ///
    /// # Errors
    /// [`TokenError::Unfit`] for a life or label out of bounds.
    pub fn new(grant: Grant, label: &str, created_by: String, ttl: Duration, now: Millis) -> Result<Self, TokenError> {
        if ttl < SHORTEST || ttl > LONGEST {
            return Err(TokenError::Unfit("a token lives from 1 second to 10 years".into()));
        }
        if label.len() > MAX_LABEL || label.chars().any(char::is_control) {
            return Err(TokenError::Unfit(format!("a label has at most {MAX_LABEL} bytes and no control characters")));
        }
        Ok(Self {
            grant,
            label: label.to_owned(),
            projects: Vec::new(),
            created_by,
            created: now,
            expires: now + ttl,
            used: None,
        })
    }

    /// The same, but for the jobs of some projects alone; of all, if none are named.
    ///
    /// # Errors
    /// [`TokenError::Unfit`] for a name that no project has, too many of them, or a token that submits nothing.
    pub fn for_projects(self, projects: Vec<String>) -> Result<Self, TokenError> {
        let unfit = |problem: String| Err(TokenError::Unfit(problem));
        if projects.is_empty() {
            return Ok(self);
        }
        if !matches!(self.grant, Grant::Role(Role::Operator)) {
            return unfit(format!("a token of role {} is for no project: only one of an operator is", self.grant));
        }
        if projects.len() > MAX_PROJECTS {
            return unfit(format!("a token is for at most {MAX_PROJECTS} projects"));
        }
        match projects.iter().find(|name| !is_project(name)) {
            Some(name) => unfit(format!("{name:?} is no name of a project")),
            None => Ok(Self { projects, ..self }),
        }
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now: Millis) -> bool {
        self.expires <= now
    }

    /// The role of the person who shows it.
    pub fn role(&self, now: Millis) -> Option<Role> {
        match self.grant {
            Grant::Role(role) if !self.is_expired(now) => Some(role),
            _ => None,
        }
    }

    /// The record after `node` with this key has joined with it.
    ///
    /// # Errors
    /// Why it may not.
    pub fn join(&self, node: &str, key: &str, now: Millis) -> Result<Self, TokenError> {
        if self.grant != Grant::Node {
            return Err(TokenError::NotToJoin);
        }
        let by = Use { node: node.to_owned(), key: key.to_owned() };
        match &self.used {
            _ if self.is_expired(now) => Err(TokenError::Expired),
            None => Ok(Self { used: Some(by), ..self.clone() }),
            // Its answer was lost: it asks again.
            Some(earlier) if *earlier == by => Ok(self.clone()),
            Some(earlier) => Err(TokenError::Used(earlier.node.clone())),
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("node"),
            Self::Role(role) => role.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn token(grant: Grant) -> TokenRecord {
        TokenRecord::new(grant, "x", "a".into(), HOUR, Millis(1000)).unwrap()
    }

    #[test]
    fn an_operators_token_may_be_for_some_projects() {
        let operator = || token(Grant::Role(Role::Operator));
        assert_eq!(operator().for_projects(vec!["a".into(), "b.1".into()]).unwrap().projects, ["a", "b.1"]);
        assert!(token(Grant::Node).for_projects(vec![]).unwrap().projects.is_empty());
        for (record, projects, said) in [
            (token(Grant::Role(Role::Admin)), vec!["a".to_owned()], "of role admin is for no project"),
            (token(Grant::Node), vec!["a".to_owned()], "of role node is for no project"),
            (operator(), vec!["a b".to_owned()], "\"a b\" is no name of a project"),
            (operator(), vec!["a".to_owned(); 65], "at most 64 projects"),
        ] {
            let error = record.for_projects(projects).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_join_token_is_good_for_one_key_until_it_expires() {
        let fresh = token(Grant::Node);
        let used = fresh.join("n1", "k1", Millis(2000)).unwrap();
        assert_eq!(used.join("n1", "k1", Millis(3000)), Ok(used.clone()), "the answer was lost");
        for (node, key) in [("n2", "k1"), ("n1", "k2"), ("n2", "k2")] {
            assert_eq!(used.join(node, key, Millis(3000)), Err(TokenError::Used("n1".into())));
        }
        let late = Millis(1000) + HOUR;
        for token in [fresh, used] {
            assert_eq!(token.join("n1", "k1", late), Err(TokenError::Expired));
            assert!(token.join("n1", "k1", Millis(late.0 - 1)).is_ok());
        }
    }

    #[test]
    fn a_persons_token_gives_its_role_and_lets_no_machine_in() {
        for role in [Role::Viewer, Role::Operator, Role::Admin] {
            let token = token(Grant::Role(role));
            assert_eq!(token.role(Millis(2000)), Some(role));
            assert_eq!(token.role(Millis(1000) + HOUR), None);
            assert_eq!(token.join("n", "k", Millis(2000)), Err(TokenError::NotToJoin));
        }
        assert_eq!(token(Grant::Node).role(Millis(2000)), None);
    }

    #[test]
    fn unfit_tokens_are_not_made() {
        let make = |label: &str, ttl| TokenRecord::new(Grant::Node, label, String::new(), ttl, Millis(0));
        for (label, ttl) in
            [("x", Duration::ZERO), ("x", Duration::MAX), ("a\nb", HOUR), ("\u{1b}[2J", HOUR), (&"x".repeat(65), HOUR)]
        {
            assert!(matches!(make(label, ttl), Err(TokenError::Unfit(_))), "{label:?} {ttl:?}");
        }
    }

    #[test]
    fn a_record_reads_back_and_holds_no_secret() {
        let secret = Secret::new([7; 32]);
        for grant in [Grant::Node, Grant::Role(Role::Admin)] {
            let text = serde_json::to_string(&token(grant)).unwrap();
            assert_eq!(serde_json::from_str::<TokenRecord>(&text).unwrap(), token(grant));
            assert!(!text.contains(&secret.to_hex()));
        }
        assert_eq!((hash(&secret).len(), id(&hash(&secret)).len()), (64, 12));
    }
}
