//! One process: started in a group of its own, its output read as it comes, signalled, and ended with all that it started.
//!
//! The group is killed while its dead leader is not yet reaped: until then the system gives its number to nobody else. What left
//! the group and the session keeps running until its worker ends; then the guard finds it. What is in a cgroup cannot leave it, and
//! ends with the program.

use super::{lines::Lines, memory::Watch, outcome::End, program::Program, stop::Stop};
use crate::{
    CommandError, CommandSpec, Launcher,
    cgroup::Group,
    guard::{Guard, Watched},
};
use braid_workload::{LogSource, TaskContext};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::{AsFd, OwnedFd},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid},
};
use std::{
    io::{self, ErrorKind, Read},
    os::unix::process::CommandExt,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

/// How often a program that says nothing is looked at: whether it must stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long output is waited for that somebody still holds open after the program and its group are gone.
const DRAIN: Duration = Duration::from_millis(200);
/// Bytes read at a time.
const CHUNK: usize = 16 << 10;

/// A cgroup that a program is to be born in, and who brings it there.
pub(super) struct Enclosure<'a> {
    pub(super) launcher: &'a Launcher,
    pub(super) group: Group,
}

/// A program that runs.
pub(super) struct Process<'a> {
    child: Child,
    pid: Pid,
    /// Tells when it has ended; none on a system that has no such thing, which is then asked.
    alive: Option<OwnedFd>,
    out: Option<Pipe<ChildStdout>>,
    err: Option<Pipe<ChildStderr>>,
    watched: Watched<'a>,
    /// What holds it and all that it starts, where the kernel keeps its limit.
    group: Option<Group>,
    started: Instant,
}

/// A pipe and what has come of its last line.
struct Pipe<T> {
    end: T,
    lines: Lines,
    source: LogSource,
}

impl<'a> Process<'a> {
    /// Starts a program. Nothing of it forces the standard library off its quick way (`posix_spawn`), which shares the memory of
    /// this process until the program runs.
    pub(super) fn start(
        program: &Program,
        spec: &CommandSpec,
        variables: &[(String, String)],
        guard: &'a Guard,
        enclosure: Option<Enclosure<'_>>,
    ) -> Result<Self, CommandError> {
        guard.prepare()?;
        let mut command = match &enclosure {
            None => {
                let mut command = Command::new(&program.path);
                command.arg0(&program.name);
                command
            }
            Some(Enclosure { launcher, group }) => {
                let mut command = Command::new(&launcher.program);
                command.args(&launcher.arguments).arg(group.folder()).arg(&program.path).arg(&program.name);
                command
            }
        };
        command.args(&program.arguments).current_dir(&spec.dir).process_group(0);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| CommandError::Start { program: program.path.clone(), source })?;
        let pid = Pid::from_child(&child);
        let watched = guard.watch(pid);
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let process = Self {
            child,
            pid,
            alive: pidfd_open(pid, PidfdFlags::empty()).ok(),
            out: out.map(|end| Pipe { end, lines: Lines::default(), source: LogSource::Stdout }),
            err: err.map(|end| Pipe { end, lines: Lines::default(), source: LogSource::Stderr }),
            watched,
            group: enclosure.map(|enclosure| enclosure.group),
            started: Instant::now(),
        };
        for pipe in [process.out.as_ref().map(|pipe| pipe.end.as_fd()), process.err.as_ref().map(|pipe| pipe.end.as_fd())]
            .into_iter()
            .flatten()
        {
            rustix::io::ioctl_fionbio(pipe, true).map_err(|error| system("read the output of a program", error))?;
        }
        Ok(process)
    }

    /// Until it and its whole group have ended.
    pub(super) fn run(mut self, spec: &CommandSpec, context: &TaskContext) -> Result<End, CommandError> {
        context.progress.set_grace(spec.stops_within());
        let mut stop = Stop::new(spec);
        let watched = spec.memory.filter(|_| self.group.is_none());
        let mut memory = watched.map(|limit| Watch::new(self.pid, limit));
        let mut over_memory = false;
        let mut buffer = vec![0; CHUNK];
        loop {
            let now = Instant::now();
            let ran = now - self.started;
            if let Some(signal) = stop.due(ran, context.is_cancelled()) {
                self.signal(signal);
            }
            if memory.as_mut().is_some_and(|memory| memory.exceeded(now)) {
                over_memory = true;
                memory = None;
                self.signal(Signal::KILL);
            }
            let next = stop.next().map(|at| at.saturating_sub(ran));
            let look = memory.as_ref().map(|memory| memory.next() - now);
            let wait = [Some(LOOK_EVERY), next, look].into_iter().flatten().min().unwrap_or(LOOK_EVERY);
            let ended = self.wait(wait)?;
            self.read(&mut buffer, context);
            if ended {
                break;
            }
        }
        // Its group, while its number is still its own; then what is left in the pipes.
        self.signal(Signal::KILL);
        if let Some(group) = &self.group {
            group.kill();
            over_memory = group.ran_out();
        }
        self.drain(&mut buffer, context)?;
        self.watched.forget();
        let status = self.child.wait().map_err(|source| CommandError::System { operation: "wait for a program", source })?;
        // One that lost a child to its limit and ended well all the same did what it was to do.
        Ok(End { status, why: stop.why(), over_memory: over_memory && !status.success() })
    }

    /// Signals the whole group. One that is gone has nobody to tell.
    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.pid, signal);
    }

    /// Waits for output, the end, or so long; whether it has ended. It stays to be reaped.
    fn wait(&self, most: Duration) -> Result<bool, CommandError> {
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(3);
        fds.extend(self.alive.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        fds.extend(self.out.as_ref().map(|pipe| PollFd::new(&pipe.end, PollFlags::IN)));
        fds.extend(self.err.as_ref().map(|pipe| PollFd::new(&pipe.end, PollFlags::IN)));
        wait_for(&mut fds, most)?;
        if self.alive.is_some() && fds.first().is_some_and(|alive| alive.revents().is_empty()) {
            return Ok(false);
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = waitid(WaitId::Pid(self.pid), options).map_err(|error| system("ask after a program", error))?;
        Ok(ended.is_some())
    }

    fn read(&mut self, buffer: &mut [u8], context: &TaskContext) {
        take(&mut self.out, buffer, context);
        take(&mut self.err, buffer, context);
    }

    /// Reads what is left, up to where the pipes end or nobody has written for a while.
    fn drain(&mut self, buffer: &mut [u8], context: &TaskContext) -> Result<(), CommandError> {
        let until = Instant::now() + DRAIN;
        loop {
            self.read(buffer, context);
            let left = until.saturating_duration_since(Instant::now());
            if (self.out.is_none() && self.err.is_none()) || left.is_zero() {
                break;
            }
            let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(2);
            fds.extend(self.out.as_ref().map(|pipe| PollFd::new(&pipe.end, PollFlags::IN)));
            fds.extend(self.err.as_ref().map(|pipe| PollFd::new(&pipe.end, PollFlags::IN)));
            wait_for(&mut fds, left)?;
        }
        finish(self.out.take(), context);
        finish(self.err.take(), context);
        Ok(())
    }
}

impl Drop for Process<'_> {
    /// Whatever went wrong while it ran: it does not go on, and is nobody's zombie.
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Reads what is there; a pipe that has ended is let go of. Stops after a while, so that a program which never stops printing is
/// still looked after.
fn take<T: Read>(pipe: &mut Option<Pipe<T>>, buffer: &mut [u8], context: &TaskContext) {
    const AT_ONCE: usize = 16;
    for _ in 0..AT_ONCE {
        let Some(open) = pipe else { return };
        match open.end.read(buffer) {
            Ok(0) => return finish(pipe.take(), context),
            Ok(read) => {
                let source = open.source;
                open.lines.feed(buffer.get(..read).unwrap_or_default(), |line| context.log_from(source, line));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => return finish(pipe.take(), context),
        }
    }
}

fn finish<T>(pipe: Option<Pipe<T>>, context: &TaskContext) {
    if let Some(Pipe { lines, source, .. }) = pipe {
        lines.finish(|line| context.log_from(source, line));
    }
}

fn wait_for(fds: &mut [PollFd<'_>], most: Duration) -> Result<(), CommandError> {
    let most = Timespec { tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX), tv_nsec: most.subsec_nanos().into() };
    match poll(fds, Some(&most)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(system("wait for a program", error)),
    }
}

fn system(operation: &'static str, error: Errno) -> CommandError {
    CommandError::System { operation, source: io::Error::from(error) }
}
