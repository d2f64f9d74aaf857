//! How the nodes of a fleet are shown.

use super::{
    SCHEMA, View,
    machine::{DeviceView, DiskView, MeasuredView},
    table,
};
use crate::units::{show_bytes, show_duration};
use braid_proto::v1::{self, NodeState};
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// `braid node ls`.
#[derive(Debug, Serialize)]
pub(crate) struct NodeList {
    schema: &'static str,
    nodes: Vec<NodeView>,
}

/// One node, as its worker last described it.
#[derive(Debug, Serialize)]
struct NodeView {
    name: String,
    state: &'static str,
    version: String,
    address: String,
    threads: u32,
    memory: u64,
    kinds: Vec<String>,
    tasks_running: u32,
    bytes_per_second: Option<u64>,
    gpus: u32,
    gpu_kind: String,
    labels: BTreeMap<String, String>,
    cordoned: bool,
    draining: bool,
    drain_until_unix_millis: Option<u64>,
    link_bytes_per_second: Option<u64>,
    disk_bytes_per_second: Option<u64>,
    tasks: Vec<String>,
    disks: Vec<DiskView>,
    measured: Option<MeasuredView>,
    devices: Vec<DeviceView>,
    gpu_driver: Option<String>,
}

/// `braid node show`.
#[derive(Debug, Serialize)]
pub(crate) struct NodeShow {
    schema: &'static str,
    #[serde(flatten)]
    node: NodeView,
}

impl NodeShow {
    pub(crate) fn new(node: v1::Node) -> Self {
        Self { schema: SCHEMA, node: node.into() }
    }
}

impl View for NodeShow {
    fn table(&self, now: u64) -> String {
        let node = &self.node;
        let rate = |rate: Option<u64>| rate.map(|rate| format!("{}/s", show_bytes(rate)));
        let some = |text: String| (!text.is_empty()).then_some(text);
        let pairs = node.labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
        let mut fields = vec![
            ("node", Some(node.name.clone())),
            ("state", Some(state(node))),
            ("drains", node.drain_until_unix_millis.map(|until| drains(until, now))),
            ("version", some(node.version.clone())),
            ("address", some(node.address.clone())),
            ("threads", Some(node.threads.to_string())),
            ("memory", Some(show_bytes(node.memory))),
            ("gpus", (node.gpus > 0).then(|| gpus(node))),
            ("kinds", some(node.kinds.join(", "))),
            ("labels", some(pairs)),
            ("rate", rate(node.bytes_per_second)),
            ("link", rate(node.link_bytes_per_second)),
            ("disk", rate(node.disk_bytes_per_second)),
            ("tasks", Some(if node.tasks.is_empty() { "none".into() } else { node.tasks.join(" ") })),
        ];
        if let Some(measured) = &node.measured {
            fields.push(("measured", Some(measured.text(now))));
        }
        fields.push(("driver", node.gpu_driver.clone()));
        fields.extend(node.devices.iter().map(|device| ("gpu", Some(device.to_string()))));
        fields.extend(node.disks.iter().map(|disk| ("on", Some(disk.to_string()))));
        table::fields(&fields)
    }

    fn names(&self) -> Vec<String> {
        vec![self.node.name.clone()]
    }

    fn is_final(&self) -> bool {
        false
    }
}

/// `ready, cordoned`.
fn state(node: &NodeView) -> String {
    with_access(node.state, node.cordoned, node.draining)
}

/// The word for a node's state, and whether operators keep tasks from it: `ready, draining`.
#[cfg(feature = "tui")]
pub(crate) fn node_word(node: &v1::Node) -> String {
    with_access(word(node.state()), node.cordoned, node.draining)
}

fn with_access(state: &str, cordoned: bool, draining: bool) -> String {
    let access = match (cordoned, draining) {
        (_, true) => ", draining",
        (true, false) => ", cordoned",
        (false, false) => "",
    };
    format!("{state}{access}")
}

fn word(state: NodeState) -> &'static str {
    match state {
        NodeState::Unspecified => "unknown",
        NodeState::Ready => "ready",
        NodeState::Silent => "silent",
        NodeState::Away => "away",
    }
}

fn drains(until: u64, now: u64) -> String {
    match until.checked_sub(now) {
        Some(left) => format!("what runs is stopped in {}", show_duration(Duration::from_millis(left))),
        None => "what ran has been stopped".into(),
    }
}

impl NodeList {
    pub(crate) fn new(nodes: Vec<v1::Node>) -> Self {
        Self { schema: SCHEMA, nodes: nodes.into_iter().map(NodeView::from).collect() }
    }
}

impl From<v1::Node> for NodeView {
    fn from(node: v1::Node) -> Self {
        Self {
            state: word(node.state()),
            name: node.name,
            version: node.version,
            address: node.address,
            threads: node.threads,
            memory: node.memory,
            kinds: node.kinds,
            tasks_running: node.tasks_running,
            bytes_per_second: node.bytes_per_second,
            gpus: node.gpus,
            gpu_kind: node.gpu_kind,
            labels: node.labels.into_iter().collect(),
            cordoned: node.cordoned,
            draining: node.draining,
            drain_until_unix_millis: node.drain_until_unix_millis,
            link_bytes_per_second: node.link,
            disk_bytes_per_second: node.disk,
            tasks: node.tasks.iter().map(|task| format!("{}.{}", task.job, task.index)).collect(),
            disks: node.disks.into_iter().map(DiskView::from).collect(),
            measured: node.measured.map(MeasuredView::from),
            devices: node.devices.into_iter().map(DeviceView::from).collect(),
            gpu_driver: Some(node.gpu_driver).filter(|driver| !driver.is_empty()),
        }
    }
}

/// `8xH100`, as it is given to `braid worker`.
fn gpus(node: &NodeView) -> String {
    match (node.gpus, node.gpu_kind.as_str()) {
        (0, _) => "-".to_owned(),
        (count, "") => count.to_string(),
        (count, kind) => format!("{count}x{kind}"),
    }
}

impl View for NodeList {
    fn table(&self, _now: u64) -> String {
        let rows: Vec<_> = self
            .nodes
            .iter()
            .map(|node| {
                [
                    node.name.clone(),
                    state(node),
                    node.tasks_running.to_string(),
                    node.threads.to_string(),
                    show_bytes(node.memory),
                    gpus(node),
                    node.bytes_per_second.map_or_else(|| "-".to_owned(), |rate| format!("{}/s", show_bytes(rate))),
                    node.version.clone(),
                    node.address.clone(),
                ]
            })
            .collect();
        table::columns(["NAME", "STATE", "TASKS", "THREADS", "MEMORY", "GPUS", "RATE", "VERSION", "ADDRESS"], &rows)
    }

    fn names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    fn is_final(&self) -> bool {
        false // a node may come or go
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Format, render};

    #[test]
    fn nodes_in_every_form() {
        let nodes = vec![
            v1::Node {
                name: "alpha".into(),
                state: NodeState::Ready.into(),
                version: "0.1.0".into(),
                address: "10.0.0.1".into(),
                threads: 8,
                memory: 16_000_000_000,
                kinds: vec!["merge".into()],
                tasks_running: 1,
                bytes_per_second: Some(750_000_000),
                gpus: 8,
                gpu_kind: "H100".into(),
                labels: [("rack".to_owned(), "7".to_owned())].into(),
                cordoned: true,
                draining: true,
                drain_until_unix_millis: Some(90_000),
                disk: Some(2_000_000_000),
                tasks: vec![v1::TaskRef { job: 3, index: 1 }],
                disks: vec![v1::Disk {
                    mount: "/data".into(),
                    device: "/dev/nvme0n1".into(),
                    kind: "xfs".into(),
                    total: 4_000_000_000_000,
                    free: 1_200_000_000_000,
                }],
                measured: Some(v1::Measured {
                    memory: 12_000_000_000,
                    disk_read: 2_000_000_000,
                    disk_write: 1_000_000_000,
                    network: 0,
                    unix_millis: 20_000,
                }),
                devices: vec![v1::Gpu {
                    kind: "H100".into(),
                    memory: 80_000_000_000,
                    ecc: Some(true),
                    nvlinks: 18,
                    pcie_generation: 5,
                    pcie_lanes: 16,
                }],
                gpu_driver: "570.1".into(),
                ..Default::default()
            },
            v1::Node { name: "beta".into(), state: NodeState::Silent.into(), ..Default::default() },
        ];
        let first = nodes[0].clone();
        let list = NodeList::new(nodes);
        let text = |format| render(&list, format, 0, false).unwrap();
        insta::assert_snapshot!(text(Format::Table), @"
        NAME   STATE            TASKS  THREADS  MEMORY   GPUS    RATE        VERSION  ADDRESS
        alpha  ready, draining  1      8        16.0 GB  8xH100  750.0 MB/s  0.1.0    10.0.0.1
        beta   silent           0      0        0 B      -       -
        ");
        let one = NodeShow::new(first);
        insta::assert_snapshot!(render(&one, Format::Table, 30_000, false).unwrap(), @"
        node      alpha
        state     ready, draining
        drains    what runs is stopped in 1m
        version   0.1.0
        address   10.0.0.1
        threads   8
        memory    16.0 GB
        gpus      8xH100
        kinds     merge
        labels    rack=7
        rate      750.0 MB/s
        disk      2.0 GB/s
        tasks     3.1
        measured  memory 12.0 GB/s, disk 2.0 GB/s read and 1.0 GB/s written; 10 s ago
        driver    570.1
        gpu       H100, 80.0 GB, ECC, NVLink x18, PCIe 5 x16
        on        /data: 1.2 TB of 4.0 TB free (xfs, /dev/nvme0n1)
        ");
        insta::assert_snapshot!(render(&one, Format::Name, 0, false).unwrap(), @"alpha");
        insta::assert_snapshot!(text(Format::Json), @r#"
        {
          "schema": "braid/v1",
          "nodes": [
            {
              "name": "alpha",
              "state": "ready",
              "version": "0.1.0",
              "address": "10.0.0.1",
              "threads": 8,
              "memory": 16000000000,
              "kinds": [
                "merge"
              ],
              "tasks_running": 1,
              "bytes_per_second": 750000000,
              "gpus": 8,
              "gpu_kind": "H100",
              "labels": {
                "rack": "7"
              },
              "cordoned": true,
              "draining": true,
              "drain_until_unix_millis": 90000,
              "link_bytes_per_second": null,
              "disk_bytes_per_second": 2000000000,
              "tasks": [
                "3.1"
              ],
              "disks": [
                {
                  "mount": "/data",
                  "device": "/dev/nvme0n1",
                  "kind": "xfs",
                  "total": 4000000000000,
                  "free": 1200000000000
                }
              ],
              "measured": {
                "memory_bytes_per_second": 12000000000,
                "disk_read_bytes_per_second": 2000000000,
                "disk_write_bytes_per_second": 1000000000,
                "network_bytes_per_second": null,
                "unix_millis": 20000
              },
              "devices": [
                {
                  "kind": "H100",
                  "memory": 80000000000,
                  "ecc": true,
                  "nvlinks": 18,
                  "pcie_generation": 5,
                  "pcie_lanes": 16
                }
              ],
              "gpu_driver": "570.1"
            },
            {
              "name": "beta",
              "state": "silent",
              "version": "",
              "address": "",
              "threads": 0,
              "memory": 0,
              "kinds": [],
              "tasks_running": 0,
              "bytes_per_second": null,
              "gpus": 0,
              "gpu_kind": "",
              "labels": {},
              "cordoned": false,
              "draining": false,
              "drain_until_unix_millis": null,
              "link_bytes_per_second": null,
              "disk_bytes_per_second": null,
              "tasks": [],
              "disks": [],
              "measured": null,
              "devices": [],
              "gpu_driver": null
            }
          ]
        }
        "#);
        insta::assert_snapshot!(text(Format::Name), @"
        alpha
        beta
        ");
    }
}
