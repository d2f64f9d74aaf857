//! The core that decides: `step(event, now) -> effects`.
//!
//! No I/O, no clock, no randomness. Everything that can happen (a submit, a result that comes twice, a worker that is
//! lost, a restart) is an [`Event`]; everything that must be done about it is an [`Effect`]. The
//! [`runtime`](crate::runtime) performs the effects, and holds back whatever leaves the coordinator until the writes
//! before it are durable: nobody ever learns of something that a crash could undo.
//!
//! | file | decides |
//! |---|---|
//! | `submit` | what becomes of a new job, and of a wish to cancel one |
//! | `session` | who a worker is, and what it may go on with |
//! | `outcome` | what a result changes |
//! | `ending` | how a job ends, and what is forgotten |
//! | `assign` | what to ask placement, and what its answer starts |
//! | `gang` | which tasks start together, and what becomes of them when one fails |
//! | `fairness` | whose tasks go first, and how many |
//! | `projects` | what projects use and may use |
//! | `preempt` | who makes room for a higher priority |
//! | `upkeep` | what operators say about nodes: cordon, drain, labels |
//! | `recover` | the state that the records of a store describe |
//!
//! Beside them, each step notes [`Fact`]s for those who count, and a [`Timeline`] of attempts for those who look.

mod assign;
mod effect;
mod ending;
mod event;
mod fact;
mod fairness;
mod gang;
mod outcome;
mod preempt;
mod projects;
mod recover;
mod session;
mod submit;
#[cfg(test)]
mod tests;
mod timeline;
mod upkeep;

pub use effect::{Effect, Message, Refusal, Run};
pub use event::{Event, Held, ReplyId, Report, TaskProgress};
pub use fact::{AttemptEnd, Fact, Figures};
pub use recover::{Records, recover};
pub use timeline::{Span, Timeline};
pub use upkeep::NodeWish;

use crate::model::{Change, Job, Millis, Node, Project, SessionId, Upkeep};
use braid_workload::{JobId, LeaseId, NodeId, Registry, Workload};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};
use submit::Wish;

/// Tries of a task that may fail before its job does, unless its kind says otherwise.
pub const MAX_FAILURES: u32 = 3;
/// Workers that a task may lose before it is taken for their killer.
pub const MAX_LOSSES: u32 = 10;
/// Ended jobs that are kept for people to look at.
pub const KEEP_ENDED: usize = 256;
/// The largest state or result of a workload, so that the job's record stays within the store's limit.
pub const MAX_STATE: usize = 24 << 10;
/// The deepest nesting of a value in a record; half of what its reader takes, as records wrap values.
pub const MAX_DEPTH: usize = 64;
/// The longest text for people that is kept, in bytes of a record; the rest is cut off.
pub const MAX_TEXT: usize = 4 << 10;

/// All that the coordinator knows.
#[derive(Debug, Default)]
pub struct State {
    jobs: BTreeMap<JobId, Job>,
    nodes: BTreeMap<NodeId, Node>,
    upkeep: BTreeMap<NodeId, Upkeep>,
    projects: BTreeMap<String, Project>,
    sessions: BTreeMap<SessionId, NodeId>,
    requests: HashMap<String, JobId>,
    last_job: u64,
    epoch: u64,
    leases: u64,
    /// Something changed that may let placement do more.
    unplaced: bool,
    /// What happened and nobody has counted yet.
    facts: Vec<Fact>,
    /// Which node ran what, and when.
    timeline: Timeline,
}

/// The state and what it is stepped with.
pub struct Engine {
    state: State,
    workloads: Registry<dyn Workload>,
    lease: Duration,
    /// What the members of a gang show each other.
    secret: String,
}

/// What a step adds up to, in the order in which it must be done.
type Effects = Vec<Effect>;

impl Engine {
    /// An engine that goes on from `state`; a worker that is silent for `lease` is lost. Members of a gang know each other by the
    /// `secret`.
    pub fn new(state: State, workloads: Registry<dyn Workload>, lease: Duration, secret: String) -> Self {
        Self { state, workloads, lease, secret }
    }

    /// Takes in one event.
    pub fn step(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        let mut effects = Effects::new();
        match event {
            Event::Submit { reply, kind, spec, request_id, precedence, trace } => {
                let wish = Wish { kind, spec, request_id, precedence, trace };
                let result = self.submit(wish, now, &mut effects);
                effects.push(Effect::Answer { reply, result });
            }
            Event::Cancel { reply, job } => {
                let result = self.cancel(job, now, &mut effects);
                effects.push(Effect::Answer { reply, result });
            }
            Event::ChangeNode { reply, node, wish } => {
                let result = self.change_node(&node, wish, now, &mut effects);
                effects.push(Effect::Confirm { reply, result });
            }
            Event::SetProject { reply, name, project } => {
                let result = self.set_project(name, project, &mut effects);
                effects.push(Effect::Confirm { reply, result });
            }
            Event::Hello { session, node, inventory, held } => self.hello(session, node, inventory, held, now, &mut effects),
            Event::Disconnected { session } => self.disconnected(session),
            Event::KeepAlive { session, progress } => self.keep_alive(session, &progress, now),
            Event::Disks { session, disks } => self.disks(session, disks),
            Event::Finished { session, report } => self.finished(session, report, now, &mut effects),
            Event::Placed(decision) => self.placed(decision, now, &mut effects),
            Event::Awoke => self.awoke(now),
            Event::Tick => {
                self.expire(now, &mut effects);
                self.evict(now, &mut effects);
            }
        }
        effects
    }

    /// What happened in the steps since the last call, for those who count.
    pub fn facts(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.state.facts)
    }

    /// What is known, for those who only look.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// How long a worker may be silent.
    pub fn lease(&self) -> Duration {
        self.lease
    }
}

impl State {
    /// A job by its number.
    pub fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id)
    }

    /// The jobs, oldest first.
    pub fn jobs(&self) -> impl DoubleEndedIterator<Item = &Job> {
        self.jobs.values()
    }

    /// The nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// Nodes that operators have said something about and that have no worker now.
    pub fn absent_nodes(&self) -> impl Iterator<Item = (&NodeId, &Upkeep)> {
        upkeep::absent(self)
    }

    /// Which node ran which attempt, and when.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// A lease that was never given before: the epoch of this coordinator, then a count.
    fn next_lease(&mut self) -> LeaseId {
        self.leases += 1;
        LeaseId((self.epoch << 32) | self.leases)
    }
}

impl From<Change> for Effect {
    fn from(change: Change) -> Self {
        Self::Write(change)
    }
}
