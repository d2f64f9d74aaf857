//! The policy: which folders jobs may use, for everybody, and for those of some projects or roles besides. Pure.
//!
//! A job may use what the policy allows everybody, and what each rule allows that it falls under: one that names its project or no
//! project, and the role of whoever submitted it, a lower one, or none. Nothing takes away what another part allows.

use super::Role;
use braid_workload::Roots;
use serde::Deserialize;
use std::path::PathBuf;

/// Which folders jobs may use. In YAML: `read: [/models]`, and `rules: [{projects: [a], role: operator, write: [/data/a]}]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What everybody's jobs may read, with all below.
    #[serde(default)]
    pub read: Vec<PathBuf>,
    /// What everybody's jobs may write, and read.
    #[serde(default)]
    pub write: Vec<PathBuf>,
    /// Kinds of job that may run although nobody can tell what they use.
    #[serde(default)]
    pub unbounded: Vec<String>,
    /// What some may use besides.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// What it is called in messages: `the policy /etc/braid/policy.yml`.
    #[serde(skip)]
    pub name: String,
}

/// What the jobs of some may use besides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Of these projects; of any, if there are none.
    #[serde(default)]
    pub projects: Vec<String>,
    /// Submitted by people of this role or a higher one; by anybody, without it.
    #[serde(default)]
    pub role: Option<Role>,
    /// What they may read.
    #[serde(default)]
    pub read: Vec<PathBuf>,
    /// What they may write, and read.
    #[serde(default)]
    pub write: Vec<PathBuf>,
    /// Kinds that they may run although nobody can tell what these use.
    #[serde(default)]
    pub unbounded: Vec<String>,
}

impl Policy {
    /// What everybody's jobs may use.
    pub fn everybody(&self) -> Roots {
        let Self { read, write, unbounded, name, .. } = self;
        Roots { read: read.clone(), write: write.clone(), unbounded: unbounded.clone(), rule: name.clone() }
    }

    /// What a job of a project may use that somebody of a role has submitted.
    pub fn of(&self, project: &str, role: Role) -> Roots {
        let mut roots = self.everybody();
        if !self.rules.is_empty() {
            roots.rule = format!("{} (project {project}, role {role})", self.name);
        }
        for rule in self.rules.iter().filter(|rule| rule.is_for(project, role)) {
            roots.read.extend_from_slice(&rule.read);
            roots.write.extend_from_slice(&rule.write);
            roots.unbounded.extend_from_slice(&rule.unbounded);
        }
        roots
    }

    /// Every folder that somebody may use.
    pub fn folders(&self) -> impl Iterator<Item = &PathBuf> {
        let rules = self.rules.iter().flat_map(|rule| rule.read.iter().chain(&rule.write));
        self.read.iter().chain(&self.write).chain(rules)
    }
}

impl Rule {
    fn is_for(&self, project: &str, role: Role) -> bool {
        let of_project = self.projects.is_empty() || self.projects.iter().any(|named| named == project);
        of_project && self.role.is_none_or(|least| role >= least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_may_use_what_is_for_all_and_what_is_for_its_project_and_role() {
        let rule = |projects: &[&str], role, write: &str| Rule {
            projects: projects.iter().map(|&name| name.to_owned()).collect(),
            role,
            write: vec![write.into()],
            ..Rule::default()
        };
        let policy = Policy {
            read: vec!["/models".into()],
            name: "the policy".into(),
            rules: vec![
                rule(&["a", "both"], Some(Role::Operator), "/data/a"),
                rule(&["b", "both"], None, "/data/b"),
                rule(&[], Some(Role::Admin), "/data"),
                Rule { unbounded: vec!["command".into()], ..rule(&["a"], Some(Role::Admin), "/tmp") },
            ],
            ..Policy::default()
        };
        for (project, role, writes) in [
            ("a", Role::Operator, vec!["/data/a"]),
            ("a", Role::Viewer, vec![]),
            ("b", Role::Viewer, vec!["/data/b"]),
            ("both", Role::Operator, vec!["/data/a", "/data/b"]),
            ("ab", Role::Operator, vec![]),
            ("a", Role::Admin, vec!["/data/a", "/data", "/tmp"]),
            ("other", Role::Admin, vec!["/data"]),
        ] {
            let roots = policy.of(project, role);
            assert_eq!(roots.write, writes.iter().map(PathBuf::from).collect::<Vec<_>>(), "{project} {role}");
            assert_eq!(roots.read, [PathBuf::from("/models")]);
            assert_eq!(roots.unbounded.is_empty(), (project, role) != ("a", Role::Admin));
            assert_eq!(roots.rule, format!("the policy (project {project}, role {role})"));
        }
        assert_eq!(policy.folders().count(), 5);
        let plain = Policy { rules: vec![], ..policy };
        assert_eq!(plain.of("a", Role::Admin), plain.everybody(), "without rules it speaks of nobody");
    }
}
