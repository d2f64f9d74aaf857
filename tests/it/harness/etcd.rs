//! An etcd server of the test's own.

use super::{Process, Scratch, eventually};
use std::{
    net::{TcpListener, TcpStream},
    process::Command,
    time::Duration,
};

/// One server on loopback with its data in a folder of its own.
#[derive(Debug)]
pub(crate) struct Etcd {
    process: Process,
    client: u16,
    peer: u16,
    scratch: Scratch,
}

impl Etcd {
    /// Starts one and waits until it answers.
    pub(crate) fn spawn() -> Self {
        let scratch = Scratch::new();
        let (client, peer) = (free_port(), free_port());
        let process = launch(&scratch, client, peer);
        Self { process, client, peer, scratch }
    }

    /// As `--store` takes it.
    pub(crate) fn url(&self) -> String {
        format!("etcd://127.0.0.1:{}", self.client)
    }

    pub(crate) fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Starts it again with the same data.
    pub(crate) fn restart(&mut self) {
        self.process.kill9();
        self.process = launch(&self.scratch, self.client, self.peer);
    }
}

fn launch(scratch: &Scratch, client: u16, peer: u16) -> Process {
    let (client_url, peer_url) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let mut command = Command::new("etcd");
    command.args(["--name", "test", "--log-level", "warn", "--data-dir"]).arg(scratch.join("etcd"));
    command.args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url]);
    command.args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url]);
    command.args(["--initial-cluster", &format!("test={peer_url}")]);
    let mut process = Process::spawn("etcd", command, &scratch.join("etcd.log"));
    let address = ([127, 0, 0, 1], client).into();
    eventually("etcd", || {
        assert!(process.is_running(), "etcd has ended:\n{}", process.log());
        TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()
    });
    process
}

/// A port that was free a moment ago: etcd cannot say which one it got.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
