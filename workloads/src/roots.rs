//! The folders that jobs may use, and whether a job stays inside.
//!
//! A path is resolved before it is looked at: links are followed, `..` is not taken at its word. That holds for the
//! machine that looks, so the coordinator looks at submit, and the worker again before it runs. It is no sandbox: whoever
//! may change links inside a folder while a task runs can lead it astray.

use crate::Reach;
use serde::Deserialize;
use std::{
    fmt, fs, io,
    path::{Component, Path, PathBuf},
};

/// Entries of a job's input folders that are looked at for links.
const MOST_ENTRIES: usize = 100_000;

/// The folders that jobs may use. In YAML: `read: [/data]`, `write: [/data/out]`, `unbounded: [command]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roots {
    /// What may be read, with all below.
    #[serde(default)]
    pub read: Vec<PathBuf>,
    /// What may be written, and read, with all below.
    #[serde(default)]
    pub write: Vec<PathBuf>,
    /// Kinds of job that may run although nobody can tell what they use.
    #[serde(default)]
    pub unbounded: Vec<String>,
    /// Whose rule it is, for messages: `the policy /etc/braid/policy.yml`.
    #[serde(skip)]
    pub rule: String,
}

/// What a path is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// To be read.
    Read,
    /// To be made, changed or removed.
    Write,
}

/// A job that does not stay inside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutOfBounds {
    /// It names a path outside.
    #[error("a {kind} job may not {verb} {}{}: {rule} allows {}", path.display(), resolved(path, real), list(allowed, verb))]
    Path {
        /// The kind of job.
        kind: String,
        /// What it would do there.
        verb: Use,
        /// As the job names it, or a link in one of its folders.
        path: PathBuf,
        /// What it stands for.
        real: PathBuf,
        /// Whose rule.
        rule: String,
        /// What would be allowed.
        allowed: Vec<PathBuf>,
    },
    /// What it stands for cannot be found out.
    #[error("a {kind} job may not {verb} {}: {problem}, so nobody can tell whether {rule} allows it", path.display())]
    Unclear {
        /// The kind of job.
        kind: String,
        /// What it would do there.
        verb: Use,
        /// As the job names it.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// Whose rule.
        rule: String,
    },
    /// Nobody can tell which paths it uses.
    #[error("jobs of kind {kind} may use any path, and {rule} does not list the kind under `unbounded`")]
    Unbounded {
        /// The kind of job.
        kind: String,
        /// Whose rule.
        rule: String,
    },
}

impl Roots {
    /// Whether a job of this kind stays inside. `deep`: also look where the links in its folders lead; for the machine
    /// that has the folders.
    ///
    /// # Errors
    /// The first path that is outside, or why nobody can tell.
    pub fn check(&self, kind: &str, reach: &Reach, deep: bool) -> Result<(), OutOfBounds> {
        let Reach::Paths { reads, writes } = reach else {
            let known = self.unbounded.iter().any(|allowed| allowed == kind);
            return if known { Ok(()) } else { Err(OutOfBounds::Unbounded { kind: kind.to_owned(), rule: self.rule.clone() }) };
        };
        for path in writes {
            self.check_path(kind, Use::Write, path)?;
        }
        for path in reads {
            self.check_path(kind, Use::Read, path)?;
        }
        if deep {
            for link in reads.iter().flat_map(|path| links(path)) {
                self.check_path(kind, Use::Read, &link)?;
            }
        }
        Ok(())
    }

    fn check_path(&self, kind: &str, verb: Use, path: &Path) -> Result<(), OutOfBounds> {
        let real = resolve(path).map_err(|problem| OutOfBounds::Unclear {
            kind: kind.to_owned(),
            verb,
            path: path.to_owned(),
            problem: problem.to_string(),
            rule: self.rule.clone(),
        })?;
        let allowed = self.allowed(verb);
        // A root that is not there (yet, or on this machine) stands for itself.
        let inside = allowed.iter().any(|root| real.starts_with(resolve(root).as_ref().unwrap_or(root)));
        if inside {
            return Ok(());
        }
        Err(OutOfBounds::Path { kind: kind.to_owned(), verb, path: path.to_owned(), real, rule: self.rule.clone(), allowed })
    }

    fn allowed(&self, verb: Use) -> Vec<PathBuf> {
        let reads: &[PathBuf] = if verb == Use::Read { &self.read } else { &[] };
        reads.iter().chain(&self.write).cloned().collect()
    }
}

/// What a path stands for: all links of what exists followed, and what does not exist appended as it is.
///
/// # Errors
/// When it is not absolute, leads through `..` below what exists, or ends in a link to nothing.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let wrong = |problem: &str| io::Error::new(io::ErrorKind::InvalidInput, problem);
    if !path.is_absolute() {
        return Err(wrong("it is not an absolute path"));
    }
    let mut missing: Vec<Component<'_>> = Vec::new();
    let mut there = path;
    loop {
        match fs::canonicalize(there) {
            Ok(real) => {
                if missing.iter().any(|part| !matches!(part, Component::Normal(_))) {
                    return Err(wrong("it leads through `..` of a folder that is not there"));
                }
                return Ok(real.join(missing.iter().rev().collect::<PathBuf>()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if fs::symlink_metadata(there).is_ok_and(|found| found.is_symlink()) {
                    return Err(wrong("it leads through a link to nothing"));
                }
                let mut parts = there.components();
                missing.extend(parts.next_back());
                there = parts.as_path();
            }
            Err(error) => return Err(error),
        }
    }
}

/// The links in a folder and those below it. Where one leads, the check of it tells.
fn links(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut open, mut seen) = (Vec::new(), vec![folder.to_owned()], 0);
    while let Some(folder) = open.pop() {
        // What cannot be listed cannot be read either, or is a file.
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            seen += 1;
            if seen > MOST_ENTRIES {
                return found;
            }
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_symlink() && entry.path().exists() {
                found.push(entry.path());
            } else if kind.is_dir() {
                open.push(entry.path());
            }
        }
    }
    found
}

fn resolved(path: &Path, real: &Path) -> String {
    if path == real { String::new() } else { format!(" (which is {})", real.display()) }
}

fn list(allowed: &[PathBuf], verb: &Use) -> String {
    if allowed.is_empty() {
        return format!("no folder to {verb}");
    }
    allowed.iter().map(|root| root.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Place {
        _folder: tempfile::TempDir,
        base: PathBuf,
        roots: Roots,
    }

    /// `data` may be read, `out` written, `secret` neither.
    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        for name in ["data/model", "out", "secret", "out-not"] {
            fs::create_dir_all(base.join(name)).unwrap();
        }
        let roots = Roots {
            read: vec![base.join("data")],
            write: vec![base.join("out")],
            unbounded: vec!["known".into()],
            rule: "the rule".into(),
        };
        Place { _folder: folder, base, roots }
    }

    impl Place {
        fn verdict(&self, verb: Use, path: &str) -> Result<(), String> {
            let path = vec![self.base.join(path)];
            let reach = match verb {
                Use::Read => Reach::Paths { reads: path, writes: vec![] },
                Use::Write => Reach::Paths { reads: vec![], writes: path },
            };
            self.roots.check("merge", &reach, true).map_err(|error| error.to_string())
        }
    }

    #[test]
    fn only_what_is_inside_may_be_used() {
        let place = place();
        for path in ["data", "data/model", "data/not/there", "out", "out/x/y", "data/model/../model"] {
            assert_eq!(place.verdict(Use::Read, path), Ok(()), "{path}");
        }
        for path in ["secret", "data/../secret", "", "out-not", "nowhere", "datax"] {
            assert!(place.verdict(Use::Read, path).unwrap_err().contains("may not read"), "{path}");
        }
        assert_eq!(place.verdict(Use::Write, "out/new"), Ok(()));
        for path in ["data/new", "secret/new", "out-not/new", "out/../data/new"] {
            assert!(place.verdict(Use::Write, path).unwrap_err().contains("may not write"), "{path}");
        }
        assert!(place.verdict(Use::Write, "out/no/../../../secret").unwrap_err().contains("`..` of a folder that is not there"));
    }

    #[test]
    fn links_count_for_where_they_lead() {
        let place = place();
        symlink(place.base.join("secret"), place.base.join("out/link")).unwrap();
        symlink(place.base.join("secret/new"), place.base.join("out/dangling")).unwrap();
        let error = place.verdict(Use::Write, "out/link/x").unwrap_err();
        let (base, rule) = (place.base.display(), "the rule");
        assert_eq!(
            error,
            format!("a merge job may not write {base}/out/link/x (which is {base}/secret/x): {rule} allows {base}/out")
        );
        assert!(place.verdict(Use::Write, "out/dangling").unwrap_err().contains("a link to nothing"));
        symlink(place.base.join("data"), place.base.join("alias")).unwrap();
        assert_eq!(place.verdict(Use::Read, "alias/model"), Ok(()), "a link from outside to inside");
        let aliased = Roots { read: vec![place.base.join("alias")], ..place.roots.clone() };
        let reach = Reach::Paths { reads: vec![place.base.join("data/model")], writes: vec![] };
        assert_eq!(aliased.check("merge", &reach, true), Ok(()), "a root that is a link");
    }

    #[test]
    fn a_file_that_is_a_link_out_of_a_folder_is_found() {
        let place = place();
        fs::write(place.base.join("secret/key"), "").unwrap();
        symlink(place.base.join("secret/key"), place.base.join("data/model/model.safetensors")).unwrap();
        assert!(place.verdict(Use::Read, "data").unwrap_err().contains("model.safetensors (which is"));
        let reach = Reach::Paths { reads: vec![place.base.join("data")], writes: vec![] };
        assert_eq!(place.roots.check("merge", &reach, false), Ok(()), "who does not have the folders does not look");
    }

    #[test]
    fn what_nobody_can_tell_is_refused_unless_the_kind_is_listed() {
        let place = place();
        let error = place.roots.check("command", &Reach::Anything, true).unwrap_err().to_string();
        assert_eq!(error, "jobs of kind command may use any path, and the rule does not list the kind under `unbounded`");
        assert_eq!(place.roots.check("known", &Reach::Anything, true), Ok(()));
        let relative = Reach::Paths { reads: vec!["data".into()], writes: vec![] };
        assert!(place.roots.check("merge", &relative, true).unwrap_err().to_string().contains("not an absolute path"));
        let nothing = Roots { rule: "x".into(), ..Roots::default() };
        assert_eq!(nothing.check("noop", &Reach::nothing(), true), Ok(()));
        let reach = Reach::Paths { reads: vec!["/".into()], writes: vec![] };
        assert_eq!(
            nothing.check("merge", &reach, true).unwrap_err().to_string(),
            "a merge job may not read /: x allows no folder to read"
        );
    }
}
