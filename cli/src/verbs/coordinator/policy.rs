//! The policy file: which folders jobs may use.

use crate::error::{Error, Result};
use braid_coordinator::{model::is_project, security::Policy};
use braid_workload::plainly;
use std::{fs, path::Path};

/// Reads it. A policy that cannot be read is no policy, so the coordinator does not start.
pub(super) fn read(path: &Path) -> Result<Policy> {
    let name = path.display();
    let wrong = |problem: String| Error::usage(format!("the policy {name}: {problem}"));
    let text = fs::read_to_string(path).map_err(|error| Error::usage(format!("cannot read the policy {name}: {error}")))?;
    let policy: Policy = serde_saphyr::from_str(&text).map_err(|problem| {
        let place = problem.location().map(|at| (at.line(), at.column()));
        wrong(plainly(&text, place, problem.without_snippet().to_string()))
    })?;
    if let Some(folder) = policy.folders().find(|folder| !folder.is_absolute()) {
        return Err(wrong(format!("{} is not an absolute path", folder.display())));
    }
    if let Some(project) = policy.rules.iter().flat_map(|rule| &rule.projects).find(|project| !is_project(project)) {
        return Err(wrong(format!("{project:?} is no name of a project")));
    }
    Ok(Policy { name: format!("the policy {name}"), ..policy })
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_coordinator::security::Role;

    #[test]
    fn a_policy_says_what_it_allows_and_nothing_is_overread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.yml");
        fs::write(&path, "read: [/data]\nwrite: [/data/out]\n").unwrap();
        let policy = read(&path).unwrap();
        assert_eq!((policy.read.len(), policy.write.len(), policy.unbounded.len(), policy.rules.len()), (1, 1, 0, 0));
        assert_eq!(policy.name, format!("the policy {}", path.display()));
        fs::write(
            &path,
            "rules:\n- projects: [a]\n  role: operator\n  write: [/data/a]\n- role: admin\n  unbounded: [command]\n",
        )
        .unwrap();
        let policy = read(&path).unwrap();
        assert_eq!(policy.of("a", Role::Operator).write, [Path::new("/data/a")]);
        assert_eq!(policy.of("b", Role::Admin).unbounded, ["command"]);
        for (text, said) in [
            ("reed: [/data]\n", "reed"),
            ("read: [data]\n", "not an absolute path"),
            ("read: /data: x", "policy"),
            ("rules: [{project: a, write: [/data]}]\n", "project"),
            ("rules: [{role: root}]\n", "root"),
            ("rules: [{write: [data]}]\n", "not an absolute path"),
            ("rules: [{projects: [a b]}]\n", "\"a b\" is no name of a project"),
        ] {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.exit.code() == 2 && error.message.contains(said), "{}", error.message);
        }
        assert!(read(Path::new("/nowhere.yml")).unwrap_err().message.starts_with("cannot read the policy"));
    }
}
