//! The state as clients see it.

use crate::model::{Access, Device, Disk, Job, JobEnd, JobPhase, Measured, Node, Task, TaskPhase, Upkeep};
use braid_proto::v1;
use braid_workload::{NodeId, TaskId};

/// A job as clients see it.
pub(super) fn job(job: &Job) -> v1::Job {
    let tally = job.tally();
    let (bytes_done, bytes_reused) = job.bytes_so_far();
    let mut view = v1::Job {
        id: job.id.0,
        kind: job.kind.clone(),
        label: job.label.clone(),
        state: state(&job.phase).into(),
        submitted_unix_millis: job.submitted.0,
        finished_unix_millis: job.finished.map(|at| at.0),
        tasks_waiting: tally.waiting,
        tasks_running: tally.assigned,
        tasks_done: tally.done,
        bytes_total: tally.bytes,
        bytes_done,
        bytes_reused,
        reason: job.reason.as_ref().map(ToString::to_string),
        priority: job.precedence.priority,
        project: job.precedence.project.clone(),
        ..v1::Job::default()
    };
    match &job.phase {
        JobPhase::Running => {}
        JobPhase::Ending(end) | JobPhase::Ended(end) => match end {
            JobEnd::Done(result) => {
                view.summary = Some(result.summary.clone());
                view.details = Some(result.details.to_string());
            }
            JobEnd::Failed(failure) => view.failure = Some(failure.clone().into()),
            JobEnd::Cancelled => {}
        },
    }
    view
}

fn state(phase: &JobPhase) -> v1::JobState {
    match phase {
        JobPhase::Ending(JobEnd::Cancelled) => v1::JobState::Cancelling,
        JobPhase::Running | JobPhase::Ending(_) => v1::JobState::Running,
        JobPhase::Ended(JobEnd::Done(_)) => v1::JobState::Done,
        JobPhase::Ended(JobEnd::Failed(_)) => v1::JobState::Failed,
        JobPhase::Ended(JobEnd::Cancelled) => v1::JobState::Cancelled,
    }
}

/// A task as clients see it. `silent`: its node has no session at the moment.
pub(super) fn task(id: TaskId, task: &Task, silent: bool) -> v1::Task {
    let state = match &task.phase {
        TaskPhase::Waiting => v1::TaskState::TaskWaiting,
        TaskPhase::Assigned(_) if silent => v1::TaskState::TaskLost,
        TaskPhase::Assigned(_) => v1::TaskState::TaskAssigned,
        TaskPhase::Done => v1::TaskState::TaskDone,
        TaskPhase::Failed => v1::TaskState::TaskFailed,
        TaskPhase::Cancelled => v1::TaskState::TaskCancelled,
    };
    v1::Task {
        id: Some(id.into()),
        label: task.spec.label.clone(),
        state: state.into(),
        attempt: task.attempt.0,
        node: task.assignment().map(|assignment| assignment.node.0.clone()),
        demand: Some(task.spec.demand.clone().into()),
        bytes_done: if task.phase == TaskPhase::Done { task.spec.demand.bytes } else { task.done },
        failure: task.last_failure.clone().map(Into::into),
    }
}

/// A node as clients see it.
pub(super) fn node(node: &Node) -> v1::Node {
    let inventory = node.inventory.as_deref().cloned().unwrap_or_default();
    let state = if node.session.is_some() { v1::NodeState::Ready } else { v1::NodeState::Silent };
    v1::Node {
        name: node.id.0.clone(),
        state: state.into(),
        version: inventory.version,
        address: inventory.address,
        threads: inventory.threads,
        memory: inventory.memory,
        kinds: inventory.kinds.into_iter().collect(),
        tasks_running: u32::try_from(node.tasks.len()).unwrap_or(u32::MAX),
        bytes_per_second: node.rate.bytes_per_second().map(|rate| rate as u64),
        gpus: inventory.gpus.count,
        gpu_kind: inventory.gpus.kind,
        labels: inventory.labels.into_iter().collect(),
        link: inventory.link,
        disk: inventory.disk,
        tasks: node.tasks.iter().map(|task| (*task).into()).collect(),
        disks: inventory.disks.into_iter().map(disk).collect(),
        measured: inventory.measured.map(|figures| measured(*figures)),
        devices: inventory.devices.into_iter().map(device).collect(),
        gpu_driver: inventory.gpu_driver,
        ..access(node.access)
    }
}

fn disk(Disk { mount, device, kind, total, free }: Disk) -> v1::Disk {
    v1::Disk { mount, device, kind, total, free }
}

fn measured(Measured { memory, disk_read, disk_write, network, unix_millis }: Measured) -> v1::Measured {
    let [memory, disk_read, disk_write, network] = [memory, disk_read, disk_write, network].map(Option::unwrap_or_default);
    v1::Measured { memory, disk_read, disk_write, network, unix_millis }
}

fn device(Device { kind, memory, ecc, nvlinks, pcie }: Device) -> v1::Gpu {
    let (pcie_generation, pcie_lanes) = pcie.unwrap_or_default();
    v1::Gpu { kind, memory, ecc, nvlinks, pcie_generation, pcie_lanes }
}

/// A node that only operators know.
pub(super) fn absent_node(id: &NodeId, upkeep: &Upkeep) -> v1::Node {
    v1::Node {
        name: id.0.clone(),
        state: v1::NodeState::Away.into(),
        labels: upkeep.labels.clone().into_iter().collect(),
        ..access(upkeep.access)
    }
}

fn access(access: Access) -> v1::Node {
    let (cordoned, draining, until) = match access {
        Access::Open => (false, false, None),
        Access::Cordoned => (true, false, None),
        Access::Draining(until) => (true, true, until),
    };
    v1::Node { cordoned, draining, drain_until_unix_millis: until.map(|until| until.0), ..v1::Node::default() }
}
