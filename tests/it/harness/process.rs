//! One child process: its output, its signals, its figures.

use super::{PATIENCE, eventually};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// A child that is killed when the value is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
    /// How long the log was when it was started.
    log_begins: u64,
}

impl Process {
    /// Starts `command`; stdout is a pipe, stderr goes to `log` (appended, so that a restart keeps what was there).
    pub(crate) fn spawn(name: &str, mut command: Command, log: &Path) -> Self {
        command.stdout(Stdio::piped());
        Self::spawn_into(name, command, log)
    }

    /// The same with stdout where the command has it.
    pub(crate) fn spawn_into(name: &str, mut command: Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let log_begins = file.metadata().unwrap().len();
        let child =
            command.stdin(Stdio::null()).stderr(file).spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { child, name: name.to_owned(), log: log.to_owned(), log_begins }
    }

    /// The first line of stdout. What follows is read and thrown away, so that the child never blocks on it.
    pub(crate) fn first_line(&mut self) -> String {
        self.first_lines::<1>().into_iter().next().unwrap_or_default()
    }

    /// So many lines of stdout. What follows is read and thrown away.
    pub(crate) fn first_lines<const N: usize>(&mut self) -> [String; N] {
        let stdout = self.child.stdout.take().expect("the first lines are asked for once");
        let lines = lines_of(stdout, N);
        std::array::from_fn(|_| match lines.recv_timeout(PATIENCE) {
            Ok(line) if !line.is_empty() => line.trim_end().to_owned(),
            _ => panic!("{} printed no line; its log:\n{}", self.name, self.log()),
        })
    }

    /// Stops reading its stdout, which was never asked for.
    pub(crate) fn close_stdout(&mut self) {
        drop(self.child.stdout.take());
    }

    /// What it wrote to stderr so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it wrote to stderr since this process began.
    pub(crate) fn log_of_this_life(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(log.get(self.log_begins as usize..).unwrap_or_default()).into_owned()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // A child that has ended keeps its id until it is waited for, and only this value waits.
        kill_process(self.pid(), signal).unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.name));
    }

    /// `kill -9`, and gone when this returns.
    pub(crate) fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let name = format!("the end of {}", self.name);
        eventually(&name, || self.child.try_wait().unwrap())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The most memory that it ever had in RAM, in bytes; `None` once it has ended.
    pub(crate) fn peak_rss(&self) -> Option<u64> {
        self.status("VmHWM:")
    }

    /// The memory that it has in RAM now, in bytes.
    pub(crate) fn rss(&self) -> u64 {
        self.status("VmRSS:").unwrap_or_else(|| panic!("{} has ended", self.name))
    }

    fn status(&self, field: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? << 10)
    }

    /// Processor time of all its threads so far.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let after_name = stat.rsplit_once(')').expect("the name is in parentheses").1;
        let ticks: u64 = after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
        if thread::panicking() {
            eprintln!("--- log of {}\n{}", self.name, self.log());
        }
    }
}

fn lines_of(stdout: ChildStdout, count: usize) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::sync_channel(count);
    thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        for _ in 0..count {
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = send.send(line);
        }
        let _ = stdout.read_to_end(&mut Vec::new());
    });
    receive
}
