//! Memory limits that the kernel keeps: a cgroup (version 2) for each program that has one.
//!
//! ```text
//!   the worker's cgroup ─┬─ braid-worker          the worker itself, its guard, and programs without a limit
//!   (delegated to it)    ├─ braid-41-7.3-1        memory.max, memory.oom.group; one attempt, with all that it starts
//!                        └─ braid-41-7.4-1
//! ```
//! Only where somebody gave this process a cgroup to divide (systemd's `Delegate=`, a container of its own) and the memory
//! controller is there; elsewhere programs are watched instead, as [`execute`](crate::CommandExecute) does. A cgroup with children
//! that have limits may hold no process itself: that is why the worker moves down.
//!
//! A program is born inside: it is started through a launcher, which enters the cgroup and then becomes the program. What it
//! starts cannot leave, whatever groups and sessions it makes, and ends with it.

mod enter;
mod group;
mod place;

pub use enter::enter;
pub(crate) use group::Group;

use braid_workload::{AttemptId, TaskId};
use place::Place;
use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// The names of all groups of programs begin so.
const PREFIX: &str = "braid-";
/// The group of the worker itself.
const OWN: &str = "braid-worker";

/// A program that enters a group and becomes another: it calls [`enter`].
#[derive(Debug, Clone)]
pub struct Launcher {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
}

impl Launcher {
    /// This program with these arguments, and after them the folder of the group, the file of the program, its name, and what follows.
    pub fn new(program: impl Into<PathBuf>, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self { program: program.into(), arguments: arguments.into_iter().map(Into::into).collect() }
    }
}

/// Where this process may make groups; found out when the first is asked for.
#[derive(Debug)]
pub(crate) struct Cgroups {
    launcher: Launcher,
    place: OnceLock<Option<PathBuf>>,
}

impl Cgroups {
    pub(crate) fn new(launcher: Launcher) -> Self {
        Self { launcher, place: OnceLock::new() }
    }

    pub(crate) fn launcher(&self) -> &Launcher {
        &self.launcher
    }

    /// A group for an attempt that may hold so many bytes; `None` where there are none, or it cannot be made: then it is watched.
    pub(crate) fn make(&self, task: TaskId, attempt: AttemptId, limit: u64) -> Option<Group> {
        let place = self.place.get_or_init(|| match divide(Path::new("/")) {
            Ok(place) => Some(place),
            Err(why) => {
                tracing::info!("memory limits of programs are watched, not kept by cgroups: {why}");
                None
            }
        });
        let name = format!("{PREFIX}{}-{task}-{}", std::process::id(), attempt.0);
        let made = Group::make(place.as_ref()?, &name).and_then(|group| group.limit(limit).map(|()| group));
        made.inspect_err(|error| tracing::warn!("the memory of {task} is watched: no cgroup for it: {error}")).ok()
    }
}

/// Makes the worker's own cgroup ready to have children with limits. `root`: of the file system.
fn divide(root: &Path) -> Result<PathBuf, String> {
    let place = Place::find(root).map_err(|unfit| unfit.to_string())?;
    place.check(rustix::process::geteuid().is_root()).map_err(|unfit| unfit.to_string())?;
    let folder = place.folder;
    sweep(&folder);
    let control = folder.join("cgroup.subtree_control");
    let enable = || fs::write(&control, "+memory");
    let busy = |error: &io::Error| error.kind() == io::ErrorKind::ResourceBusy;
    let enabled = match enable() {
        Err(error) if busy(&error) => move_down(&folder).and_then(|()| enable()),
        done => done,
    };
    match enabled {
        Ok(()) => Ok(folder),
        Err(error) if busy(&error) => Err(format!("other processes are in {}", folder.display())),
        Err(error) => Err(format!("cannot write {}: {error}", control.display())),
    }
}

/// Moves this process and what it has started into a group of their own. Others stay, and keep the cgroup from being divided.
fn move_down(folder: &Path) -> io::Result<()> {
    let own = Group::make(folder, OWN)?.keep();
    let ours = crate::execute::descendants(i32::try_from(std::process::id()).unwrap_or_default());
    let here = fs::read_to_string(folder.join("cgroup.procs"))?;
    for pid in here.lines().filter_map(|pid| pid.parse::<i32>().ok()).filter(|pid| ours.contains(pid)) {
        // One that has ended meanwhile is in nobody's way.
        let _ = fs::write(own.join("cgroup.procs"), pid.to_string());
    }
    Ok(())
}

/// Removes what a worker that died has left. A group that still has processes stays: it cannot be removed.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let _ = fs::remove_dir(entry.path());
    }
}

#[cfg(test)]
mod tests;
