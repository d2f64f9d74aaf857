//! A worker process.

use super::{Host, Process, Scratch, run};
use rustix::process::Signal;

/// How to start one.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkerSetup {
    pub(crate) token: Option<String>,
    /// As `--threads`; without one, 1: tests share a machine.
    pub(crate) threads: Option<usize>,
    /// As `--memory`.
    pub(crate) memory: Option<String>,
    /// With TLS: `token` is one to join with.
    pub(crate) secure: bool,
    /// Where it runs, unless that is this machine.
    pub(crate) host: Option<Host>,
    /// Whether it measures its node.
    pub(crate) measures: bool,
    pub(crate) environment: Vec<(String, String)>,
}

/// A worker, with its name in a folder of its own.
#[derive(Debug)]
pub(crate) struct Worker {
    process: Process,
    join: String,
    setup: WorkerSetup,
    scratch: Scratch,
}

impl Worker {
    /// Starts one that joins the coordinator at this address.
    pub(crate) fn spawn(join: &str) -> Self {
        Self::start(join, WorkerSetup::default())
    }

    pub(crate) fn start(join: &str, setup: WorkerSetup) -> Self {
        let scratch = Scratch::new();
        let process = launch(&scratch, &setup, join);
        Self { process, join: join.to_owned(), setup, scratch }
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    pub(crate) fn kill9(&mut self) {
        self.process.kill9();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// What it wrote to its log, in all its lives.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Starts it again as the same node; kills it first if it still runs.
    pub(crate) fn restart(&mut self) {
        self.process.kill9();
        self.process = launch(&self.scratch, &self.setup, &self.join);
    }
}

fn launch(scratch: &Scratch, setup: &WorkerSetup, join: &str) -> Process {
    let mut command = run::command_on(setup.host.as_ref(), scratch.path());
    command.args(["worker", "--join", join, "--data-dir", "data"]);
    // So many start that it would take longer than what they run.
    command.args(["--measure", if setup.measures { "once" } else { "never" }]);
    if !setup.secure {
        command.arg("--insecure");
    }
    command.envs(setup.environment.iter().cloned());
    command.args(["--threads", &setup.threads.unwrap_or(1).to_string()]);
    for (flag, value) in [("--token", &setup.token), ("--memory", &setup.memory)] {
        if let Some(value) = value {
            command.args([flag, value]);
        }
    }
    Process::spawn("worker", command, &scratch.join("worker.log"))
}
