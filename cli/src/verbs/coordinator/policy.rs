//! The policy file: which folders jobs may use.

use crate::error::{Error, Result};
use braid_workload::Roots;
use std::{fs, path::Path};

/// Reads it. A policy that cannot be read is no policy, so the coordinator does not start.
pub(super) fn read(path: &Path) -> Result<Roots> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| Error::usage(format!("cannot read the policy {name}: {error}")))?;
    let roots: Roots =
        serde_saphyr::from_str(&text).map_err(|error| Error::usage(format!("the policy {name}: {}", error.without_snippet())))?;
    match roots.read.iter().chain(&roots.write).find(|root| !root.is_absolute()) {
        Some(root) => Err(Error::usage(format!("the policy {name}: {} is not an absolute path", root.display()))),
        None => Ok(Roots { rule: format!("the policy {name}"), ..roots }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_says_what_it_allows_and_nothing_is_overread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.yml");
        fs::write(&path, "read: [/data]\nwrite: [/data/out]\n").unwrap();
        let roots = read(&path).unwrap();
        assert_eq!((roots.read.len(), roots.write.len(), roots.unbounded.len()), (1, 1, 0));
        assert_eq!(roots.rule, format!("the policy {}", path.display()));
        for (text, said) in
            [("reed: [/data]\n", "reed"), ("read: [data]\n", "not an absolute path"), ("read: /data: x", "policy")]
        {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.exit.code() == 2 && error.message.contains(said), "{}", error.message);
        }
        assert!(read(Path::new("/nowhere.yml")).unwrap_err().message.starts_with("cannot read the policy"));
    }
}
