//! One group: made, limited, killed as a whole, asked what became of it, removed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How long the kernel may take to bury what was killed, before its group is left to the next worker.
const BURIAL: Duration = Duration::from_secs(2);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// A cgroup that this process made. Dropping it kills what is in it and removes it.
#[derive(Debug)]
pub(crate) struct Group {
    folder: Option<PathBuf>,
}

impl Group {
    /// Makes one below `place`. One of the same name that is left of a former worker is ended first.
    pub(crate) fn make(place: &Path, name: &str) -> io::Result<Self> {
        let folder = place.join(name);
        match fs::create_dir(&folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Its limit and what it counts are those of another.
                drop(Self { folder: Some(folder.clone()) });
                match fs::create_dir(&folder) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => {}
                }
            }
            Err(error) => return Err(error),
        }
        Ok(Self { folder: Some(folder) })
    }

    /// Bounds the memory of all that is in it, swap included; who exceeds it ends with all others in it.
    pub(crate) fn limit(&self, bytes: u64) -> io::Result<()> {
        self.write("memory.max", &bytes.to_string())?;
        self.write("memory.oom.group", "1")?;
        match self.write("memory.swap.max", "0") {
            // A kernel without swap has no such file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        // Empty only after `keep` and in `drop`, which own it.
        self.folder.as_deref().unwrap_or_else(|| Path::new(""))
    }

    /// Kills all that is in it, however it got there.
    pub(crate) fn kill(&self) {
        // A kernel older than 5.14 has no such file: then the process group's end is all there is.
        let _ = self.write("cgroup.kill", "1");
    }

    /// Whether the kernel killed something in it because it wanted more memory than it may have.
    pub(crate) fn ran_out(&self) -> bool {
        let events = fs::read_to_string(self.folder().join("memory.events")).unwrap_or_default();
        field(&events, "oom_kill") > 0 || field(&events, "oom_group_kill") > 0
    }

    /// Leaves it as it is from now on.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.folder.take().unwrap_or_default()
    }

    /// To a file that the kernel has there already.
    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        use io::Write as _;
        fs::OpenOptions::new().write(true).open(self.folder().join(file))?.write_all(text.as_bytes())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(folder) = self.folder.clone() else { return };
        self.kill();
        let until = Instant::now() + BURIAL;
        while let Err(error) = fs::remove_dir(&folder) {
            if error.kind() == io::ErrorKind::NotFound {
                return;
            }
            if error.kind() != io::ErrorKind::ResourceBusy || Instant::now() >= until {
                tracing::warn!("the cgroup {} stays: {error}", folder.display());
                return;
            }
            thread::sleep(PAUSE);
        }
    }
}

/// A number of a file with a name and a number on each line.
fn field(text: &str, name: &str) -> u64 {
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(value).unwrap_or(0)
}
