//! How tokens and the audit log are shown.

use super::{SCHEMA, View, table};
use crate::units::show_time;
use braid_proto::v1::{self, Role};
use serde::Serialize;

/// `braid token ls`.
#[derive(Debug, Serialize)]
pub(crate) struct TokenList {
    schema: &'static str,
    tokens: Vec<TokenView>,
}

#[derive(Debug, Serialize)]
struct TokenView {
    id: String,
    role: &'static str,
    label: String,
    created: String,
    created_by: String,
    expires: String,
    used_by: Option<String>,
    projects: Vec<String>,
}

/// `braid audit`.
#[derive(Debug, Serialize)]
pub(crate) struct AuditList {
    schema: &'static str,
    entries: Vec<EntryView>,
}

#[derive(Debug, Serialize)]
struct EntryView {
    at: String,
    who: String,
    from: String,
    what: String,
    object: String,
    outcome: String,
}

impl TokenList {
    pub(crate) fn new(tokens: Vec<v1::Token>) -> Self {
        Self { schema: SCHEMA, tokens: tokens.into_iter().map(TokenView::from).collect() }
    }
}

impl From<v1::Token> for TokenView {
    fn from(token: v1::Token) -> Self {
        Self {
            role: match token.role() {
                Role::Unspecified => "unknown",
                Role::Node => "node",
                Role::Viewer => "viewer",
                Role::Operator => "operator",
                Role::Admin => "admin",
            },
            id: token.id,
            label: token.label,
            created: show_time(token.created_unix_millis),
            created_by: token.created_by,
            expires: show_time(token.expires_unix_millis),
            used_by: token.used_by,
            projects: token.projects,
        }
    }
}

impl View for TokenList {
    fn table(&self, _now: u64) -> String {
        let row = |token: &TokenView| {
            let used = token.used_by.clone().unwrap_or_else(|| "-".to_owned());
            let projects = if token.projects.is_empty() { "-".to_owned() } else { token.projects.join(",") };
            [token.id.clone(), token.role.to_owned(), token.expires.clone(), used, projects, token.label.clone()]
        };
        let rows: Vec<_> = self.tokens.iter().map(row).collect();
        table::columns(["ID", "ROLE", "EXPIRES", "USED BY", "PROJECTS", "LABEL"], &rows)
    }

    fn names(&self) -> Vec<String> {
        self.tokens.iter().map(|token| token.id.clone()).collect()
    }

    fn is_final(&self) -> bool {
        false
    }
}

impl AuditList {
    pub(crate) fn new(entries: Vec<v1::AuditEntry>) -> Self {
        let view = |entry: v1::AuditEntry| EntryView {
            at: show_time(entry.unix_millis),
            who: entry.who,
            from: entry.from,
            what: entry.what.trim_start_matches("/braid.v1.").replace('/', "."),
            object: entry.object,
            outcome: entry.outcome,
        };
        Self { schema: SCHEMA, entries: entries.into_iter().map(view).collect() }
    }
}

impl View for AuditList {
    fn table(&self, _now: u64) -> String {
        let row = |entry: &EntryView| {
            let EntryView { at, who, from, what, object, outcome } = entry;
            [at, who, from, what, object, outcome].map(Clone::clone)
        };
        let rows: Vec<_> = self.entries.iter().map(row).collect();
        table::columns(["AT", "WHO", "FROM", "WHAT", "OBJECT", "OUTCOME"], &rows)
    }

    fn names(&self) -> Vec<String> {
        self.entries.iter().map(|entry| entry.what.clone()).collect()
    }

    fn is_final(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Format, render};

    #[test]
    fn tokens_in_every_form() {
        let tokens = vec![
            v1::Token {
                id: "0123456789ab".into(),
                role: Role::Node.into(),
                label: String::new(),
                created_by: "admin local (token aa)".into(),
                created_unix_millis: 1_800_000_000_000,
                expires_unix_millis: 1_800_003_600_000,
                used_by: Some("alpha-1".into()),
                projects: vec![],
            },
            v1::Token {
                id: "ba9876543210".into(),
                role: Role::Operator.into(),
                label: "eve".into(),
                projects: vec!["a".into(), "b".into()],
                ..Default::default()
            },
        ];
        let list = TokenList::new(tokens);
        let text = |format| render(&list, format, 0, false).unwrap();
        insta::assert_snapshot!(text(Format::Table), @"
        ID            ROLE      EXPIRES               USED BY  PROJECTS  LABEL
        0123456789ab  node      2027-01-15T09:00:00Z  alpha-1  -
        ba9876543210  operator  1970-01-01T00:00:00Z  -        a,b       eve
        ");
        insta::assert_snapshot!(text(Format::Yaml), @r#"
        schema: braid/v1
        tokens:
        - id: 0123456789ab
          role: node
          label: ""
          created: "2027-01-15T08:00:00Z"
          created_by: admin local (token aa)
          expires: "2027-01-15T09:00:00Z"
          used_by: alpha-1
          projects: []
        - id: ba9876543210
          role: operator
          label: eve
          created: "1970-01-01T00:00:00Z"
          created_by: ""
          expires: "1970-01-01T00:00:00Z"
          used_by: null
          projects:
          - a
          - b
        "#);
    }

    #[test]
    fn an_entry_cannot_steer_a_terminal() {
        let entry = v1::AuditEntry {
            unix_millis: 1_800_000_000_000,
            who: "stranger".into(),
            from: "10.0.0.9:1".into(),
            what: "/braid.v1.Enrollment/Join".into(),
            object: "node \u{1b}[2J\nx".into(),
            outcome: "Unauthenticated: the join token has expired".into(),
        };
        insta::assert_snapshot!(render(&AuditList::new(vec![entry]), Format::Table, 0, false).unwrap(), @"
        AT                    WHO       FROM        WHAT             OBJECT       OUTCOME
        2027-01-15T08:00:00Z  stranger  10.0.0.9:1  Enrollment.Join  node  [2J x  Unauthenticated: the join token has expired
        ");
    }
}
