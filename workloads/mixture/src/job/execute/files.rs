//! Files and folders that appear whole or not at all: written under another name, flushed, and renamed.

use crate::job::JobError;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// Reads a file of JSON; none where there is no file.
pub(in crate::job) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, JobError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(JobError::file("read", path)(error)),
    };
    let unreadable = |error: serde_json::Error| JobError::Unreadable { path: path.to_owned(), problem: error.to_string() };
    serde_json::from_str(&text).map(Some).map_err(unreadable)
}

/// Writes a file of JSON in place of what is there. `attempt` is a name that nobody else writes under.
pub(in crate::job) fn write_json<T: Serialize>(path: &Path, value: &T, attempt: &str) -> Result<(), JobError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| JobError::file("write", path)(error.into()))?;
    write(path, (text + "\n").as_bytes(), attempt)
}

/// Writes a file in place of what is there.
pub(in crate::job) fn write(path: &Path, bytes: &[u8], attempt: &str) -> Result<(), JobError> {
    let fresh = beside(path, attempt);
    let written = fs::write(&fresh, bytes).and_then(|()| File::open(&fresh)).and_then(|file| file.sync_all());
    written.map_err(JobError::file("write", &fresh))?;
    fs::rename(&fresh, path).map_err(JobError::file("rename", &fresh))?;
    sync_parent(path)
}

/// Makes a folder, filled by `fill`. One that is there already, whole, is left alone: whoever made it made the same.
pub(super) fn folder(path: &Path, attempt: &str, fill: impl FnOnce(&Path) -> Result<(), JobError>) -> Result<(), JobError> {
    if path.is_dir() {
        return Ok(());
    }
    let fresh = beside(path, attempt);
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(JobError::file("remove", &fresh))?;
    }
    fs::create_dir_all(&fresh).map_err(JobError::file("create", &fresh))?;
    let made = fill(&fresh).and_then(|()| {
        File::open(&fresh).and_then(|folder| folder.sync_all()).map_err(JobError::file("flush", &fresh))?;
        match fs::rename(&fresh, path) {
            Err(_) if path.is_dir() => Ok(()),
            renamed => renamed.map_err(JobError::file("rename", &fresh)),
        }
    });
    // What is left of a failure, or of coming second, is of no use to anybody.
    let _ = fs::remove_dir_all(&fresh);
    made?;
    sync_parent(path)
}

/// The folder of a run that is its trainer's own, whatever it keeps there.
pub(super) const TRAINER: &str = "trainer";

/// Removes what attempts that were killed have left in a folder and those below it.
pub(in crate::job) fn sweep(folder: &Path) -> Result<(), JobError> {
    for entry in fs::read_dir(folder).map_err(JobError::file("read", folder))? {
        let entry = entry.map_err(JobError::file("read", folder))?;
        let (path, is_folder) = (entry.path(), entry.file_type().is_ok_and(|kind| kind.is_dir()));
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(JobError::file("remove", &path))?;
        } else if is_folder && entry.file_name() != TRAINER {
            sweep(&path)?;
        }
    }
    Ok(())
}

fn sync_parent(path: &Path) -> Result<(), JobError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    File::open(parent).and_then(|folder| folder.sync_all()).map_err(JobError::file("flush", parent))
}

fn beside(path: &Path, attempt: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{attempt}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_once_and_never_half() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("made");
        let fail = |fresh: &Path| {
            fs::write(fresh.join("part"), "x").unwrap();
            Err(JobError::Task("broke".into()))
        };
        assert!(folder(&path, "1", fail).is_err());
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "nothing is left of a failure");
        let other = path.clone();
        let both = |fresh: &Path| {
            // Another attempt is done first.
            folder(&other, "2", |fresh| fs::write(fresh.join("whole"), "2").map_err(JobError::file("write", fresh)))?;
            fs::write(fresh.join("whole"), "1").map_err(JobError::file("write", fresh))
        };
        folder(&path, "1", both).unwrap();
        assert_eq!(fs::read_to_string(path.join("whole")).unwrap(), "2");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
        folder(&path, "3", |_| unreachable!("it is there")).unwrap();
        fs::write(place.path().join("made/.left.4"), "x").unwrap();
        fs::create_dir(place.path().join(".left.5")).unwrap();
        sweep(place.path()).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    }

    #[test]
    fn json_reads_back() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.json");
        assert_eq!(read::<Vec<f64>>(&path).unwrap(), None);
        let values = vec![0.1, 1.0 / 3.0, f64::MIN_POSITIVE];
        write_json(&path, &values, "1").unwrap();
        assert_eq!(read::<Vec<f64>>(&path).unwrap(), Some(values));
        fs::write(&path, "[1").unwrap();
        assert!(read::<Vec<f64>>(&path).unwrap_err().to_string().contains("a.json: EOF"));
    }
}
