//! Work inside this process: a fleet of one is started for it, with its state beside the output, or in the temporary folder where the
//! output is in a store.
//!
//! What a resume needs lies in the output, so the state of a process that was killed is not continued: a new coordinator
//! starts with an empty store, and the work finds what is done.

use super::{Work, watch};
use crate::{
    client::verdict,
    console::Console,
    error::{Error, Result},
    exit::Exit,
    local::{Limits, Local},
    request_id,
    signals::Signals,
};
use braid_merge::url;
use braid_proto::v1::Job;
use std::{
    ffi::OsString,
    fs,
    fs::{File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::time::sleep;

/// How long another process may hold the folder before it is believed to live. One that was killed lets go of its files only
/// after its memory, which takes the longer the more it had.
const LETTING_GO: Duration = Duration::from_secs(5);

pub(super) async fn run(work: &Work<'_>, limits: Limits, console: &Console) -> Result<Job> {
    let mut signals = Signals::listen()?;
    let state = State::of(work.out).await?;
    let mut local = Local::start(state.path(), limits).await?;
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
        None => verdict(&job).map(|()| job),
    }
}

/// Where the state of this process lies; removed when dropped.
enum State {
    Beside(StateFolder),
    Temporary(TempDir),
}

impl State {
    async fn of(out: &Path) -> Result<Self> {
        if url(out).is_some() {
            let cannot = |error| Error::unavailable(format!("cannot create a temporary folder: {error}"));
            return tempfile::Builder::new().prefix("braid-state-").tempdir().map(Self::Temporary).map_err(cannot);
        }
        StateFolder::claim(out, LETTING_GO).await.map(Self::Beside)
    }

    fn path(&self) -> &Path {
        match self {
            Self::Beside(folder) => &folder.path,
            Self::Temporary(folder) => folder.path(),
        }
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
    /// Takes the folder `.OUT.braid-state` beside OUT, empty. Waits so long for another process to end.
    async fn claim(out: &Path, patience: Duration) -> Result<Self> {
        let cannot = |what: &str, path: &Path, error: &io::Error| {
            Error::unavailable(format!("cannot {what} {}: {error}", path.display())).with_hint(
                "the state of this process lies beside the result while it runs: put the result where this user may write",
            )
        };
        let (Some(parent), Some(name)) = (out.parent(), out.file_name()) else {
            return Err(Error::usage(format!("{} is no name of a folder that can be made", out.display())));
        };
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(".braid-state");
        let path = parent.join(hidden);
        let made = parent.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
        let name = path.join("lock");
        let begun = Instant::now();
        let lock = loop {
            // Opened anew each time: who ends in order removes the folder and the file with it.
            fs::create_dir_all(&path).map_err(|error| cannot("create", &path, &error))?;
            let lock = File::create(&name).map_err(|error| cannot("create", &name, &error))?;
            match lock.try_lock() {
                Ok(()) if is_at(&lock, &name) => break lock,
                Ok(()) | Err(TryLockError::WouldBlock) if begun.elapsed() < patience => sleep(Duration::from_millis(20)).await,
                Ok(()) | Err(TryLockError::WouldBlock) => {
                    let text = format!("another process is writing into {}", out.display());
                    return Err(Error::new(Exit::NotFoundOrConflict, text));
                }
                Err(TryLockError::Error(error)) => return Err(cannot("lock", &name, &error)),
            }
        };
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

/// Whether this open file is the one of this name.
fn is_at(file: &File, name: &Path) -> bool {
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    file.metadata().map(id).ok().is_some_and(|ours| fs::metadata(name).is_ok_and(|theirs| id(theirs) == ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn one_process_at_a_time_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        fs::create_dir(folder.path().join(".out.braid-state")).unwrap();
        fs::write(folder.path().join(".out.braid-state/state.redb"), "old").unwrap();
        let state = StateFolder::claim(&out, SHORT).await.unwrap();
        assert!(!state.path.join("state.redb").exists(), "the state of a killed process is not continued");
        let error = StateFolder::claim(&out, SHORT).await.err().unwrap();
        assert_eq!(error.exit.code(), 3);
        assert!(StateFolder::claim(&folder.path().join("other"), SHORT).await.is_ok());
        drop(state);
        drop(StateFolder::claim(&folder.path().join("a/b/out"), SHORT).await.unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(StateFolder::claim(Path::new("/"), SHORT).await.err().unwrap().exit.code(), 2);
    }
    #[tokio::test]
    async fn a_process_that_ends_is_waited_for_whether_it_leaves_the_folder_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let name = folder.path().join(".out.braid-state/lock");
        for killed in [true, false] {
            let (held, state) = if killed {
                fs::create_dir(folder.path().join(".out.braid-state")).unwrap();
                let held = File::create(&name).unwrap();
                held.lock().unwrap();
                (Some(held), None)
            } else {
                (None, Some(StateFolder::claim(&out, SHORT).await.unwrap()))
            };
            let end = async {
                sleep(2 * SHORT).await;
                drop((held, state));
            };
            let (next, ()) = tokio::join!(StateFolder::claim(&out, Duration::from_secs(60)), end);
            let _next = next.unwrap();
            assert!(StateFolder::claim(&out, SHORT).await.is_err(), "the lock is where others look for it");
        }
    }
}
