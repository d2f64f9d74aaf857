//! `fleet.json`: the fleet as the page shows it. For the page alone: what scripts should read is `braid job ls -o json`.

use crate::{
    engine::{AttemptEnd, Span, State},
    model::{Access, Device, Disk, Inventory, Job, JobEnd, JobPhase, Millis, Node, Task, TaskPhase},
};
use braid_workload::JobId;
use serde::Serialize;

/// Tasks of a job that are sent; the page says how many more there are.
const TASKS: usize = 500;
/// Jobs that are sent, the newest.
const JOBS: usize = 500;

/// All that the page shows.
#[derive(Debug, Serialize)]
pub(super) struct Fleet {
    now: u64,
    jobs: Vec<JobView>,
    nodes: Vec<NodeView>,
    spans: Vec<SpanView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<Vec<TaskView>>,
    tasks_total: usize,
}

#[derive(Debug, Serialize)]
struct JobView {
    id: u64,
    kind: String,
    label: String,
    state: &'static str,
    submitted: u64,
    finished: Option<u64>,
    tasks_waiting: u32,
    tasks_running: u32,
    tasks_done: u32,
    bytes_total: u64,
    bytes_done: u64,
    bytes_reused: u64,
    reason: Option<String>,
    failure: Option<String>,
}

#[derive(Debug, Serialize)]
struct NodeView {
    name: String,
    state: &'static str,
    tasks: usize,
    threads: u32,
    memory: u64,
    gpus: String,
    rate: Option<u64>,
    disks: Vec<Disk>,
    /// What is known of the machine beside that, for people.
    details: Vec<String>,
    address: String,
}

#[derive(Debug, Serialize)]
struct SpanView {
    job: u64,
    index: u32,
    attempt: u32,
    node: String,
    start: u64,
    end: Option<u64>,
    outcome: &'static str,
}

#[derive(Debug, Serialize)]
struct TaskView {
    index: u32,
    label: String,
    state: &'static str,
    attempt: u32,
    node: Option<String>,
    bytes: u64,
    bytes_done: u64,
    failure: Option<String>,
}

/// The fleet at `now`, with the tasks of one job.
pub(super) fn look(state: &State, chosen: Option<JobId>, now: Millis) -> Fleet {
    let chosen = chosen.and_then(|id| state.job(id));
    let mut jobs: Vec<_> = state.jobs().rev().take(JOBS).map(job_view).collect();
    jobs.reverse();
    Fleet {
        now: now.0,
        jobs,
        nodes: state.nodes().map(node_view).collect(),
        spans: state.timeline().spans().filter(|span| is_current(state, span)).map(span_view).collect(),
        tasks: chosen.map(tasks),
        tasks_total: chosen.map_or(0, |job| job.tasks.len()),
    }
}

/// What no longer runs, and of which no end was noted, is not shown as running.
fn is_current(state: &State, span: &Span) -> bool {
    let task = || state.job(span.task.job)?.tasks.get(span.task.index as usize);
    span.end.is_some() || task().is_some_and(|task| task.assignment().is_some())
}

fn job_view(job: &Job) -> JobView {
    let tally = job.tally();
    let (bytes_done, bytes_reused) = job.bytes_so_far();
    let (state, failure) = match &job.phase {
        JobPhase::Running => ("running", None),
        JobPhase::Ending(JobEnd::Cancelled) => ("cancelling", None),
        JobPhase::Ending(_) => ("ending", None),
        JobPhase::Ended(JobEnd::Done(_)) => ("done", None),
        JobPhase::Ended(JobEnd::Failed(failure)) => ("failed", Some(failure.message.clone())),
        JobPhase::Ended(JobEnd::Cancelled) => ("cancelled", None),
    };
    JobView {
        id: job.id.0,
        kind: job.kind.clone(),
        label: job.label.clone(),
        state,
        submitted: job.submitted.0,
        finished: job.finished.map(|at| at.0),
        tasks_waiting: tally.waiting,
        tasks_running: tally.assigned,
        tasks_done: tally.done,
        bytes_total: tally.bytes,
        bytes_done,
        bytes_reused,
        reason: job.reason.as_ref().map(ToString::to_string),
        failure,
    }
}

fn node_view(node: &Node) -> NodeView {
    let offer = node.inventory.as_deref().cloned().unwrap_or_default();
    NodeView {
        name: node.id.0.clone(),
        state: match (&node.session, node.access) {
            (None, _) => "silent",
            (Some(_), Access::Open) => "ready",
            (Some(_), Access::Cordoned) => "cordoned",
            (Some(_), Access::Draining(_)) => "draining",
        },
        tasks: node.tasks.len(),
        threads: offer.threads,
        memory: offer.memory,
        gpus: match (offer.gpus.count, offer.gpus.kind.as_str()) {
            (0, _) => String::new(),
            (count, "") => count.to_string(),
            (count, kind) => format!("{count} {kind}"),
        },
        rate: node.rate.bytes_per_second().map(|rate| rate as u64),
        details: details(&offer),
        disks: offer.disks,
        address: offer.address,
    }
}

fn details(offer: &Inventory) -> Vec<String> {
    let mut lines: Vec<String> = offer.labels.iter().map(|(name, value)| format!("label {name}={value}")).collect();
    if let Some(measured) = &offer.measured {
        let rates = [
            ("memory", measured.memory),
            ("disk read", measured.disk_read),
            ("disk written", measured.disk_write),
            ("network", measured.network),
        ];
        let known = rates.iter().filter_map(|(what, rate)| Some(format!("{what} {:.2} GB/s measured", (*rate)? as f64 / 1e9)));
        lines.extend(known);
    }
    if !offer.gpu_driver.is_empty() {
        lines.push(format!("GPU driver {}", offer.gpu_driver));
    }
    let link = |device: &Device| if device.nvlinks > 0 { format!(", NVLink x{}", device.nvlinks) } else { String::new() };
    lines.extend(offer.devices.iter().map(|device| format!("GPU {}{}", device.kind, link(device))));
    lines
}

fn span_view(span: &Span) -> SpanView {
    SpanView {
        job: span.task.job.0,
        index: span.task.index,
        attempt: span.attempt.0,
        node: span.node.0.clone(),
        start: span.start.0,
        end: span.end.map(|(at, _)| at.0),
        outcome: match span.end.map(|(_, end)| end) {
            None => "running",
            Some(AttemptEnd::Done) => "done",
            Some(AttemptEnd::Failed | AttemptEnd::Retried) => "failed",
            Some(AttemptEnd::Cancelled) => "cancelled",
            Some(AttemptEnd::Lost) => "lost",
        },
    }
}

/// What runs or went wrong is looked for first.
fn tasks(job: &Job) -> Vec<TaskView> {
    let rank = |task: &Task| match task.phase {
        TaskPhase::Assigned(_) => 0,
        TaskPhase::Failed => 1,
        TaskPhase::Waiting => 2,
        TaskPhase::Done | TaskPhase::Cancelled => 3,
    };
    let mut tasks: Vec<(u32, &Task)> = (0u32..).zip(&job.tasks).collect();
    tasks.sort_by_key(|(index, task)| (rank(task), *index));
    tasks.into_iter().take(TASKS).map(|(index, task)| task_view(index, task)).collect()
}

fn task_view(index: u32, task: &Task) -> TaskView {
    TaskView {
        index,
        label: task.spec.label.clone(),
        state: match task.phase {
            TaskPhase::Waiting => "waiting",
            TaskPhase::Assigned(_) => "running",
            TaskPhase::Done => "done",
            TaskPhase::Failed => "failed",
            TaskPhase::Cancelled => "cancelled",
        },
        attempt: task.attempt.0,
        node: task.assignment().map(|assignment| assignment.node.0.clone()),
        bytes: task.spec.demand.bytes,
        bytes_done: if task.phase == TaskPhase::Done { task.spec.demand.bytes } else { task.done },
        failure: task.last_failure.as_ref().map(|failure| failure.message.clone()),
    }
}
