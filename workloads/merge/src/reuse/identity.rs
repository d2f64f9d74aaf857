//! What tells that an input file is still the one that was read, and the file that keeps it beside a result.
//!
//! Length, time of the last write, time of the last change of any kind (which no program can set) and number of the file: who replaces
//! or rewrites a file changes one of them. A clock has steps, in one of which a file may be written twice: what was changed
//! shortly before the merge began is not relied on. When that was is the time of the file that keeps the identities, so
//! that its text is the same for all merges of these inputs.

use crate::{
    MergeError,
    checkpoint::{Checkpoint, Sources, Stamp, url},
    output::INPUTS,
};
use blake3::Hasher;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Longer than the step of any file system's clock.
const STEP: Duration = Duration::from_secs(2);

/// The identity of each file of a model, as text.
pub(super) type Files = Vec<String>;

#[derive(Debug, Serialize, Deserialize)]
struct Inputs {
    /// For each model, as the manifest numbers them; of one that recipes of the same file made, or changed by an adapter, none.
    files: Vec<Files>,
    /// What those recipes were made of, whatever it was for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stages: Files,
}

/// What a file is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    text: String,
    /// When anything about it was last changed; none where nobody knows.
    changed: Option<SystemTime>,
}

impl Identity {
    #[cfg(test)]
    pub(super) fn of(text: &str) -> Self {
        Self { text: text.into(), changed: Some(SystemTime::UNIX_EPOCH) }
    }

    /// Whether it is the one that was kept by a merge that began at `begun`, and nobody can have written to it since.
    pub(super) fn is(&self, kept: &str, begun: SystemTime) -> bool {
        let settled = self.changed.and_then(|changed| changed.checked_add(STEP));
        self.text == kept && settled.is_some_and(|settled| settled <= begun)
    }
}

/// The identities of the files of `checkpoint`.
///
/// # Errors
/// A file that is no longer the one that was opened.
pub(crate) fn identities(checkpoint: &Checkpoint) -> Result<Vec<Identity>, MergeError> {
    let one = |(path, stamp): (&PathBuf, &Stamp)| {
        if let Some(url) = url(path) {
            return Ok(of_object(url, stamp));
        }
        let metadata = fs::metadata(path).map_err(MergeError::io("look at", path))?;
        match Stamp::of(&metadata) == *stamp {
            true => Ok(identity(&metadata)),
            false => Err(MergeError::Changed { path: path.clone() }),
        }
    };
    checkpoint.found().map(one).collect()
}

/// An object is known by its version, if it has one; without, only nearly, by its time.
fn of_object(url: &str, stamp: &Stamp) -> Identity {
    let mut hasher = Hasher::new();
    hasher.update(url.as_bytes());
    for field in [stamp.bytes, stamp.version] {
        hasher.update(&field.to_le_bytes());
    }
    if stamp.version == 0 {
        hasher.update(&stamp.modified.to_le_bytes());
    }
    let changed = (stamp.version != 0).then_some(SystemTime::UNIX_EPOCH);
    Identity { text: hasher.finalize().to_hex().to_string(), changed }
}

fn identity(metadata: &Metadata) -> Identity {
    let seconds = Duration::from_secs(u64::try_from(metadata.ctime()).unwrap_or(0));
    let nanos = Duration::from_nanos(u64::try_from(metadata.ctime_nsec()).unwrap_or(0));
    let mut hasher = Hasher::new();
    for field in [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()] {
        hasher.update(&field.to_le_bytes());
    }
    hasher.update(&metadata.len().to_le_bytes()).update(&metadata.ino().to_le_bytes());
    Identity {
        text: hasher.finalize().to_hex().to_string(),
        changed: SystemTime::UNIX_EPOCH.checked_add(seconds.saturating_add(nanos)),
    }
}

/// The text of [`INPUTS`]; the time of the file is to be that at which the merge began.
///
/// # Errors
/// Text that JSON cannot hold.
pub(crate) fn write_inputs(models: Vec<Vec<Identity>>, stages: Vec<Identity>) -> Result<String, MergeError> {
    let texts = |files: Vec<Identity>| files.into_iter().map(|identity| identity.text);
    let stages = BTreeSet::from_iter(texts(stages)).into_iter().collect();
    let files = models.into_iter().map(|files| texts(files).collect()).collect();
    let text = serde_json::to_string_pretty(&Inputs { files, stages });
    text.map(|text| text + "\n").map_err(|error| MergeError::Task(format!("cannot write {INPUTS}: {error}")))
}

/// The identities that a result at `root` keeps, and when its merge began; none where it keeps none that can be read, or no time.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn read_inputs(sources: &Sources, root: &Path) -> Result<(Vec<Files>, SystemTime), MergeError> {
    let path = root.join(INPUTS);
    let none = (Vec::new(), SystemTime::UNIX_EPOCH);
    let Some(text) = sources.read_if_there(&path)? else { return Ok(none) };
    let Some(begun) = sources.date(&path)? else { return Ok(none) };
    Ok((serde_json::from_slice(&text).map_or_else(|_| Vec::new(), |inputs: Inputs| inputs.files), begun))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_file_that_is_touched_in_any_way_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shard");
        fs::write(&path, "one").unwrap();
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        let own = || identity(&fs::metadata(&path).unwrap()).text;
        let first = own();
        assert_eq!(first, own());
        // same length, and the time of writing set back
        fs::write(&path, "two").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
        let second = own();
        assert_ne!(second, first);
        fs::write(folder.path().join("other"), "two").unwrap();
        fs::rename(folder.path().join("other"), &path).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
        assert_ne!(own(), second);
    }

    #[test]
    fn files_behind_stages_are_kept_once_and_belong_to_no_model() {
        let own = |name: &str| Identity::of(name);
        let text = write_inputs(vec![vec![own("x")], Vec::new()], vec![own("c"), own("b"), own("c")]).unwrap();
        let Inputs { files, stages } = serde_json::from_str(&text).unwrap();
        assert_eq!((files, stages), (vec![vec!["x".to_owned()], Vec::new()], vec!["b".to_owned(), "c".to_owned()]));
        let text = write_inputs(vec![vec![own("x")]], Vec::new()).unwrap();
        assert_eq!(text, "{\n  \"files\": [\n    [\n      \"x\"\n    ]\n  ]\n}\n", "as without stages");
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(INPUTS), text).unwrap();
        let (files, begun) = read_inputs(&Sources::mounted(), folder.path()).unwrap();
        assert_eq!(files, [["x"]]);
        assert!(begun > SystemTime::UNIX_EPOCH);
    }

    #[test]
    fn what_was_changed_a_moment_before_the_merge_is_not_relied_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shard");
        fs::write(&path, "one").unwrap();
        let own = identity(&fs::metadata(&path).unwrap());
        let changed = own.changed.unwrap();
        assert!(!own.is(&own.text, changed + Duration::from_millis(1999)));
        assert!(own.is(&own.text, changed + Duration::from_secs(2)));
        assert!(!own.is("another", changed + Duration::from_secs(2)));
        let object = |version| of_object("s3://bucket/shard", &Stamp { bytes: 1, modified: 0, version });
        assert!(object(7).is(&object(7).text, changed) && !object(7).is(&object(8).text, changed));
        assert!(!object(0).is(&object(0).text, changed), "it has no version");
    }
}
