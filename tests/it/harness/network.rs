//! A network of the test's own: hosts in network namespaces on one bridge, each of which can be cut off and joined again.
//!
//! What is cut off gets no packet and is not told: its port of the bridge is disabled, its own link stays up. It takes root and
//! `ip`; nothing outside of the namespaces is touched.

#![cfg_attr(not(feature = "etcd"), allow(dead_code))]

use super::run;
use std::process::Command;

/// Where hosts of a network are: nobody else can see these addresses.
const PREFIX: &str = "10.77.0";

/// Hosts and the bridge between them; gone when dropped.
#[derive(Debug)]
pub(crate) struct Network {
    name: String,
    hosts: Vec<Host>,
}

/// A machine, as far as its network tells.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    namespace: String,
    port: String,
    /// Its IP address.
    pub(crate) address: String,
}

impl Network {
    /// So many hosts, or why there can be none here.
    pub(crate) fn of(count: usize) -> Result<Self, String> {
        let name = format!("braid-it-{}-{:04x}", std::process::id(), fastrand::u16(..));
        let mut network = Self { name, hosts: Vec::new() };
        ip(&["netns", "add", &network.name])?;
        let hub = network.name.clone();
        ip(&["-n", &hub, "link", "add", "bridge", "type", "bridge"])?;
        ip(&["-n", &hub, "link", "set", "bridge", "up"])?;
        for number in 1..=count {
            let (namespace, port) = (format!("{hub}-{number}"), format!("port{number}"));
            let address = format!("{PREFIX}.{number}");
            ip(&["netns", "add", &namespace])?;
            network.hosts.push(Host { namespace: namespace.clone(), port: port.clone(), address: address.clone() });
            ip(&["-n", &hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &namespace])?;
            ip(&["-n", &namespace, "address", "add", &format!("{address}/24"), "dev", "eth0"])?;
            ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
            ip(&["-n", &namespace, "link", "set", "eth0", "up"])?;
            ip(&["-n", &hub, "link", "set", &port, "master", "bridge", "up"])?;
        }
        Ok(network)
    }

    pub(crate) fn host(&self, number: usize) -> &Host {
        &self.hosts[number]
    }

    /// From now on nothing reaches this host, and nothing that it sends arrives.
    pub(crate) fn cut(&self, host: &Host) {
        self.set_port(host, "0");
    }

    pub(crate) fn heal(&self, host: &Host) {
        self.set_port(host, "3");
    }

    fn set_port(&self, host: &Host, state: &str) {
        let args = ["netns", "exec", &self.name, "bridge", "link", "set", "dev", &host.port, "state", state];
        ip(&args).unwrap_or_else(|error| panic!("{error}"));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What still runs in one keeps it until it ends; only the name goes now.
        for name in self.hosts.iter().map(|host| &host.namespace).chain([&self.name]) {
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

impl Host {
    /// The command that runs a program on this host.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, program]);
        command
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let mut command = Command::new("ip");
    command.args(args);
    let run = run::try_finish(command).map_err(|error| format!("ip: {error}"))?;
    if run.code == Some(0) { Ok(()) } else { Err(format!("ip {}: {}", args.join(" "), run.stderr.trim())) }
}
