//! An etcd of the test's own: a process on loopback with a folder of its own, killed with its owner.

use super::fixture::Fixture;
use crate::store::{Etcd, EtcdOptions, Store, StoreError};
use async_trait::async_trait;
use std::{
    fs::File,
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub(super) struct EtcdProcess {
    child: Child,
    folder: TempDir,
    client: u16,
    peer: u16,
}

impl EtcdProcess {
    /// Starts a cluster of one and waits until it answers.
    pub(super) async fn start() -> Self {
        // Held together so that they differ; another process may take one before etcd does, and then a new pair is tried.
        for _ in 0..5 {
            let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
            let [client, peer] = ports.map(|port| port.local_addr().unwrap().port());
            let folder = tempfile::tempdir().unwrap();
            let child = Self::spawn(&folder, client, peer);
            let mut process = Self { child, folder, client, peer };
            if process.is_up().await {
                return process;
            }
        }
        panic!("etcd does not start");
    }

    fn spawn(folder: &TempDir, client: u16, peer: u16) -> Child {
        let program = std::env::var("ETCD_BIN").unwrap_or_else(|_| "etcd".into());
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let log = File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
        let mut command = Command::new(&program);
        command.args(["--name", "one", "--data-dir"]).arg(folder.path().join("data"));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("one={peer}"), "--heartbeat-interval", "50", "--election-timeout", "500"]);
        // What is set for another etcd of this machine is not for this one.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD_")) {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.spawn().unwrap_or_else(|error| {
            panic!("{program}: {error}; the tests of the feature `etcd` need it (Debian: etcd-server, or set ETCD_BIN)")
        })
    }

    async fn is_up(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            if let Some(status) = self.child.try_wait().unwrap() {
                let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                eprintln!("etcd ended with {status}:\n{log}");
                return false;
            }
            if self.connect(Duration::from_secs(2)).await.is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    pub(super) fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.client)
    }

    pub(super) async fn connect(&self, deadline: Duration) -> Result<Etcd, StoreError> {
        Etcd::connect(&[self.endpoint()], EtcdOptions { deadline, ..EtcdOptions::default() }).await
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after [`EtcdProcess::kill`], with its data, at its address.
    pub(super) async fn start_again(&mut self) {
        self.child = Self::spawn(&self.folder, self.client, self.peer);
        assert!(self.is_up().await, "etcd does not start again");
    }

    /// Stops it in its tracks (`STOP`) or lets it go on (`CONT`).
    pub(super) fn signal(&self, name: &str) {
        // The shell's own kill: a small system has no other.
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for EtcdProcess {
    fn drop(&mut self) {
        // It may have ended already, and there is nothing left to do if not.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) struct InEtcd {
    store: Arc<Etcd>,
    process: EtcdProcess,
}

#[async_trait]
impl Fixture for InEtcd {
    async fn start() -> Self {
        let process = EtcdProcess::start().await;
        Self { store: Arc::new(process.connect(Duration::from_secs(10)).await.unwrap()), process }
    }

    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn writes_per_second(&self) -> f64 {
        5_000.0
    }

    async fn crash(&mut self) {
        self.process.kill();
        self.process.start_again().await;
        self.store = Arc::new(self.process.connect(Duration::from_secs(10)).await.unwrap());
    }
}
