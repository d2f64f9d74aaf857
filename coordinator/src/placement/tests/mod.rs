//! Rules that hold for every placer, cases that must be explained, and answers compared with all there are.

mod cases;
mod optimal;
mod rules;

use super::{Candidate, Problem, Waiting};
use crate::model::{Class, Disk, Gpus, Inventory};
use braid_workload::{JobId, NodeId, Space};
use std::sync::Arc;

const GIB: u64 = 1 << 30;

/// A node of 8 threads and 64 GiB that runs trainings and merges.
fn node(name: &str) -> Candidate {
    Candidate {
        node: NodeId(name.into()),
        offer: Arc::new(Inventory {
            threads: 8,
            memory: 64 * GIB,
            kinds: ["train".to_owned(), "merge".to_owned()].into(),
            exchange: "here".into(),
            ..Inventory::default()
        }),
        ..Candidate::default()
    }
}

fn with_gpus(mut node: Candidate, count: u32, kind: &str) -> Candidate {
    Arc::make_mut(&mut node.offer).gpus = Gpus { count, kind: kind.into(), memory: 0 };
    node
}

/// Gives a node tasks that it holds.
fn holding(mut node: Candidate, class: &Class, count: u32) -> Candidate {
    for _ in 0..count {
        node.load.add(class, 1e9);
    }
    node
}

fn waiting(job: u64, class: Class, count: u32) -> Waiting {
    Waiting { job: JobId(job), class, kind: "train".into(), count, bytes: 1e9, seconds: Some(10.0), warm: Default::default() }
}

fn problem(classes: Vec<Waiting>, nodes: Vec<Candidate>) -> Problem {
    Problem { classes, nodes, absent: vec![] }
}
