//! Work inside this process: a fleet of one is started for it, with its state beside the output.
//!
//! What a resume needs lies in the output, so the state of a process that was killed is not continued: a new coordinator
//! starts with an empty store, and the work finds what is done.

use super::{Work, watch};
use crate::{
    console::Console,
    error::{Error, Result},
    exit::Exit,
    local::{Limits, Local},
    request_id,
    signals::Signals,
};
use std::{
    ffi::OsString,
    fs,
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Instant,
};

pub(super) async fn run(work: &Work<'_>, limits: Limits, console: &Console, start: Instant) -> Result {
    let mut signals = Signals::listen()?;
    let state = StateFolder::claim(work.out)?;
    let mut local = Local::start(&state.path, limits).await?;
    let client = local.client().clone();
    let ended = async {
        let job = client.submit(work.kind, work.spec.clone(), request_id::random()).await?;
        console.note(&job.label);
        watch::to_the_end(&client, job.id, work.shows, &mut signals, local.broken(), console).await
    }
    .await;
    local.stop().await;
    drop(state);
    let job = ended?;
    match job.failure {
        // Its number is of no use to anyone: the job ends with the process.
        Some(failure) => Err(Error { hint: failure.hint, ..Error::new(Exit::JobFailed, failure.message) }),
        None => watch::conclude(&job, work.out, start.elapsed(), console),
    }
}

/// The folder of the store, for this process alone; removed when dropped.
struct StateFolder {
    path: PathBuf,
    /// The folders above that were made for it, the lowest first.
    made: Vec<PathBuf>,
    _lock: File,
}

impl StateFolder {
    /// Takes the folder `.OUT.braid-state` beside OUT, empty.
    fn claim(out: &Path) -> Result<Self> {
        let cannot =
            |what: &str, path: &Path, error: &io::Error| Error::unavailable(format!("cannot {what} {}: {error}", path.display()));
        let (Some(parent), Some(name)) = (out.parent(), out.file_name()) else {
            return Err(Error::usage(format!("{} is no name of a folder that can be made", out.display())));
        };
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(".braid-state");
        let path = parent.join(hidden);
        let made = parent.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
        fs::create_dir_all(&path).map_err(|error| cannot("create", &path, &error))?;
        let name = path.join("lock");
        let lock = File::create(&name).map_err(|error| cannot("create", &name, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(Exit::NotFoundOrConflict, format!("another process is writing into {}", out.display())));
            }
            Err(TryLockError::Error(error)) => return Err(cannot("lock", &name, &error)),
        }
        let claimed = Self { path, made, _lock: lock };
        claimed.clear().map_err(|error| cannot("clear", &claimed.path, &error))?;
        Ok(claimed)
    }

    /// Removes what a killed process left, but not the lock.
    fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name() == "lock" {
                continue;
            }
            if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) }?;
        }
        Ok(())
    }
}

impl Drop for StateFolder {
    fn drop(&mut self) {
        // The next run clears what cannot be removed now.
        let _ = fs::remove_dir_all(&self.path);
        // Those that hold a result or a staging folder by now are not empty and stay.
        let _ = self.made.iter().try_for_each(fs::remove_dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        fs::create_dir(folder.path().join(".out.braid-state")).unwrap();
        fs::write(folder.path().join(".out.braid-state/state.redb"), "old").unwrap();
        let state = StateFolder::claim(&out).unwrap();
        assert!(!state.path.join("state.redb").exists(), "the state of a killed process is not continued");
        let error = StateFolder::claim(&out).err().unwrap();
        assert_eq!(error.exit.code(), 3);
        assert!(StateFolder::claim(&folder.path().join("other")).is_ok());
        drop(state);
        drop(StateFolder::claim(&folder.path().join("a/b/out")).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(StateFolder::claim(Path::new("/")).err().unwrap().exit.code(), 2);
    }
}
