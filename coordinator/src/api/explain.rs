//! An explanation as clients see it.

use super::view;
use crate::{
    model::{Class, Job},
    placement::{Explanation, MoreNodes, Problem, Relief, Share, Wait, explain},
};
use braid_proto::v1;
use braid_workload::JobId;
use std::collections::BTreeSet;

/// What is looked up of the job that somebody asks about.
pub(super) struct Asked {
    id: JobId,
    job: v1::Job,
    on: BTreeSet<String>,
}

impl Asked {
    pub(super) fn of(job: &Job) -> Self {
        let on = job.tasks.iter().filter_map(|task| task.assignment()).map(|to| to.node.0.clone());
        Self { id: job.id, job: view::job(job), on: on.collect() }
    }
}

/// Explains it. Takes up to some tens of milliseconds.
pub(super) fn answer(asked: Asked, problem: &Problem, more: Option<&MoreNodes>) -> v1::Explanation {
    let Explanation { waits, makespan, bound, relief } = explain(problem, asked.id, more);
    let now = more.and_then(|_| explain(problem, asked.id, None).makespan);
    v1::Explanation {
        job: Some(asked.job),
        waits: waits.into_iter().map(share).collect(),
        makespan_s: makespan,
        bound_s: bound,
        relief: relief.into_iter().map(saving).collect(),
        makespan_now_s: now,
        tasks_on: asked.on.into_iter().collect(),
    }
}

fn share(share: Share) -> v1::WaitingTasks {
    v1::WaitingTasks {
        count: share.count,
        demand: Some(demand(share.class)),
        constraint: share.wait.as_ref().map(Wait::word).unwrap_or_default(),
        reason: share.wait.map_or_else(|| "it starts at once".into(), |wait| wait.to_string()),
        remedy: share.remedy.map(|remedy| remedy.to_string()),
    }
}

fn demand(class: Class) -> v1::Demand {
    v1::Demand {
        bytes: 0,
        memory: class.memory,
        wide: class.wide,
        gang: (class.gang > 1).then_some(v1::Member { rank: 0, size: class.gang }),
        threads: class.threads,
        gpus: class.gpus,
        gpu_kind: class.gpu_kind,
        labels: class.labels.into_iter().collect(),
        inputs: vec![],
        disk: class.disk.map(|space| v1::Space { path: space.path, bytes: space.bytes }),
    }
}

fn saving(relief: Relief) -> v1::Relief {
    v1::Relief { what: relief.what, node: relief.node.0, saves_s: relief.saves, price: relief.price }
}
