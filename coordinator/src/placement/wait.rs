//! Why something waits: one sentence for the command line, the log and the tests.

use braid_workload::{JobId, NodeId};
use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What stands in the way of tasks that wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "constraint")]
pub enum Wait {
    /// There are no workers at all.
    NoWorker,
    /// No worker knows the kind of job.
    Kind {
        /// Of the job.
        kind: String,
        /// How many workers there are.
        workers: usize,
    },
    /// No worker can be in a gang.
    Exchange {
        /// How many workers there are.
        workers: usize,
    },
    /// No worker has a label.
    Label {
        /// Its name and value.
        label: String,
        /// How many workers there are.
        workers: usize,
    },
    /// No worker has GPUs of a kind.
    GpuKind {
        /// What was asked for.
        kind: String,
        /// How many workers have GPUs.
        workers: usize,
    },
    /// No worker has so many GPUs.
    Gpus {
        /// What a task asks for.
        wanted: u32,
        /// The most that one has.
        most: u32,
    },
    /// No worker may hold so much.
    Memory {
        /// What a task asks for.
        wanted: u64,
        /// The most that one may hold.
        most: u64,
    },
    /// No worker has so much free on the disk that a task writes to.
    Disk {
        /// What a task asks for.
        wanted: u64,
        /// The most that is free on one.
        most: u64,
        /// The folder that it writes into.
        path: String,
    },
    /// Each thing that a task asks for is somewhere, but nowhere all of them.
    Together {
        /// What it asks for.
        wanted: String,
    },
    /// A gang is larger than the fleet.
    GangTooLarge {
        /// Its members.
        size: u32,
        /// Of what each needs one, or some: threads, workers, GPUs.
        unit: Unit,
        /// Bytes that each needs.
        memory: u64,
        /// Members for which there would be room.
        capacity: u32,
        /// How many workers there are.
        workers: usize,
    },
    /// A gang fits, but not now.
    Gang {
        /// Its members.
        size: u32,
        /// Of what there is too little.
        unit: Unit,
        /// Of that, for one member.
        each: u32,
        /// Bytes that each needs.
        memory: u64,
        /// Members for which there is room now.
        free: u32,
        /// Members for which there would be room.
        capacity: u32,
    },
    /// The workers are kept for a gang that came first.
    Reserved {
        /// The job of the gang.
        job: JobId,
        /// Its members.
        size: u32,
    },
    /// The workers are there, but may not be given anything.
    Away {
        /// One of them.
        node: NodeId,
        /// How many there are.
        workers: usize,
        /// Why.
        why: Away,
    },
    /// The memory is in use.
    MemoryBusy {
        /// What a task asks for.
        wanted: u64,
        /// The most that is free on one worker.
        most: u64,
    },
    /// The GPUs are in use.
    GpusBusy {
        /// What a task asks for.
        wanted: u32,
        /// The most that are free on one worker.
        most: u32,
        /// The most that one has.
        of: u32,
    },
    /// The threads are in use.
    Busy {
        /// How many workers could run it.
        workers: usize,
    },
    /// Its project uses as much as it may.
    Quota {
        /// The project.
        project: String,
        /// Which limit, what is used of it, and what more is needed.
        limit: String,
    },
    /// It would be done sooner after others on a node than at once elsewhere.
    Planned {
        /// For which it is meant.
        node: NodeId,
        /// What that node is short of.
        bottleneck: Resource,
    },
}

/// Of what members of a gang need one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Narrow members.
    Threads,
    /// Wide members.
    Workers,
    /// Members on GPUs.
    Gpus,
}

/// Why a worker that is known is given nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Away {
    /// Its stream ended; its lease has not.
    Silent,
    /// It gave a task back, as one that is leaving does.
    Leaving,
    /// Operators give it nothing new.
    Cordoned,
}

/// What nodes may be short of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Threads.
    Threads,
    /// Memory of tasks.
    Memory,
    /// GPUs.
    Gpus,
    /// The way to where the data is.
    Link,
    /// Its own disks.
    Disk,
}

impl Wait {
    /// A word for programs: the name of the constraint.
    pub fn word(&self) -> String {
        // Our own enum is a map with that entry.
        let value = serde_json::to_value(self).unwrap_or_default();
        value.get("constraint").and_then(|word| word.as_str()).unwrap_or_default().to_owned()
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWorker => f.write_str("no worker is connected"),
            Self::Kind { kind, workers } => write!(f, "none of the {workers} workers can run `{kind}` jobs"),
            Self::Exchange { workers } => write!(f, "none of the {workers} workers can be in a gang: they have no exchange"),
            Self::Label { label, workers } => write!(f, "none of the {workers} workers is labelled {label}"),
            Self::GpuKind { kind, workers: 0 } => write!(f, "no worker has GPUs, and {kind} is asked for"),
            Self::GpuKind { kind, workers } => write!(f, "none of the {workers} workers with GPUs has {kind}"),
            Self::Gpus { wanted, most: 0 } => write!(f, "no worker has GPUs, and {wanted} are asked for"),
            Self::Gpus { wanted, most } => write!(f, "no worker has {wanted} GPUs (the most is {most})"),
            Self::Memory { wanted, most } => {
                write!(f, "no worker may hold {} (the largest may hold {})", ByteSize(*wanted), ByteSize(*most))
            }
            Self::Disk { wanted, most, path } => {
                let (wanted, most) = (ByteSize(*wanted), ByteSize(*most));
                write!(f, "no node has {wanted} free on the disk of {path} (the most is {most})")
            }
            Self::Together { wanted } => write!(f, "no worker has {wanted} together, though each is somewhere"),
            Self::GangTooLarge { size, unit, memory, capacity, workers } => {
                write!(f, "a gang of {size} needs {}, and the {workers} workers have {capacity}", members(*size, *unit, *memory))
            }
            Self::Gang { size, unit: Unit::Gpus, each, free, capacity, .. } => {
                let more = size.saturating_sub(*free).saturating_mul(*each);
                write!(f, "a gang of {size} needs {more} more GPUs ({free} of {capacity} places are free)")
            }
            Self::Gang { size, unit, memory, free, capacity, .. } => {
                write!(f, "a gang of {size} needs {}, and {free} of {capacity} are free", members(*size, *unit, *memory))
            }
            Self::Reserved { job, size } => {
                write!(f, "it waits behind the gang of {size} of job {job}, for which workers are kept")
            }
            Self::Away { node, workers: 1, why } => write!(f, "the only worker that could run it, {node}, {why}"),
            Self::Away { workers, why, .. } => write!(f, "each of the {workers} workers that could run it {why}"),
            Self::MemoryBusy { wanted, most } => {
                write!(f, "no worker has {} free (the most is {})", ByteSize(*wanted), ByteSize(*most))
            }
            Self::GpusBusy { wanted, most, of } => write!(f, "no worker has {wanted} GPUs free (the most is {most} of {of})"),
            Self::Busy { workers: 1 } => f.write_str("the only worker that could run it is busy"),
            Self::Busy { workers } => write!(f, "all {workers} workers that could run it are busy"),
            Self::Quota { project, limit } => write!(f, "project `{project}` is at its quota: {limit}"),
            Self::Planned { node, bottleneck: Resource::Link } => {
                write!(f, "the link to {node} is the bottleneck: elsewhere it would be done later")
            }
            Self::Planned { node, bottleneck } => {
                write!(f, "it is meant for {node}, whose {bottleneck} are the bottleneck: elsewhere it would be done later")
            }
        }
    }
}

/// `8 threads with 10 B each at once`
fn members(size: u32, unit: Unit, memory: u64) -> String {
    let each = if memory > 0 { format!(" with {} each", ByteSize(memory)) } else { String::new() };
    format!("{size} {unit}{each} at once")
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads => "threads",
            Self::Workers => "workers",
            Self::Gpus => "places on GPUs",
        })
    }
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "is silent",
            Self::Leaving => "is leaving",
            Self::Cordoned => "is cordoned",
        })
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads => "threads",
            Self::Memory => "bytes of memory",
            Self::Gpus => "GPUs",
            Self::Link => "bytes per second of the link",
            Self::Disk => "bytes per second of the disks",
        })
    }
}
