//! An etcd of the test's own: a server, or a cluster of several.

use super::{Host, Process, Scratch, eventually, ports};
use rustix::process::Signal;
use std::{net::TcpStream, process::Command, time::Duration};

/// Servers on loopback, each with its data in a folder of its own.
#[derive(Debug)]
pub(crate) struct Etcd {
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    process: Process,
    command: MemberCommand,
}

/// How a member is started, again and again.
#[derive(Debug)]
struct MemberCommand {
    name: String,
    client: u16,
    peer: u16,
    cluster: String,
    scratch: Scratch,
    host: Option<Host>,
}

impl Etcd {
    /// Starts one server and waits until it answers.
    pub(crate) fn spawn() -> Self {
        Self::cluster(1)
    }

    /// Starts so many servers and waits until each answers.
    pub(crate) fn cluster(count: usize) -> Self {
        Self::on((0..count).map(|_| None).collect())
    }

    /// Starts one server on each of these hosts, of which `None` is this machine.
    pub(crate) fn on(hosts: Vec<Option<Host>>) -> Self {
        let count = hosts.len();
        // etcd cannot say which port it got.
        let ports = ports::free(2 * count);
        let names: Vec<String> = (0..count).map(|n| format!("m{n}")).collect();
        let members = names.iter().zip(&ports).zip(&hosts);
        let cluster: Vec<String> =
            members.map(|((name, peer), host)| format!("{name}=http://{}:{peer}", address(host.as_ref()))).collect();
        let members: Vec<_> = names
            .iter()
            .zip(hosts)
            .enumerate()
            .map(|(n, (name, host))| MemberCommand {
                host,
                name: name.clone(),
                client: ports[count + n],
                peer: ports[n],
                cluster: cluster.join(","),
                scratch: Scratch::new(),
            })
            .map(|command| Member { process: command.launch(), command })
            .collect();
        let mut etcd = Self { members };
        etcd.wait();
        etcd
    }

    /// As `--store` takes it.
    pub(crate) fn url(&self) -> String {
        let endpoints: Vec<_> = self.members.iter().map(|member| member.command.endpoint()).collect();
        format!("etcd://{}", endpoints.join(","))
    }

    /// Kills all servers.
    pub(crate) fn kill9(&mut self) {
        self.members.iter_mut().for_each(|member| member.process.kill9());
    }

    /// Kills one server.
    pub(crate) fn kill9_member(&mut self, which: usize) {
        self.members[which].process.kill9();
    }

    /// Starts one server again with the same data.
    pub(crate) fn restart_member(&mut self, which: usize) {
        let member = &mut self.members[which];
        member.process.kill9();
        member.process = member.command.launch();
    }

    /// Stops one server in its tracks, or lets it go on.
    pub(crate) fn signal_member(&self, which: usize, signal: Signal) {
        self.members[which].process.signal(signal);
    }

    /// Starts all servers again with the same data.
    pub(crate) fn restart(&mut self) {
        self.kill9();
        for member in &mut self.members {
            member.process = member.command.launch();
        }
        self.wait();
    }

    /// Stops all servers in their tracks (`STOP`), or lets them go on (`CONT`).
    pub(crate) fn signal(&self, signal: Signal) {
        self.members.iter().for_each(|member| member.process.signal(signal));
    }

    fn wait(&mut self) {
        for Member { process, command } in &mut self.members {
            eventually("etcd", || {
                assert!(process.is_running(), "etcd has ended:\n{}", process.log());
                command.listens().then_some(())
            });
        }
    }
}

impl MemberCommand {
    fn endpoint(&self) -> String {
        format!("{}:{}", address(self.host.as_ref()), self.client)
    }

    /// Whether it takes connections. Of one on another host the log says so.
    fn listens(&self) -> bool {
        if self.host.is_some() {
            let log = std::fs::read_to_string(self.scratch.join("etcd.log")).unwrap_or_default();
            return log.contains("ready to serve client requests");
        }
        let address = ([127, 0, 0, 1], self.client).into();
        TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
    }

    fn launch(&self) -> Process {
        let (client, peer) =
            (format!("http://{}", self.endpoint()), format!("http://{}:{}", address(self.host.as_ref()), self.peer));
        let mut command = self.host.as_ref().map_or_else(|| Command::new("etcd"), |host| host.command("etcd"));
        let level = if self.host.is_some() { "info" } else { "warn" };
        command.args(["--name", &self.name, "--log-level", level, "--data-dir"]).arg(self.scratch.join("etcd"));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        // Elections of half a second: tests have no patience for etcd's own second and more.
        command.args(["--initial-cluster", &self.cluster, "--heartbeat-interval", "50", "--election-timeout", "500"]);
        Process::spawn("etcd", command, &self.scratch.join("etcd.log"))
    }
}

fn address(host: Option<&Host>) -> &str {
    host.map_or("127.0.0.1", |host| &host.address)
}
