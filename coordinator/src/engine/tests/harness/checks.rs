//! What must hold: in each state, across each step, and between a state and its records.

use super::toy;
use crate::{
    engine::{Effect, Event, Held, Message, Records, State, gang::Standing, recover},
    model::{Assignment, Holding, Job, JobPhase, Millis, Task, TaskPhase, TaskRecord, decode, keys},
};
use braid_workload::{AttemptId, NodeId, TaskId, TaskOutcome};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

/// The parts of a state tell the same story.
pub(crate) fn consistent(state: &State) {
    let mut held: BTreeMap<&NodeId, BTreeSet<TaskId>> = state.nodes.keys().map(|node| (node, BTreeSet::new())).collect();
    let mut names = HashSet::new();
    for job in state.jobs.values() {
        let (mut waiting, mut assigned, mut done) = (BTreeSet::new(), 0, 0);
        for (index, task) in (0u32..).zip(&job.tasks) {
            match &task.phase {
                TaskPhase::Waiting => assert!(waiting.insert(index)),
                TaskPhase::Assigned(Assignment { node, .. }) => {
                    assigned += 1;
                    let Some(tasks) = held.get_mut(node) else {
                        panic!("{} is given to {node}, which is not known", job.id.task(index))
                    };
                    tasks.insert(job.id.task(index));
                }
                TaskPhase::Done => done += 1,
                TaskPhase::Failed => {
                    let goes_on = job.phase == JobPhase::Running;
                    assert!(!goes_on || toy::is_lame(&job.spec), "job {} goes on without task {index}", job.id);
                }
                TaskPhase::Cancelled => assert_ne!(job.phase, JobPhase::Running),
            }
        }
        for (index, task) in (0u32..).zip(&job.tasks) {
            let ended = task.reported.is_some();
            assert!(!ended || (task.assignment().is_some() && job.phase == JobPhase::Running), "{}", job.id.task(index));
            assert!(
                !ended || Standing::of(job, index) == Standing::Whole,
                "{} waits for a gang that is broken",
                job.id.task(index)
            );
            let same = |member: u32| {
                let other = &job.tasks[member as usize];
                (other.phase == TaskPhase::Done, other.attempt) == (true, task.attempt)
            };
            let whole = task.phase != TaskPhase::Done || job.members(index).all(same);
            assert!(whole, "the gang of {} is done by half", job.id.task(index));
            let all = job.members(index).all(|member| job.tasks[member as usize].reported.is_some());
            assert!(!all, "the gang of {} has ended and is not done", job.id.task(index));
        }
        let tally = job.tally();
        let running = job.tasks.iter().filter(|task| task.assignment().is_some());
        let (bytes, reused) = running.fold((tally.bytes_done, job.reused), |(bytes, reused), task| {
            (bytes.saturating_add(task.done), reused.saturating_add(task.reused))
        });
        assert_eq!(job.bytes_so_far(), (bytes.min(tally.bytes), reused), "job {}", job.id);
        assert_eq!((tally.waiting as usize, tally.assigned, tally.done), (waiting.len(), assigned, done), "job {}", job.id);
        assert_eq!(job.waiting().values().flatten().copied().collect::<BTreeSet<_>>(), waiting, "job {}", job.id);
        match job.phase {
            JobPhase::Running => assert!(job.open() > 0, "job {} waits for nothing", job.id),
            JobPhase::Ending(_) => assert!(assigned > 0 && waiting.is_empty(), "job {} should be over", job.id),
            JobPhase::Ended(_) => assert!(assigned == 0 && waiting.is_empty(), "job {} is over and runs", job.id),
        }
        assert_eq!(job.finished.is_some(), job.is_over());
        assert!(job.reason.is_none() || (job.phase == JobPhase::Running && assigned == 0), "job {}: {:?}", job.id, job.reason);
        assert!(job.is_over() || job.exclusive.is_none() || names.insert(&job.exclusive), "two jobs hold {:?}", job.exclusive);
        assert_eq!(state.requests.get(&job.request_id), Some(&job.id));
    }
    assert_eq!(state.requests.len(), state.jobs.len());
    for node in state.nodes.values() {
        assert_eq!(held.get(&node.id), Some(&node.tasks), "node {}", node.id);
        let mut holding = Holding::default();
        node.tasks.iter().for_each(|id| holding += &state.jobs[&id.job].tasks[id.index as usize]);
        assert_eq!(node.holding, holding, "node {}", node.id);
    }
    let sessions = state.nodes.values().filter_map(|node| Some((node.session?, node.id.clone())));
    assert_eq!(sessions.collect::<BTreeMap<_, _>>(), state.sessions);
}

/// What the project `small` may use, in threads: no gang of the simulation needs more.
pub(crate) const SMALL: u64 = 12;

/// A project that was given something has not more than it may.
pub(crate) fn quotas_are_kept(effects: &[Effect], state: &State) {
    let began = |effect: &Effect| match effect {
        Effect::Send { message: Message::Run(run), .. } => state.job(run.held.task.job).map(|job| &job.precedence.project),
        _ => None,
    };
    for project in effects.iter().filter_map(began).collect::<BTreeSet<_>>() {
        let quota = state.projects().find(|(name, _)| name == project).map(|(_, project)| project.quota).unwrap_or_default();
        let used = state.used().get(project).copied().unwrap_or_default();
        assert!(quota.threads.is_none_or(|most| used.threads <= most), "{project} uses {used:?} of {quota:?}");
    }
}

/// Nothing is sent to run on a node that operators have closed.
pub(crate) fn closed_nodes_get_nothing(effects: &[Effect], state: &State) {
    for effect in effects {
        let Effect::Send { session, message: Message::Run(run) } = effect else { continue };
        let node = state.sessions.get(session).and_then(|id| state.nodes.get(id)).expect("a stream that is written to is known");
        assert!(node.access.is_open(), "{:?} is sent to {}, which is {:?}", run.held, node.id, node.access);
    }
}

/// Who starts a member of a gang starts all of it, in one step and with one number.
pub(crate) fn gangs_start_whole(effects: &[Effect], state: &State) {
    let mut gangs: BTreeMap<(TaskId, AttemptId), (BTreeSet<u32>, usize)> = BTreeMap::new();
    for effect in effects {
        let Effect::Send { message: Message::Run(run), .. } = effect else { continue };
        let Some(gang) = &run.gang else { continue };
        assert_eq!(run.held.attempt, gang.epoch, "{:?}", run.held);
        assert_eq!(run.held.task.index, gang.first.index + gang.rank, "{:?}", run.held);
        let (ranks, size) = gangs.entry((gang.first, gang.epoch)).or_insert((BTreeSet::new(), gang.members.len()));
        assert!(ranks.insert(gang.rank) && *size == gang.members.len(), "{:?} is sent twice or elsewhere", run.held);
    }
    for ((first, epoch), (ranks, size)) in gangs {
        assert_eq!(ranks.len(), size, "the gang of {first} starts half");
        let job = state.job(first.job).expect("a job of which something starts is known");
        let members = &job.tasks[first.index as usize..][..size];
        assert!(members.iter().all(|task| task.attempt == epoch && task.assignment().is_some()), "the gang of {first}");
    }
}

/// Where each task stood before a step.
pub(crate) struct Before {
    tasks: BTreeMap<TaskId, (TaskPhase, AttemptId)>,
    nodes: Vec<NodeId>,
    /// Members of gangs that have ended, and whose value waits.
    ended: BTreeSet<TaskId>,
    /// Members of gangs of which another has let go.
    broken: BTreeSet<TaskId>,
}

impl Before {
    pub(crate) fn of(state: &State) -> Self {
        let jobs = state.jobs.values();
        let tasks = jobs.flat_map(|job| {
            (0u32..).zip(&job.tasks).map(|(index, task)| (job.id.task(index), (task.phase.clone(), task.attempt)))
        });
        let ids = || state.jobs.values().flat_map(|job| (0u32..).zip(&job.tasks).map(move |(index, _)| (job, index)));
        let of = |which: &dyn Fn(&Job, u32) -> bool| {
            ids().filter(|(job, index)| which(job, *index)).map(|(job, index)| job.id.task(index)).collect::<BTreeSet<_>>()
        };
        Self {
            tasks: tasks.collect(),
            nodes: state.nodes.keys().cloned().collect(),
            ended: of(&|job, index| job.tasks[index as usize].reported.is_some()),
            broken: of(&|job, index| Standing::of(job, index) == Standing::Broken),
        }
    }

    /// Each task moved, if at all, along an arrow that this event may take. `late`: a node has been silent for its lease.
    pub(crate) fn leads_to(&self, event: &Event, effects: &[Effect], state: &State, late: impl Fn(&NodeId) -> bool) {
        let mut stale = matches!(event, Event::Finished { .. });
        for (id, (old, attempt)) in &self.tasks {
            let Some(job) = state.jobs.get(&id.job) else { continue };
            let new = &job.tasks[id.index as usize];
            let fenced = self.fenced(event, *id);
            stale &= !fenced;
            if *old != new.phase {
                let allowed = match (old, &new.phase) {
                    (TaskPhase::Waiting, TaskPhase::Assigned(_)) => matches!(event, Event::Placed(_)) && new.attempt > *attempt,
                    (TaskPhase::Waiting, TaskPhase::Cancelled) => job.phase != JobPhase::Running,
                    (TaskPhase::Assigned(_), TaskPhase::Done) => (fenced || self.beside(event, *id, job)) && succeeded(event),
                    (TaskPhase::Assigned(_), TaskPhase::Waiting | TaskPhase::Cancelled) if self.ended.contains(id) => true,
                    (TaskPhase::Assigned(_), TaskPhase::Waiting) if fenced && self.broken.contains(id) => true,
                    (TaskPhase::Assigned(_), TaskPhase::Waiting | TaskPhase::Failed) if fenced => !succeeded(event),
                    (TaskPhase::Assigned(_), TaskPhase::Cancelled) if fenced => job.phase != JobPhase::Running,
                    (TaskPhase::Assigned(to), TaskPhase::Waiting | TaskPhase::Failed | TaskPhase::Cancelled) => {
                        gave_up(event, *id, *attempt, to, &late)
                    }
                    _ => false,
                };
                assert!(allowed, "{event:?} moves {id} from {old:?} to {:?}", new.phase);
            }
            assert!(new.attempt == *attempt || new.assignment().is_some(), "{event:?} counts a try of {id} that nobody has");
        }
        if let Event::Finished { session, report } = event {
            let message = Message::Taken { task: report.held.task, attempt: report.held.attempt };
            let taken = Effect::Send { session: *session, message };
            let kept = self.fenced(event, report.held.task) && reported(state, report.held.task);
            assert!(if kept { effects.is_empty() } else { effects.last() == Some(&taken) }, "{event:?}: {effects:?}");
            assert!(!stale || kept || effects.len() == 1, "a stale result has an effect: {effects:?}");
        }
        if matches!(event, Event::Tick) {
            for node in &self.nodes {
                assert_ne!(state.nodes.contains_key(node), late(node), "{node}");
            }
        }
    }

    /// Whether the event ends another member of the task's gang, and the task had ended before.
    fn beside(&self, event: &Event, id: TaskId, job: &Job) -> bool {
        let Event::Finished { report, .. } = event else { return false };
        report.held.task.job == id.job && self.ended.contains(&id) && job.members(id.index).contains(&report.held.task.index)
    }

    fn fenced(&self, event: &Event, id: TaskId) -> bool {
        let Event::Finished { report, .. } = event else { return false };
        let Some((TaskPhase::Assigned(to), attempt)) = self.tasks.get(&id) else { return false };
        report.held.task == id && report.held.attempt == *attempt && report.held.lease == to.lease && report.node == to.node
    }
}

/// Whether the event says that the worker of an attempt has it no more.
fn gave_up(event: &Event, task: TaskId, attempt: AttemptId, to: &Assignment, late: impl Fn(&NodeId) -> bool) -> bool {
    match event {
        Event::Tick => late(&to.node),
        Event::Hello { node, held, .. } => *node == to.node && !held.contains(&Held { task, attempt, lease: to.lease }),
        _ => false,
    }
}

/// Whether the value of a task waits for those of its gang.
fn reported(state: &State, id: TaskId) -> bool {
    state.job(id.job).and_then(|job| job.tasks.get(id.index as usize)).is_some_and(|task| task.reported.is_some())
}

fn succeeded(event: &Event) -> bool {
    matches!(event, Event::Finished { report, .. } if matches!(report.outcome, TaskOutcome::Done(_)))
}

/// A coordinator that has just started leaves each attempt with whoever has it.
pub(crate) fn adopted(state: &State, records: &Records) {
    for (key, value) in &records.tasks {
        let (id, index) = keys::numbered(key).unwrap();
        let record: TaskRecord = decode(key, value).unwrap();
        let Some(job) = state.job(id).filter(|job| !job.is_over()) else { continue };
        let task = &job.tasks[index as usize];
        let given = matches!(record.phase, TaskPhase::Assigned(_));
        assert!(!given || (&task.phase, task.attempt) == (&record.phase, record.attempt), "{key}: {task:?}");
    }
}

/// A coordinator that starts from the records knows what this one knows, but for what it need not know.
pub(crate) fn recoverable(state: &State, records: &Records, lease: Duration) {
    let recovered = recover(records, state.epoch + 1, lease, Millis(0)).unwrap();
    consistent(&recovered);
    assert_eq!(state.last_job, recovered.last_job);
    assert_eq!(state.requests, recovered.requests);
    for (live, stored) in state.jobs.values().zip(recovered.jobs.values()) {
        let of = |job: &Job| (job.id, job.phase.clone(), job.state.clone(), job.chunks, job.finished, job.tasks.len());
        assert_eq!(of(live), of(stored));
        for (live_task, stored_task) in live.tasks.iter().zip(&stored.tasks) {
            let of = |task: &Task| (task.attempt, task.failures, task.losses, task.last_failure.clone(), task.spec.clone());
            assert_eq!(of(live_task), of(stored_task), "job {}", live.id);
            let ended_since = live.phase != JobPhase::Running && live_task.phase == TaskPhase::Cancelled;
            let same = live_task.phase == stored_task.phase || (ended_since && stored_task.assignment().is_some());
            assert!(same, "job {}: {:?} is stored as {:?}", live.id, live_task.phase, stored_task.phase);
        }
    }
}
