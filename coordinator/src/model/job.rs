//! One job.
//!
//! ```text
//!             last task done            nothing of it runs any more
//!   Running ───────────────────▶ Ending(Done)      ─────▶ Ended(Done)
//!      │ ── a task failed ─────▶ Ending(Failed)    ─────▶ Ended(Failed)
//!      └─── cancel ────────────▶ Ending(Cancelled) ─────▶ Ended(Cancelled)
//! ```
//! `Ending` lasts as long as a worker holds a task of the job, so that two jobs never write one output at a time.

use super::{Class, Millis, Precedence, Task, TaskPhase};
use crate::placement::Wait;
use braid_telemetry::trace::TraceContext;
use braid_workload::{Failure, JobId, JobResult, Member, NodeId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

/// A job and its tasks.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// The word of its workload.
    pub kind: String,
    /// What a person sees.
    pub label: String,
    /// What was submitted; shared with the messages that carry it to workers.
    pub spec: Arc<Value>,
    /// The client's own key: a repeat of the same submit finds this job.
    pub request_id: String,
    /// How it stands among others.
    pub precedence: Precedence,
    /// Where its submit stands in a trace, for those who follow one.
    pub trace: Option<TraceContext>,
    /// A name that only one unfinished job may hold.
    pub exclusive: Option<String>,
    /// Where it stands.
    pub phase: JobPhase,
    /// The workload's state.
    pub state: Value,
    /// When it was accepted.
    pub submitted: Millis,
    /// When it ended.
    pub finished: Option<Millis>,
    /// All tasks so far, by index.
    pub tasks: Vec<Task>,
    /// Records that hold the specs of the tasks.
    pub chunks: u32,
    /// Bytes that finished tasks kept from an earlier run.
    pub reused: u64,
    /// Why nothing of it runs, as placement said last; empty when something does.
    pub reason: Option<Wait>,
    /// Whether a worker was ever given a task of it; not stored, as its tasks say so.
    pub begun: bool,
    /// Nodes that have run tasks of it.
    pub warm: Arc<BTreeSet<NodeId>>,
    /// Seconds that its tasks take, by class, as far as seen.
    pub pace: BTreeMap<Class, f64>,
    waiting: BTreeMap<Class, BTreeSet<u32>>,
    tally: Tally,
    running: Running,
}

/// Bytes that tasks report which a worker has.
#[derive(Debug, Clone, Copy, Default)]
struct Running {
    done: u128,
    reused: u128,
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobPhase {
    /// Tasks wait or run.
    Running,
    /// It is over, but a worker still holds a task of it.
    Ending(JobEnd),
    /// It is over.
    Ended(JobEnd),
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobEnd {
    /// With a result.
    Done(JobResult),
    /// Without.
    Failed(Failure),
    /// By a person's wish.
    Cancelled,
}

/// Counts kept in step with the tasks, so that no view walks them all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tasks for a worker.
    pub waiting: u32,
    /// Tasks that a worker has.
    pub assigned: u32,
    /// Tasks whose result is in.
    pub done: u32,
    /// Bytes of all tasks known.
    pub bytes: u64,
    /// Bytes of the tasks whose result is in.
    pub bytes_done: u64,
}

/// What a job starts from.
#[derive(Debug, Clone)]
pub(crate) struct NewJob {
    pub(crate) id: JobId,
    pub(crate) kind: String,
    pub(crate) label: String,
    pub(crate) spec: Arc<Value>,
    pub(crate) request_id: String,
    pub(crate) precedence: Precedence,
    pub(crate) trace: Option<TraceContext>,
    pub(crate) exclusive: Option<String>,
    pub(crate) state: Value,
    pub(crate) submitted: Millis,
}

impl Job {
    pub(crate) fn new(new: NewJob) -> Self {
        Self {
            id: new.id,
            kind: new.kind,
            label: new.label,
            spec: new.spec,
            request_id: new.request_id,
            precedence: new.precedence,
            trace: new.trace,
            exclusive: new.exclusive,
            phase: JobPhase::Running,
            state: new.state,
            submitted: new.submitted,
            finished: None,
            tasks: Vec::new(),
            chunks: 0,
            reused: 0,
            reason: None,
            begun: false,
            warm: Arc::default(),
            pace: BTreeMap::new(),
            waiting: BTreeMap::new(),
            tally: Tally::default(),
            running: Running::default(),
        }
    }

    /// Adds a task in whatever phase it is.
    pub(crate) fn push(&mut self, task: Task) -> u32 {
        let index = u32::try_from(self.tasks.len()).unwrap_or(u32::MAX);
        self.tally.bytes = self.tally.bytes.saturating_add(task.spec.demand.bytes);
        self.tasks.push(task);
        self.count(index, 1);
        index
    }

    /// Moves a task to another phase, keeping the counts and the queue in step. Unknown indices are ignored.
    pub(crate) fn set_phase(&mut self, index: u32, phase: TaskPhase) {
        if self.tasks.get(index as usize).is_none() {
            return;
        }
        self.count(index, -1);
        if let Some(task) = self.tasks.get_mut(index as usize) {
            task.phase = phase;
        }
        self.count(index, 1);
    }

    /// Takes in how far the present try of a task is. Unknown indices are ignored.
    pub(crate) fn progress(&mut self, index: u32, done: u64, reused: u64) {
        let Some(task) = self.tasks.get_mut(index as usize) else { return };
        let before = (task.done, task.reused);
        (task.done, task.reused) = (done, reused);
        if task.assignment().is_some() {
            let moved = |sum: u128, before: u64, now: u64| sum.saturating_sub(before.into()) + u128::from(now);
            self.running.done = moved(self.running.done, before.0, done);
            self.running.reused = moved(self.running.reused, before.1, reused);
        }
    }

    /// Forgets what is known of the present try of a task.
    pub(crate) fn clear_try(&mut self, index: u32) {
        self.progress(index, 0, 0);
        if let Some(task) = self.tasks.get_mut(index as usize) {
            (task.reported, task.stopping) = (None, false);
        }
    }

    fn count(&mut self, index: u32, by: i32) {
        let Some(task) = self.tasks.get(index as usize) else { return };
        match task.phase {
            TaskPhase::Waiting => {
                self.tally.waiting = self.tally.waiting.saturating_add_signed(by);
                let class = Class::from(&task.spec.demand);
                let queue = self.waiting.entry(class.clone()).or_default();
                if by > 0 {
                    queue.insert(index);
                } else {
                    queue.remove(&index);
                    if queue.is_empty() {
                        self.waiting.remove(&class);
                    }
                }
            }
            TaskPhase::Assigned(_) => {
                self.tally.assigned = self.tally.assigned.saturating_add_signed(by);
                let (done, reused) = (u128::from(task.done), u128::from(task.reused));
                let Running { done: sum, reused: sum_reused } = &mut self.running;
                if by > 0 {
                    (*sum, *sum_reused) = (*sum + done, *sum_reused + reused);
                } else {
                    (*sum, *sum_reused) = (sum.saturating_sub(done), sum_reused.saturating_sub(reused));
                }
            }
            TaskPhase::Done => {
                self.tally.done = self.tally.done.saturating_add_signed(by);
                let bytes = task.spec.demand.bytes;
                self.tally.bytes_done = if by > 0 {
                    self.tally.bytes_done.saturating_add(bytes)
                } else {
                    self.tally.bytes_done.saturating_sub(bytes)
                };
            }
            TaskPhase::Failed | TaskPhase::Cancelled => {}
        }
    }

    /// The counts.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Bytes done, and bytes kept from an earlier run, with those that tasks report which still run.
    pub(crate) fn bytes_so_far(&self) -> (u64, u64) {
        let capped = |bytes: u128| u64::try_from(bytes).unwrap_or(u64::MAX);
        let (done, reused) = (capped(self.running.done), capped(self.running.reused));
        (self.tally.bytes_done.saturating_add(done).min(self.tally.bytes), self.reused.saturating_add(reused))
    }

    /// Tasks that wait, by class, in the order in which they were made.
    pub(crate) fn waiting(&self) -> &BTreeMap<Class, BTreeSet<u32>> {
        &self.waiting
    }

    /// The members of the gang that a task belongs to, by rank; the task alone when it is in none.
    pub(crate) fn members(&self, index: u32) -> Range<u32> {
        let member = self.tasks.get(index as usize).and_then(|task| task.spec.demand.gang);
        let Some(Member { rank, size }) = member else { return index..index.saturating_add(1) };
        let first = index.saturating_sub(rank);
        first..first.saturating_add(size)
    }

    /// Gangs of a class all of whose members wait, by their first tasks. A task in no gang counts as a gang of one.
    pub(crate) fn waiting_gangs(&self, class: &Class) -> impl Iterator<Item = u32> + '_ {
        let (queue, gang) = (self.waiting.get(class), class.gang);
        queue.into_iter().flatten().copied().filter(move |&index| {
            let members = self.members(index);
            members.start == index
                && queue.is_some_and(|queue| gang == 1 || members.clone().all(|member| queue.contains(&member)))
        })
    }

    /// Tasks that are not over yet.
    pub fn open(&self) -> usize {
        self.tally.waiting as usize + self.tally.assigned as usize
    }

    /// Whether it is over and nothing of it runs.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, JobPhase::Ended(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Assignment;
    use braid_workload::{Demand, LeaseId, TaskSpec};
    use proptest::prelude::*;

    fn phase(kind: u8) -> TaskPhase {
        match kind % 5 {
            0 => TaskPhase::Waiting,
            1 => TaskPhase::Assigned(Assignment { node: NodeId("n".into()), lease: LeaseId(1), since: Millis(0) }),
            2 => TaskPhase::Done,
            3 => TaskPhase::Failed,
            _ => TaskPhase::Cancelled,
        }
    }

    proptest! {
        /// The counts and the queue always equal what a walk over the tasks finds.
        #[test]
        fn the_tally_agrees_with_the_tasks(sizes in proptest::collection::vec(0u64..1000, 1..20), moves in proptest::collection::vec((0u32..24, 0u8..5), 0..60)) {
            let mut job = Job::new(NewJob {
                id: JobId(1), kind: "k".into(), label: String::new(), spec: Arc::new(Value::Null), request_id: String::new(),
                precedence: Precedence::default(), trace: None, exclusive: None, state: Value::Null, submitted: Millis(0),
            });
            for bytes in &sizes {
                let demand = Demand { bytes: *bytes, memory: bytes % 3, wide: bytes % 2 == 0, ..Demand::default() };
                job.push(Task::new(TaskSpec { label: String::new(), payload: Value::Null, demand }));
            }
            for (index, kind) in moves {
                job.set_phase(index, phase(kind));
            }
            let of = |want: u8| job.tasks.iter().filter(move |task| task.phase == phase(want));
            let tally = job.tally();
            prop_assert_eq!(tally.waiting as usize, of(0).count());
            prop_assert_eq!(tally.assigned as usize, of(1).count());
            prop_assert_eq!(tally.done as usize, of(2).count());
            prop_assert_eq!(tally.bytes, sizes.iter().sum::<u64>());
            prop_assert_eq!(tally.bytes_done, of(2).map(|task| task.spec.demand.bytes).sum::<u64>());
            let queued: BTreeSet<u32> = job.waiting().values().flatten().copied().collect();
            let waiting: BTreeSet<u32> =
                (0u32..).zip(&job.tasks).filter(|(_, task)| task.phase == TaskPhase::Waiting).map(|(index, _)| index).collect();
            prop_assert_eq!(queued, waiting);
        }
    }
}
