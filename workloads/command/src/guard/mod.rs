//! The guard: a process beside a worker that ends the worker's programs when the worker is gone, however it went.
//!
//! ```text
//!   worker ──── pipe: "+1234", "-1234" ────▶ guard ── the pipe ends ──▶ SIGKILL to each group, and to whoever carries the mark
//! ```
//! The pipe ends with the worker, `kill -9` included. What the guard was not told of (the worker died between a start and the
//! word of it), and what left its process group, is found by a variable that all programs of a worker inherit. Only what leaves
//! its group and throws its environment away escapes.
//!
//! Not a parent of the programs: it costs one write a program and nothing while they run.

mod serve;
#[cfg(test)]
mod tests;

pub use serve::serve;

use crate::CommandError;
use rustix::process::Pid;
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fmt,
    io::{self, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The variable that all programs of a worker carry; its value is the worker's own.
pub(crate) const MARK: &str = "BRAID_GUARD";

/// This worker's end of its guard, which is started with the first program, and again should it die.
pub struct Guard {
    program: PathBuf,
    arguments: Vec<OsString>,
    mark: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    guard: Option<(Child, ChildStdin)>,
    groups: BTreeSet<i32>,
}

/// A process group that the guard knows of.
#[derive(Debug)]
pub(crate) struct Watched<'a> {
    guard: &'a Guard,
    group: Option<i32>,
}

impl Guard {
    /// One that is started as this program with these arguments and one more, the mark. It must call [`serve`] with its mark.
    pub fn new(program: impl Into<PathBuf>, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            mark: format!("{}-{:016x}", std::process::id(), fastrand::u64(..)),
            state: Mutex::default(),
        }
    }

    /// The value of the variable that this worker's programs carry.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    /// Makes sure that there is one.
    pub(crate) fn prepare(&self) -> Result<(), CommandError> {
        let mut state = self.lock();
        if state.guard.is_some() { Ok(()) } else { self.start(&mut state).map_err(CommandError::Guard) }
    }

    /// Tells it of a group that has just started.
    pub(crate) fn watch(&self, leader: Pid) -> Watched<'_> {
        let group = leader.as_raw_nonzero().get();
        let mut state = self.lock();
        state.groups.insert(group);
        self.tell(&mut state, '+', group);
        Watched { guard: self, group: Some(group) }
    }

    fn tell(&self, state: &mut State, sign: char, group: i32) {
        let told = match &mut state.guard {
            Some((_, pipe)) => pipe.write_all(format!("{sign}{group}\n").as_bytes()).is_ok(),
            None => false,
        };
        // It died; a new one is told of all groups. Should there be none, the next program says why.
        if !told {
            let _ = self.start(state);
        }
    }

    fn start(&self, state: &mut State) -> io::Result<()> {
        if let Some((mut old, pipe)) = state.guard.take() {
            drop(pipe);
            // What it would do now, which is to end programs that are wanted, it must not.
            let _ = old.kill();
            let _ = old.wait();
        }
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg(&self.mark).current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut guard = command.spawn()?;
        let mut pipe = guard.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let groups: String = state.groups.iter().map(|group| format!("+{group}\n")).collect();
        pipe.write_all(groups.as_bytes())?;
        state.guard = Some((guard, pipe));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("program", &self.program).field("mark", &self.mark).finish_non_exhaustive()
    }
}

impl Drop for Guard {
    /// Lets it end whatever is left, and waits for that where there is something.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((mut guard, pipe)) = state.guard.take() {
            drop(pipe);
            if !state.groups.is_empty() {
                let _ = guard.wait();
            }
        }
    }
}

impl Watched<'_> {
    /// Tells the guard that the group is gone, before the system may give its number to another.
    pub(crate) fn forget(&mut self) {
        let Some(group) = self.group.take() else { return };
        let mut state = self.guard.lock();
        state.groups.remove(&group);
        self.guard.tell(&mut state, '-', group);
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}
