//! The folder that is to become the result, and whether it may.

use super::{
    files::{read_if_there, remove_folder},
    staging::PlanRecord,
};
use crate::MergeError;
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statvfs, statx};
use serde::Deserialize;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// The file in a result that says what it is made of.
pub(crate) const MANIFEST: &str = "braid.json";
/// The file in a result that has the identities of the input files.
pub(crate) const INPUTS: &str = "braid-inputs.json";
/// What is wrong with a place that holds the result of another merge.
pub(super) const HOLDS_MERGE: &str = "is not empty: it holds the result of another merge, or its inputs changed since";
/// What to do about a place that is taken.
pub(super) const ANOTHER: &str = "choose another folder, or remove this one first";

/// How the name of the folder ends in which a result is made.
pub(crate) const STAGING: &str = ".braid";
/// How the name of the folder ends that holds the results of stages.
pub(crate) const STAGES: &str = ".stages";

/// The hidden folder beside `out` whose name is made of that and of `ending`; none for a path that has no name.
pub(crate) fn hidden(out: &Path, ending: &str) -> Option<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(out.file_name()?);
    name.push(ending);
    Some(out.parent()?.join(name))
}

/// Where the result goes, and where it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutputFolder {
    /// What the result will be.
    pub out: PathBuf,
    /// The folder beside it in which it is made; on the same file system, so that a rename publishes it.
    pub staging: PathBuf,
}

/// What stands at the place of the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing, or an empty folder.
    Free,
    /// A merge of Braid, of the plan with this digest, finished at this time.
    Merge { plan: String, finished: SystemTime },
    /// Something else: the name of an entry of the folder.
    Other(String),
}

impl OutputFolder {
    /// The folders of a result at `out`, which must be absolute. A link is followed.
    ///
    /// # Errors
    /// A path that cannot become a folder.
    pub(crate) fn new(out: &Path) -> Result<Self, MergeError> {
        let wrong = |problem: &str, hint: Option<&str>| MergeError::Output {
            path: out.to_owned(),
            problem: problem.into(),
            hint: hint.map(str::to_owned),
        };
        if !out.is_absolute() {
            return Err(wrong("is not an absolute path", None));
        }
        let out_is_link = fs::symlink_metadata(out).is_ok_and(|metadata| metadata.is_symlink());
        let real =
            if out_is_link { out.canonicalize().map_err(|_| wrong("is a link to nothing", None))? } else { out.to_owned() };
        let Some(staging) = hidden(&real, STAGING) else {
            return Err(wrong("is no name of a folder", Some("give a folder that the merge may create")));
        };
        if is_mount(&real) {
            return Err(wrong(
                "is a mount point, which cannot be replaced by the result at once",
                Some("give a folder inside it"),
            ));
        }
        Ok(Self { staging, out: real })
    }

    /// What stands at the place of the result.
    pub(crate) fn find(&self) -> Result<Found, MergeError> {
        #[derive(Deserialize)]
        struct Manifest {
            plan: String,
        }
        let entries = match fs::read_dir(&self.out) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Free),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(self.refuse("is a file, not a folder".into(), None));
            }
            Err(error) => return Err(MergeError::io("open", &self.out)(error)),
        };
        let names = entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>();
        let mut names = names.map_err(MergeError::io("read", &self.out))?;
        names.sort();
        let manifest = self.out.join(MANIFEST);
        if let Some(text) = read_if_there(&manifest)?
            && let Ok(Manifest { plan }) = serde_json::from_slice(&text)
        {
            let finished = fs::metadata(&manifest).and_then(|metadata| metadata.modified());
            return Ok(Found::Merge { plan, finished: finished.map_err(MergeError::io("look at", &manifest))? });
        }
        Ok(names.first().map_or(Found::Free, |name| Found::Other(name.to_string_lossy().into_owned())))
    }

    /// Requires that a result of `bytes` bytes could be made here for the merge of this record, or is there already, which is what it
    /// returns; writes nothing.
    pub(crate) fn check(&self, plan: &PlanRecord, bytes: u64) -> Result<bool, MergeError> {
        let found = self.find()?;
        if plan.made(&found) {
            return Ok(true);
        }
        if found != Found::Free {
            return Err(self.not_empty(&found));
        }
        self.check_space(bytes).map(|()| false)
    }

    /// Removes what was made of other inputs than those of this record. Only for a folder that no user has named.
    pub(crate) fn make_way(&self, plan: &PlanRecord) -> Result<(), MergeError> {
        let found = self.find()?;
        if found == Found::Free || plan.made(&found) { Ok(()) } else { remove_folder(&self.out) }
    }

    /// That the folder holds something else and may not be replaced.
    pub(crate) fn not_empty(&self, found: &Found) -> MergeError {
        let holds = match found {
            Found::Free => "is not empty".into(),
            Found::Merge { .. } => HOLDS_MERGE.into(),
            Found::Other(name) => holds(name),
        };
        self.refuse(holds, Some(ANOTHER))
    }

    /// The folder in which the result will appear.
    pub(crate) fn parent(&self) -> &Path {
        self.out.parent().unwrap_or_else(|| Path::new("/"))
    }

    /// Requires room for `needed` more bytes where the result is made.
    pub(crate) fn check_space(&self, needed: u64) -> Result<(), MergeError> {
        // The folders above may not exist yet.
        let existing = self.staging.ancestors().find(|path| path.exists()).unwrap_or_else(|| Path::new("/"));
        let system = statvfs(existing).map_err(|error| MergeError::io("look at", existing)(error.into()))?;
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        if free < needed {
            return Err(MergeError::NoSpace { path: self.out.clone(), needed, free });
        }
        Ok(())
    }

    pub(crate) fn refuse(&self, problem: String, hint: Option<&str>) -> MergeError {
        MergeError::Output { path: self.out.clone(), problem, hint: hint.map(str::to_owned) }
    }
}

/// What is wrong with a place that holds something of this name.
pub(super) fn holds(name: &str) -> String {
    format!("is not empty: it holds {name:?}")
}

fn is_mount(path: &Path) -> bool {
    let found = statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS);
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path) -> OutputFolder {
        OutputFolder::new(path).unwrap()
    }

    #[test]
    fn the_staging_folder_is_a_hidden_sibling() {
        let folder = tempfile::tempdir().unwrap();
        let out = at(&folder.path().join("out"));
        assert_eq!(out.staging, folder.path().join(".out.braid"));
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder.path().join("link")).unwrap();
        assert_eq!(at(&folder.path().join("link")).out, elsewhere.canonicalize().unwrap());
    }

    #[test]
    fn what_is_there_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let out = at(&folder.path().join("out"));
        assert_eq!(out.find().unwrap(), Found::Free);
        fs::create_dir(&out.out).unwrap();
        assert_eq!(out.find().unwrap(), Found::Free);
        fs::write(out.out.join("notes"), "").unwrap();
        assert_eq!(out.find().unwrap(), Found::Other("notes".into()));
        fs::write(out.out.join(MANIFEST), r#"{"plan": "abc"}"#).unwrap();
        assert!(matches!(out.find().unwrap(), Found::Merge { plan, .. } if plan == "abc"));
        let text = out.not_empty(&Found::Other("notes".into())).to_string();
        assert!(text.ends_with("out: is not empty: it holds \"notes\""), "{text}");
    }

    #[test]
    fn places_that_cannot_become_a_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = |path: &Path| OutputFolder::new(path).unwrap_err().to_string();
        assert!(error(Path::new("out")).contains("is not an absolute path"));
        assert!(error(Path::new("/")).contains("is no name of a folder"));
        assert!(error(Path::new("/proc")).contains("is a mount point"));
        std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
        assert!(error(&folder.path().join("link")).contains("is a link to nothing"));
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(at(&folder.path().join("file")).find().unwrap_err().to_string().contains("is a file, not a folder"));
    }

    #[test]
    fn too_little_space_is_told_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let out = at(&folder.path().join("not/yet/there/out"));
        out.check_space(1).unwrap();
        let text = out.check_space(u64::MAX).unwrap_err().to_string();
        assert!(text.contains("the result needs 18446744073709551615 more bytes, but its file system has only"), "{text}");
        assert!(!folder.path().join("not").exists());
    }
}
