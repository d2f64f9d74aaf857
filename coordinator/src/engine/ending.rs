//! How a job ends, and what is forgotten of those that ended long ago.

use super::{Effect, Effects, Fact, KEEP_ENDED, MAX_TEXT, Message, State, gang, submit::clip};
use crate::model::{Change, Job, JobEnd, JobPhase, Millis, TaskPhase, keys};
use braid_workload::{Failure, JobId};

/// Ends a job that runs: what waits is cancelled, what a worker has is to stop. It is over once nothing of it runs.
pub(super) fn end(state: &mut State, id: JobId, mut end: JobEnd, now: Millis, effects: &mut Effects) {
    let Some(job) = state.jobs.get_mut(&id) else { return };
    if job.phase != JobPhase::Running {
        return;
    }
    if let JobEnd::Failed(failure) = &mut end {
        brief(failure);
    }
    cancel_waiting(job);
    job.phase = JobPhase::Ending(end);
    job.reason = None;
    let ended: Vec<u32> = (0u32..).zip(&job.tasks).filter(|(_, task)| task.reported.is_some()).map(|(index, _)| index).collect();
    for index in ended {
        gang::release(state, id, index, TaskPhase::Cancelled, effects);
    }
    let Some(job) = state.jobs.get_mut(&id) else { return };
    for (task, index) in job.tasks.iter().zip(0u32..) {
        let session = task.assignment().and_then(|assignment| state.nodes.get(&assignment.node)).and_then(|node| node.session);
        if let Some(session) = session {
            let message = Message::Stop { task: id.task(index), attempt: task.attempt };
            effects.push(Effect::Send { session, message });
        }
    }
    if job.tally().assigned > 0 {
        effects.push(Change::job(job).into());
    } else {
        settle(state, id, now, effects);
    }
}

/// Cuts what a worker or a workload has to say to what a record holds.
pub(super) fn brief(failure: &mut Failure) {
    clip(&mut failure.message, MAX_TEXT);
    failure.hint.iter_mut().for_each(|hint| clip(hint, MAX_TEXT));
}

/// Marks what waits as cancelled. Not written: a job's phase implies it.
pub(super) fn cancel_waiting(job: &mut Job) {
    let waiting: Vec<u32> = job.waiting().values().flatten().copied().collect();
    for index in waiting {
        job.set_phase(index, TaskPhase::Cancelled);
    }
}

/// Closes a job that is ending, once no worker has a task of it.
pub(super) fn settle(state: &mut State, id: JobId, now: Millis, effects: &mut Effects) {
    let Some(job) = state.jobs.get_mut(&id) else { return };
    if job.tally().assigned > 0 {
        return;
    }
    let JobPhase::Ending(end) = &job.phase else { return };
    let end = end.clone();
    state.facts.push(Fact::Over { kind: job.kind.clone(), end: end.clone() });
    job.phase = JobPhase::Ended(end);
    job.finished = Some(now);
    effects.push(Change::job(job).into());
    forget_old(state, id, effects);
}

/// Removes the jobs that ended first, beyond what is kept; never the one that has `just` ended, nor the newest, whose
/// number must not be given again. A job's own record goes last: a crash in between leaves a job that is ended and
/// removed again later, never records that nothing points to.
fn forget_old(state: &mut State, just: JobId, effects: &mut Effects) {
    let mut ended: Vec<(Option<Millis>, JobId)> =
        state.jobs().filter(|job| job.is_over()).map(|job| (job.finished, job.id)).collect();
    let excess = ended.len().saturating_sub(KEEP_ENDED);
    if excess == 0 {
        return;
    }
    ended.sort_unstable();
    let newest = JobId(state.last_job);
    let old = ended.into_iter().map(|(_, id)| id).filter(|id| *id != just && *id != newest);
    for id in old.take(excess) {
        let Some(job) = state.jobs.remove(&id) else { continue };
        state.requests.remove(&job.request_id);
        for (index, task) in (0u32..).zip(&job.tasks) {
            if task.attempt.0 > 0 {
                effects.push(Change::delete(keys::task(id.task(index))).into());
            }
        }
        effects.extend((0..job.chunks).map(|chunk| Change::delete(keys::plan(id, chunk)).into()));
        effects.push(Change::delete(keys::spec(id)).into());
        effects.push(Change::delete(keys::job(id)).into());
    }
}
