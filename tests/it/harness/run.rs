//! One run of the command from start to end, as its user sees it.

use super::{Host, PATIENCE, Scratch};
use std::{
    ffi::OsStr,
    fmt,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// What a run left: its exit code and both channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The command in `folder`, with nothing of the caller's environment that could change what it says.
pub(crate) fn command(folder: &Path) -> Command {
    command_on(None, folder)
}

/// The same on a host of a network of the test's own.
pub(crate) fn command_on(host: Option<&Host>, folder: &Path) -> Command {
    let program = env!("CARGO_BIN_EXE_braid");
    let mut command = host.map_or_else(|| Command::new(program), |host| host.command(program));
    for variable in [
        "BRAID_COORDINATOR",
        "BRAID_CREDENTIALS",
        "BRAID_INSECURE",
        "BRAID_TOKEN",
        "BRAID_LOG",
        "BRAID_MERGE_ON",
        "BRAID_TRAIN_ON",
        "RUST_BACKTRACE",
        "COLUMNS",
    ] {
        command.env_remove(variable);
    }
    command.env("NO_COLOR", "1").env("XDG_CONFIG_HOME", folder.join(".config")).current_dir(folder);
    command
}

/// Runs the command in `folder` to its end.
pub(crate) fn braid<S: AsRef<OsStr>>(folder: &Path, args: impl IntoIterator<Item = S>) -> Run {
    let mut command = command(folder);
    command.args(args);
    finish(command)
}

/// Runs a command to its end, however much it prints.
pub(crate) fn finish(command: Command) -> Run {
    try_finish(command).unwrap()
}

/// The same where the program may be missing.
pub(super) fn try_finish(mut command: Command) -> std::io::Result<Run> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let id = rustix::process::Pid::from_child(&child);
    let (send, receive) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || send.send(child.wait_with_output()));
    let Ok(output) = receive.recv_timeout(PATIENCE) else {
        // Not waited for yet, so the id is still its own.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
        let output = receive.recv().unwrap().unwrap();
        panic!("{command:?} did not end within {PATIENCE:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    };
    let output = output.unwrap();
    Ok(Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    })
}

impl Scratch {
    /// Runs the command in this folder to its end.
    pub(crate) fn braid<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        braid(self.path(), args)
    }
}

impl Run {
    /// The run, which must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// Stdout as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
        write!(f, "exit: {code}\n--- stdout\n{}--- stderr\n{}", self.stdout, self.stderr)
    }
}

/// What differs from run to run, and what stands for it in a snapshot.
pub(crate) fn filters(scratch: &Scratch) -> Vec<(String, &'static str)> {
    let goldens = super::goldens();
    vec![
        (literal(scratch.path()), "[DIR]"),
        (literal(&goldens), "[GOLDENS]"),
        (r"127\.0\.0\.1:\d+".into(), "127.0.0.1:[PORT]"),
        (r"\d+(\.\d+)? [kMG]?B/s".into(), "[RATE]"),
        (r"\b\d+(\.\d+)? (ms|s)\b".into(), "[TIME]"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ".into(), "[DATE]"),
    ]
}

fn literal(path: &Path) -> String {
    let mut pattern = String::new();
    for c in path.to_string_lossy().chars() {
        if !c.is_ascii_alphanumeric() && c != '/' {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// Compares a whole run with what its user should see.
#[macro_export]
macro_rules! see {
    ($scratch:expr, $run:expr, @$expected:literal) => {{
        let mut settings = insta::Settings::clone_current();
        for (pattern, name) in $crate::harness::filters(&$scratch) {
            settings.add_filter(&pattern, name);
        }
        let run = $run;
        settings.bind(|| insta::assert_snapshot!(run.to_string(), @$expected));
    }};
}

/// How long `act` takes.
pub(crate) fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = act();
    (value, start.elapsed())
}
