//! Tasks that start together or not at all.
//!
//! ```text
//!               placed, all at once            all have reported
//!   all wait ────────────────────────▶ whole ────────────────────▶ all done
//!       ▲                                │ a member fails or is lost
//!       │ the last has let go            ▼
//!       └───────────────────────────── broken: the others are told to stop
//! ```
//! One attempt number for all members is the gang's epoch. A member of a broken gang may report what it likes: it waits again,
//! and nothing is held against it, unless it says that no further try can go better: that ends the job. Nothing of this is
//! stored but the tasks themselves: whole is what looks whole.

use super::{Effect, Effects, Engine, Held, Message, Run, State, fact, fairness::Ledger};
use crate::{
    model::{Amount, Assignment, Change, Job, JobPhase, Millis, TaskPhase},
    placement::GangPlacement,
};
use braid_workload::{AttemptId, Gang, JobId, TaskId};
use serde_json::Value;

impl Engine {
    /// Starts the first waiting gang of a class on these nodes, if each of them is there and offers what a member needs.
    pub(super) fn assign_gang(
        &mut self,
        placement: &GangPlacement,
        ledger: Option<&mut Ledger>,
        now: Millis,
        effects: &mut Effects,
    ) {
        let State { jobs, nodes, facts, timeline, .. } = &mut self.state;
        let Some(job) = jobs.get_mut(&placement.job).filter(|job| job.phase == JobPhase::Running) else { return };
        let Some(first) = job.waiting_gangs(&placement.class).next() else { return };
        let members = job.members(first);
        if placement.nodes.len() != members.len() {
            return;
        }
        let (mut places, mut needs) = (vec![], Amount::default());
        for id in &placement.nodes {
            let Some(node) = nodes.get(id) else { return };
            let (Some(session), Some(offer)) = (node.session, &node.inventory) else { return };
            if !offer.could_run(&job.kind, &placement.class) || !node.access.is_open() {
                return;
            }
            needs = needs.plus(State::amount_on(node, &placement.class));
            places.push((session, Assignment { node: id.clone(), lease: node.lease, since: now }, offer.exchange.clone()));
        }
        if let Some(ledger) = ledger {
            if ledger.room(&job.precedence.project, needs).is_err() {
                return;
            }
            ledger.take(&job.precedence.project, needs);
        }
        let tried = members.clone().filter_map(|index| job.tasks.get(index as usize)).map(|task| task.attempt).max();
        let epoch = tried.unwrap_or_default().next();
        let addresses: Vec<String> = places.iter().map(|(_, _, address)| address.clone()).collect();
        job.reason = None;
        for (rank, (index, (session, assignment, _))) in (0u32..).zip(members.zip(places)) {
            let (id, lease) = (job.id.task(index), assignment.lease);
            timeline.begin(id, epoch, assignment.node.clone(), now);
            let node = nodes.get_mut(&assignment.node);
            job.set_phase(index, TaskPhase::Assigned(assignment));
            begin(job, index, epoch);
            if let (Some(node), Some(task)) = (node, job.tasks.get(index as usize)) {
                node.take(id, task);
            }
            fact::started(job, now, facts);
            let Some(task) = job.tasks.get(index as usize) else { continue };
            effects.push(Change::task(id, task).into());
            let members = addresses.clone();
            let gang = Gang { rank, first: job.id.task(first), epoch, members, token: self.secret.clone() };
            let run = run(job, index, lease, Some(gang));
            effects.extend(run.map(|run| Effect::Send { session, message: Message::Run(Box::new(run)) }));
        }
    }

    /// A member has ended well. Its value waits here, and its worker keeps it, until all have; then the first member's counts.
    ///
    /// `None`: others are still to come. Else the tasks that are done now, the first of them with its value.
    pub(super) fn gather(job: &mut Job, index: u32, value: Value) -> Option<(Vec<u32>, Value)> {
        let members = job.members(index);
        if let Some(task) = job.tasks.get_mut(index as usize) {
            task.reported = Some(value);
        }
        let all = members.clone().all(|member| job.tasks.get(member as usize).is_some_and(|task| task.reported.is_some()));
        if !all {
            return None;
        }
        let values: Vec<Value> =
            members.clone().filter_map(|member| job.tasks.get_mut(member as usize)?.reported.take()).collect();
        Some((members.collect(), values.into_iter().next().unwrap_or_default()))
    }
}

/// Makes a task's next try.
pub(super) fn begin(job: &mut Job, index: u32, attempt: AttemptId) {
    job.clear_try(index);
    if let Some(task) = job.tasks.get_mut(index as usize) {
        task.attempt = attempt;
    }
}

/// The message that starts the present try of a task.
pub(super) fn run(job: &Job, index: u32, lease: braid_workload::LeaseId, gang: Option<Gang>) -> Option<Run> {
    let task = job.tasks.get(index as usize)?;
    Some(Run {
        held: Held { task: job.id.task(index), attempt: task.attempt, lease },
        kind: job.kind.clone(),
        spec: job.spec.clone(),
        label: task.spec.label.clone(),
        payload: task.spec.payload.clone(),
        demand: task.spec.demand.clone(),
        gang,
        precedence: job.precedence.clone(),
        trace: job.trace.clone(),
    })
}

/// How it stands with the gang of an assigned task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// All members have the same try of it under way. So has a task in no gang.
    Whole,
    /// One has let go.
    Broken,
    /// The first member is done, and so were all: a crash forgot that of this one.
    Over,
}

impl Standing {
    pub(super) fn of(job: &Job, index: u32) -> Self {
        let attempt = job.tasks.get(index as usize).map(|task| task.attempt);
        let first = job.tasks.get(job.members(index).start as usize);
        if first.is_some_and(|first| first.phase == TaskPhase::Done) {
            return Self::Over;
        }
        let whole = job.members(index).all(|member| {
            let task = job.tasks.get(member as usize);
            task.is_some_and(|task| task.assignment().is_some()) && task.map(|task| task.attempt) == attempt
        });
        if whole { Self::Whole } else { Self::Broken }
    }
}

/// Takes back the other members of a gang of which one has let go: those that have ended wait again at once, and the others are
/// told to stop.
pub(super) fn scatter(state: &mut State, id: TaskId, effects: &mut Effects) {
    let Some(job) = state.jobs.get(&id.job) else { return };
    let attempt = job.tasks.get(id.index as usize).map(|task| task.attempt);
    let others: Vec<u32> = job.members(id.index).filter(|member| *member != id.index).collect();
    for index in others {
        let Some(task) = state.jobs.get(&id.job).and_then(|job| job.tasks.get(index as usize)) else { continue };
        if task.assignment().is_none() || Some(task.attempt) != attempt {
            continue;
        }
        if task.reported.is_some() {
            release(state, id.job, index, TaskPhase::Waiting, effects);
            let task = state.jobs.get(&id.job).and_then(|job| job.tasks.get(index as usize));
            effects.extend(task.map(|task| Change::task(id.job.task(index), task).into()));
        } else {
            let session = task.assignment().and_then(|to| state.nodes.get(&to.node)).and_then(|node| node.session);
            let message = Message::Stop { task: id.job.task(index), attempt: task.attempt };
            effects.extend(session.map(|session| Effect::Send { session, message }));
        }
    }
}

/// Takes a member that has ended well from its node, whose worker may forget the value. Not written.
pub(super) fn release(state: &mut State, job: JobId, index: u32, phase: TaskPhase, effects: &mut Effects) {
    let id = job.task(index);
    let Some(job) = state.jobs.get_mut(&job) else { return };
    let Some(task) = job.tasks.get_mut(index as usize) else { return };
    task.reported = None;
    let (attempt, holder) = (task.attempt, task.assignment().map(|to| to.node.clone()));
    job.set_phase(index, phase);
    let Some(node) = holder.and_then(|holder| state.nodes.get_mut(&holder)) else { return };
    let was_here = job.tasks.get(index as usize).is_some_and(|task| node.let_go(id, task));
    if !was_here {
        return; // it has just been told
    }
    let message = Message::Taken { task: id, attempt };
    effects.extend(node.session.map(|session| Effect::Send { session, message }));
}
