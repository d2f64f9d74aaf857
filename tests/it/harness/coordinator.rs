//! A coordinator process.

use super::{Host, Process, Run, Scratch, eventually, ports, run};
use rustix::process::Signal;
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

/// How to start one.
#[derive(Debug, Clone, Default)]
pub(crate) struct CoordinatorSetup {
    /// As `--store`; without one the embedded store.
    pub(crate) store: Option<String>,
    pub(crate) token: Option<String>,
    /// As `--lease`.
    pub(crate) lease: Option<String>,
    /// As `--record`, in its folder.
    pub(crate) record: Option<String>,
    /// With TLS, as it is without `--insecure`.
    pub(crate) secure: bool,
    /// Where it runs, unless that is this machine.
    pub(crate) host: Option<Host>,
    pub(crate) environment: Vec<(String, String)>,
}

/// A coordinator on loopback, with its data in a folder of its own.
#[derive(Debug)]
pub(crate) struct Coordinator {
    process: Process,
    address: String,
    setup: CoordinatorSetup,
    scratch: Scratch,
}

impl Coordinator {
    /// Starts one with this store (`None`: embedded) and waits until it listens.
    pub(crate) fn spawn(store: Option<&str>) -> Self {
        Self::start(CoordinatorSetup { store: store.map(str::to_owned), ..CoordinatorSetup::default() })
    }

    pub(crate) fn start(setup: CoordinatorSetup) -> Self {
        let scratch = Scratch::new();
        let here = setup.host.as_ref().map_or("127.0.0.1", |host| &host.address);
        let (process, address) = launch(&scratch, &setup, &format!("{here}:{}", ports::free(1)[0]));
        Self { process, address, setup, scratch }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What it was started in; its data is in `data`.
    pub(crate) fn folder(&self) -> &Path {
        self.scratch.path()
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

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// What it wrote to stderr so far, of all its lives.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Whether it leads, by what it said last since it was started.
    #[cfg_attr(not(feature = "etcd"), allow(dead_code))]
    pub(crate) fn leads(&self) -> bool {
        let says = |line: &str| {
            let stands_by = || (line.contains("steps down") || line.contains("stands by")).then_some(false);
            line.contains("this coordinator leads").then_some(true).or_else(stands_by)
        };
        self.process.log_of_this_life().lines().rev().find_map(says).unwrap_or(false)
    }

    /// The token of an admin that it leaves when it starts, with TLS.
    pub(crate) fn credentials(&self) -> PathBuf {
        self.scratch.join("data/admin.json")
    }

    /// Starts it again at the same address with the same data; kills it first if it still runs.
    pub(crate) fn restart(&mut self) {
        self.process.kill9();
        (self.process, self.address) = launch(&self.scratch, &self.setup, &self.address);
    }

    /// Runs a verb that talks to this coordinator, in `folder`.
    pub(crate) fn braid_in<S: AsRef<OsStr>>(&self, folder: &Path, args: impl IntoIterator<Item = S>) -> Run {
        run::finish(self.command(folder, args))
    }

    /// The same without a folder that matters.
    pub(crate) fn braid<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        self.braid_in(self.scratch.path(), args)
    }

    /// A verb that talks to this coordinator, not yet started.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, folder: &Path, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = run::command_on(self.setup.host.as_ref(), folder);
        command.args(args).env("BRAID_COORDINATOR", &self.address);
        if self.setup.secure {
            command.env("BRAID_CREDENTIALS", self.credentials());
        } else {
            command.env("BRAID_INSECURE", "1");
        }
        command
    }

    /// Waits until so many nodes are ready.
    pub(crate) fn wait_for_nodes(&self, count: usize) {
        eventually(&format!("{count} ready nodes"), || {
            let nodes = self.braid(["node", "ls", "-o", "json"]).ok().json();
            let ready = nodes["nodes"].as_array().unwrap().iter().filter(|node| node["state"] == "ready").count();
            (ready == count).then_some(())
        });
    }
}

fn launch(scratch: &Scratch, setup: &CoordinatorSetup, listen: &str) -> (Process, String) {
    let mut process = spawn(scratch, setup, listen);
    let line = process.first_line();
    (process, address(&line))
}

fn address(line: &str) -> String {
    line.strip_prefix("listening on ").unwrap_or_else(|| panic!("not an address: {line}")).to_owned()
}

fn spawn(scratch: &Scratch, setup: &CoordinatorSetup, listen: &str) -> Process {
    let mut command = run::command_on(setup.host.as_ref(), scratch.path());
    command.args(["coordinator", "--listen", listen, "--data-dir", "data"]);
    if !setup.secure {
        command.arg("--insecure");
    }
    command.envs(setup.environment.iter().cloned());
    for (flag, value) in
        [("--store", &setup.store), ("--token", &setup.token), ("--lease", &setup.lease), ("--record", &setup.record)]
    {
        if let Some(value) = value {
            command.args([flag, value]);
        }
    }
    Process::spawn("coordinator", command, &scratch.join("coordinator.log"))
}
