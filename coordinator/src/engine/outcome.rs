//! What a result changes.
//!
//! A result counts once: it is fenced by (task, attempt, lease) and the node that was given the task. Any other is stale (the task runs elsewhere, or its
//! result is in); the worker is told to forget it, and nothing changes.

use super::{
    AttemptEnd, Effect, Effects, Engine, Fact, Figures, MAX_FAILURES, MAX_LOSSES, MAX_STATE, MAX_TEXT, Message, Report,
    ending::{self, brief},
    gang::{self, Standing},
    submit::{add_tasks, clip, within},
};
use crate::model::{Change, Class, Job, JobEnd, JobPhase, Millis, SessionId, Task, TaskPhase};
use braid_workload::{Advance, Failure, FailureKind, MAX_RECORD, TaskId, TaskOutcome};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// How long a worker that gave a task back is given nothing: time to leave, if it is leaving.
const REST: Duration = Duration::from_secs(1);
/// What an old observation of a task's length still counts.
const PACE_MEMORY: f64 = 0.8;

impl Engine {
    pub(super) fn finished(&mut self, session: SessionId, report: Report, now: Millis, effects: &mut Effects) {
        let Report { node, held, outcome, ran, done, reused } = report;
        let taken = Effect::Send { session, message: Message::Taken { task: held.task, attempt: held.attempt } };
        let accepted = self.state.jobs.get_mut(&held.task.job).filter(|job| {
            job.tasks.get(held.task.index as usize).is_some_and(|task| task.accepts_from(&node, held.attempt, held.lease))
        });
        let Some(job) = accepted else {
            self.state.facts.push(Fact::Stale);
            effects.push(taken);
            return;
        };
        let (kind, end) = (job.kind.clone(), attempt_end(&outcome));
        let fact = |end| Fact::Ended { kind, end, figures: Some(Figures { ran, done, reused }) };
        let (index, running) = (held.task.index, job.phase == JobPhase::Running);
        let standing = Standing::of(job, index);
        let (members, outcome) = match outcome {
            TaskOutcome::Done(value) if running && standing == Standing::Whole => match Self::gather(job, index, value) {
                Some((members, value)) => (members, TaskOutcome::Done(value)),
                None => {
                    self.state.timeline.end(held.task, end, now);
                    return self.state.facts.push(fact(end));
                }
            },
            outcome => (vec![index], outcome),
        };
        // By the assignment, not by the session: a result may be read after a newer stream has replaced its own.
        let holder = job.tasks.get(held.task.index as usize).and_then(Task::assignment).map(|to| &to.node);
        if let Some(node) = holder.and_then(|node| self.state.nodes.get_mut(node)) {
            if let Some(task) = job.tasks.get(held.task.index as usize) {
                node.let_go(held.task, task);
                node.learn(&job.kind, &task.spec.demand, done, ran);
            }
            if !job.warm.contains(&node.id) {
                Arc::make_mut(&mut job.warm).insert(node.id.clone());
            }
            let told = job.tasks.get(index as usize).is_some_and(|task| task.stopping);
            if running && standing == Standing::Whole && gave_back(&outcome) && !told {
                node.resting = Some(now + REST);
            }
        }
        self.state.unplaced = true;
        // A task that is given away again at once has a new attempt by then.
        self.state.timeline.end(held.task, end, now);
        if running {
            match (standing, outcome) {
                (Standing::Over, _) => self.follow(held.task, effects),
                // Whoever gave up on this member told of it first; why it could not go on is what ends the job.
                (Standing::Broken, TaskOutcome::Failed(failure)) if failure.kind == FailureKind::Fatal => {
                    self.failed(held.task, failure, now, effects);
                }
                (Standing::Broken, _) => self.failed(held.task, Failure::cancelled(), now, effects),
                (Standing::Whole, TaskOutcome::Done(value)) => {
                    observe_pace(job, index, ran);
                    job.reused = job.reused.saturating_add(reused);
                    let mut members = members.into_iter().map(|member| held.task.job.task(member));
                    let first = members.next().unwrap_or(held.task);
                    let others: Vec<TaskId> = members.collect();
                    for member in others.iter().chain([&first]) {
                        gang::release(&mut self.state, member.job, member.index, TaskPhase::Done, effects);
                    }
                    // The first member goes first: where it is done, a crash that forgets the others has forgotten nothing.
                    self.done(first, &value, now, effects);
                    effects.extend(others.into_iter().filter_map(|member| self.written(member)));
                }
                (Standing::Whole, TaskOutcome::Failed(failure)) => self.failed(held.task, failure, now, effects),
            }
        } else {
            job.set_phase(held.task.index, TaskPhase::Cancelled);
            ending::settle(&mut self.state, held.task.job, now, effects);
        }
        let failed = |task: &Task| task.phase == TaskPhase::Failed;
        let for_good = self.state.job(held.task.job).and_then(|job| job.tasks.get(index as usize)).is_some_and(failed);
        self.state.facts.push(fact(if for_good { AttemptEnd::Failed } else { end }));
        effects.push(taken);
    }

    /// A task of a running job is done: the workload says what follows.
    fn done(&mut self, id: TaskId, value: &Value, now: Millis, effects: &mut Effects) {
        let Some(job) = self.state.jobs.get_mut(&id.job) else { return };
        job.set_phase(id.index, TaskPhase::Done);
        if let Some(task) = job.tasks.get(id.index as usize) {
            effects.push(Change::task(id, task).into());
        }
        let follow = match self.workloads.get(&job.kind) {
            None => Err(format!("this coordinator has no kind of job `{}`", job.kind)),
            Some(workload) => match job.tasks.get(id.index as usize) {
                None => Err(format!("there is no task {id}")),
                Some(task) => within("result of a task", value, MAX_RECORD)
                    .map_err(|error| error.to_string())
                    .and_then(|()| {
                        workload.advance(&job.spec, &job.state, &task.spec, value, job.open()).map_err(|error| error.to_string())
                    })
                    .and_then(|follow| go_on(job, follow, effects)),
            },
        };
        match follow {
            Ok(None) => self.state.unplaced = true,
            Ok(Some(end)) => ending::end(&mut self.state, id.job, end, now, effects),
            Err(message) => {
                let failure = Failure::fatal(format!("after task {id}: {message}"));
                ending::end(&mut self.state, id.job, JobEnd::Failed(failure), now, effects);
            }
        }
    }

    /// A member of a gang is done whose first member is.
    fn follow(&mut self, id: TaskId, effects: &mut Effects) {
        gang::release(&mut self.state, id.job, id.index, TaskPhase::Done, effects);
        effects.extend(self.written(id));
    }

    /// What is to be written of a task.
    fn written(&self, id: TaskId) -> Option<Effect> {
        let task = self.state.job(id.job)?.tasks.get(id.index as usize)?;
        Some(Change::task(id, task).into())
    }

    /// A task of a running job failed: tried again, or the end of the job.
    fn failed(&mut self, id: TaskId, mut failure: Failure, now: Millis, effects: &mut Effects) {
        brief(&mut failure);
        let Some(job) = self.state.jobs.get_mut(&id.job) else { return };
        let workload = self.workloads.get(&job.kind);
        let retries = workload.map_or(MAX_FAILURES - 1, |workload| workload.retries(&job.spec, MAX_FAILURES - 1));
        let gang = job.members(id.index);
        let before: u32 = gang.filter_map(|member| job.tasks.get(member as usize)).map(|task| task.failures).sum();
        let Some(task) = job.tasks.get_mut(id.index as usize) else { return };
        let again = match failure.kind {
            // Nobody asked for it: the worker itself is going away.
            FailureKind::Cancelled => true,
            FailureKind::Retry => {
                task.failures += 1;
                before < retries
            }
            FailureKind::Fatal => false,
        };
        if failure.kind != FailureKind::Cancelled {
            task.last_failure = Some(failure.clone());
        }
        self.close_attempt(id, again, failure, now, effects);
    }

    /// The worker of a task is gone.
    pub(super) fn lost(&mut self, id: TaskId, now: Millis, effects: &mut Effects) {
        let Some(job) = self.state.jobs.get_mut(&id.job) else { return };
        // A gang's member that has reported has ended already.
        if job.tasks.get(id.index as usize).is_some_and(|task| task.reported.is_none()) {
            self.state.facts.push(Fact::Ended { kind: job.kind.clone(), end: AttemptEnd::Lost, figures: None });
            self.state.timeline.end(id, AttemptEnd::Lost, now);
        }
        if job.phase != JobPhase::Running {
            job.set_phase(id.index, TaskPhase::Cancelled);
            ending::settle(&mut self.state, id.job, now, effects);
            return;
        }
        match Standing::of(job, id.index) {
            Standing::Over => return self.follow(id, effects),
            Standing::Broken => return self.close_attempt(id, true, Failure::cancelled(), now, effects),
            Standing::Whole => {}
        }
        let Some(task) = job.tasks.get_mut(id.index as usize) else { return };
        task.losses += 1;
        let again = task.losses < MAX_LOSSES;
        let failure = Failure::fatal(format!("task {id} ({}) lost its worker {} times", task.spec.label, task.losses))
            .with_hint("the task may be what ends the workers: look at the log of one");
        self.close_attempt(id, again, failure, now, effects);
    }

    fn close_attempt(&mut self, id: TaskId, again: bool, failure: Failure, now: Millis, effects: &mut Effects) {
        let Some(job) = self.state.jobs.get_mut(&id.job) else { return };
        job.clear_try(id.index);
        job.set_phase(id.index, if again { TaskPhase::Waiting } else { TaskPhase::Failed });
        let change = job.tasks.get(id.index as usize).map(|task| Change::task(id, task).into());
        self.state.unplaced = true;
        // The job before the task: a crash may lose the end of a long step, and a failed task must have been counted.
        if again {
            gang::scatter(&mut self.state, id, effects);
        } else if let Some(end) = self.without(id, failure, effects) {
            ending::end(&mut self.state, id.job, end, now, effects);
        }
        effects.extend(change);
    }

    /// What a task's failure for good makes of its job: its end, unless the workload goes on without a task of no gang.
    fn without(&mut self, id: TaskId, failure: Failure, effects: &mut Effects) -> Option<JobEnd> {
        let job = self.state.jobs.get_mut(&id.job)?;
        let task = job.tasks.get(id.index as usize).filter(|task| task.spec.demand.gang.is_none());
        let follow = task
            .zip(self.workloads.get(&job.kind))
            .and_then(|(task, workload)| workload.failed(&job.spec, &job.state, &task.spec, &failure, job.open()));
        match follow.map(|follow| go_on(job, follow, effects)) {
            None => Some(JobEnd::Failed(failure)),
            Some(Ok(end)) => end,
            Some(Err(message)) => Some(JobEnd::Failed(Failure::fatal(format!("without task {id}: {message}")))),
        }
    }
}

/// How an attempt ended, as far as its worker knows.
fn attempt_end(outcome: &TaskOutcome) -> AttemptEnd {
    match outcome {
        TaskOutcome::Done(_) => AttemptEnd::Done,
        outcome if gave_back(outcome) => AttemptEnd::Cancelled,
        TaskOutcome::Failed(_) => AttemptEnd::Retried,
    }
}

/// Whether the worker stopped the task, or never began it, without being told.
fn gave_back(outcome: &TaskOutcome) -> bool {
    matches!(outcome, TaskOutcome::Failed(failure) if failure.kind == FailureKind::Cancelled)
}

/// Applies what the workload wants. `Some` when that ends the job.
fn go_on(job: &mut Job, follow: Advance, effects: &mut Effects) -> Result<Option<JobEnd>, String> {
    match follow {
        Advance::Finished(mut result) => {
            clip(&mut result.summary, MAX_TEXT);
            within("result", &result.details, MAX_STATE).map_err(|error| error.to_string())?;
            Ok(Some(JobEnd::Done(result)))
        }
        Advance::Failed(failure) => Ok(Some(JobEnd::Failed(failure))),
        Advance::Continue { state, tasks } => {
            let changed = state.is_some() || !tasks.is_empty();
            if let Some(state) = state {
                within("state", &state, MAX_STATE).map_err(|error| error.to_string())?;
                job.state = state;
            }
            add_tasks(job, tasks, effects).map_err(|error| error.to_string())?;
            if job.open() == 0 {
                return Err("no task is left and the job has no result".into());
            }
            if changed {
                effects.push(Change::job(job).into());
            }
            Ok(None)
        }
    }
}

/// Learns how long tasks of a class take.
fn observe_pace(job: &mut Job, index: u32, ran: Duration) {
    let Some(task) = job.tasks.get(index as usize) else { return };
    let class = Class::from(&task.spec.demand);
    let seconds = ran.as_secs_f64();
    job.pace.entry(class).and_modify(|pace| *pace = *pace * PACE_MEMORY + seconds * (1.0 - PACE_MEMORY)).or_insert(seconds);
}
