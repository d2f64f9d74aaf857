//! One node: its worker's session, lease, and what it holds.
//!
//! ```text
//!             hello                 stream ends              hello
//!   (unknown) ─────▶ Ready ────────────────────▶ Silent ─────────────▶ Ready
//!                      │ no keep-alive for a lease  │ lease ends
//!                      └─────────────▶ (lost: forgotten, its tasks wait again) ◀┘
//! ```
//! Nodes are not stored: after a restart of the coordinator they register again, and the assignments in the task records
//! say what each may go on with.

use super::{Access, Class, Device, Disk, Holding, Measured, Millis, Task};
use braid_workload::{Demand, LeaseId, NodeId, TaskId};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

/// One stream of one worker, numbered by the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub u64);

/// What a worker offers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Compute threads.
    pub threads: u32,
    /// Bytes that tasks may hold.
    pub memory: u64,
    /// Kinds of job that it can run.
    pub kinds: BTreeSet<String>,
    /// Where it is, for people.
    pub address: String,
    /// Where its exchange listens, for the other members of a gang; empty when it cannot be in one.
    pub exchange: String,
    /// Of its software.
    pub version: String,
    /// Its GPUs, all of one kind.
    #[serde(default)]
    pub gpus: Gpus,
    /// What people say about it: `rack=7`, `zone=a`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Bytes per second to where the data is, once known.
    #[serde(default)]
    pub link: Option<u64>,
    /// Bytes per second of its own disks, once known.
    #[serde(default)]
    pub disk: Option<u64>,
    /// The disks on which what jobs may use lies, as they were when the worker last said so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<Disk>,
    /// How fast it was when its worker looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Box<Measured>>,
    /// Its GPUs one by one, where a driver was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// The version of that driver.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub gpu_driver: String,
}

/// The GPUs of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpus {
    /// How many.
    pub count: u32,
    /// As the driver names them; empty when unknown.
    pub kind: String,
    /// Bytes of memory of each; 0 when unknown.
    pub memory: u64,
}

impl Inventory {
    /// Whether a task of this class and kind of job could ever run here, were nothing else there.
    pub fn could_run(&self, kind: &str, class: &Class) -> bool {
        self.kinds.contains(kind)
            && class.memory <= self.memory
            && class.gpus <= self.gpus.count
            && (class.gpus == 0 || self.gpus.is_kind(class.gpu_kind.as_deref()))
            && class.labels.iter().all(|(name, value)| self.labels.get(name) == Some(value))
            && (class.gang == 1 || !self.exchange.is_empty())
            && class.disk.as_ref().is_none_or(|space| self.free_at(&space.path).is_none_or(|free| space.bytes <= free))
    }

    /// Bytes that tasks may still write into a folder, as its worker said last; `None` where it said nothing.
    pub fn free_at(&self, path: &str) -> Option<u64> {
        Disk::of(&self.disks, Path::new(path)).map(|disk| disk.free)
    }
}

impl Gpus {
    /// Whether they are of a kind that was asked for: its text in their name, in any case. `None` asks for no special kind.
    pub fn is_kind(&self, wanted: Option<&str>) -> bool {
        wanted.is_none_or(|wanted| self.kind.to_lowercase().contains(&wanted.to_lowercase()))
    }
}

/// A node and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// Its stream, while there is one.
    pub session: Option<SessionId>,
    /// The right under which it is given tasks.
    pub lease: LeaseId,
    /// When that right ends unless it is heard of.
    pub expires: Millis,
    /// What it offers; unknown for a node known only from the store.
    pub inventory: Option<Arc<Inventory>>,
    /// What it holds.
    pub tasks: BTreeSet<TaskId>,
    /// The same, in sum.
    pub holding: Holding,
    /// How fast it has been.
    pub rate: Rate,
    /// The same, by the kind of job.
    pub rates: BTreeMap<String, Rate>,
    /// Names of the inputs that its tasks have read lately.
    pub inputs: Arc<BTreeSet<String>>,
    /// The labels that its worker says it has; its offer has those of operators besides.
    pub declared: BTreeMap<String, String>,
    /// Whether operators let it have tasks.
    pub access: Access,
    /// It was told to stop what it held when its time to drain was over.
    pub evicted: bool,
    /// It gave a task back that it was not told to stop, as a worker does that is going away: nothing new until then.
    pub resting: Option<Millis>,
}

impl Node {
    /// Inputs that are remembered, at most.
    const INPUTS: usize = 256;

    /// Takes a task on.
    pub(crate) fn take(&mut self, id: TaskId, task: &Task) {
        if self.tasks.insert(id) {
            self.holding += task;
        }
    }

    /// Lets go of a task, which must be as it was; says whether it was here.
    pub(crate) fn let_go(&mut self, id: TaskId, task: &Task) -> bool {
        let was_here = self.tasks.remove(&id);
        if was_here {
            self.holding -= task;
        }
        was_here
    }

    /// Learns from a finished task.
    pub(crate) fn learn(&mut self, kind: &str, demand: &Demand, bytes: u64, ran: Duration) {
        self.rate.observe(bytes, ran);
        self.rates.entry(kind.to_owned()).or_default().observe(bytes, ran);
        if demand.inputs.iter().all(|input| self.inputs.contains(&input.name)) {
            return;
        }
        let inputs = Arc::make_mut(&mut self.inputs);
        // Which are the oldest is not known; to forget them all now and then costs some bytes read twice.
        if inputs.len() >= Self::INPUTS {
            inputs.clear();
        }
        inputs.extend(demand.inputs.iter().take(Self::INPUTS).map(|input| input.name.clone()));
    }
}

/// Learnt from finished tasks: a moving average that forgets.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rate {
    bytes: f64,
    seconds: f64,
}

impl Rate {
    /// What an old observation still counts after one of the same length.
    const MEMORY: f64 = 0.8;

    /// Takes in one finished task.
    pub fn observe(&mut self, bytes: u64, ran: Duration) {
        if bytes == 0 || ran.is_zero() {
            return;
        }
        self.bytes = self.bytes * Self::MEMORY + bytes as f64;
        self.seconds = self.seconds * Self::MEMORY + ran.as_secs_f64();
    }

    /// Bytes read and written per second, once known.
    pub fn bytes_per_second(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.bytes / self.seconds)
    }
}
