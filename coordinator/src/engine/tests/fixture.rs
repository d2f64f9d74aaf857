//! One engine and its records, stepped by hand: every write is durable at once.

use super::harness::{
    LEASE, checks,
    durable::Durable,
    toy::{self, ToySpec},
    worker::inventory,
};
use crate::{
    engine::{Effect, Engine, Event, Held, Message, Refusal, ReplyId, Report, Run, recover},
    model::{Job, JobEnd, JobPhase, Millis, Precedence, SessionId, Task},
    placement::{Decision, Greedy, Placement, Placer},
};
use braid_workload::{Failure, JobId, NodeId, TaskId, TaskOutcome};
use std::time::Duration;

pub(crate) struct Fixture {
    pub(crate) engine: Engine,
    pub(crate) durable: Durable,
    pub(crate) now: Millis,
    epoch: u64,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::from(Durable::default(), 1)
    }

    fn from(durable: Durable, epoch: u64) -> Self {
        let now = Millis(1_000_000 * epoch);
        let state = recover(&durable.records(), epoch, LEASE, now).unwrap();
        checks::consistent(&state);
        Self { engine: Engine::new(state, toy::registry().0, LEASE, "secret".into()), durable, now, epoch }
    }

    /// Another coordinator, from what is durable.
    pub(crate) fn restart(self) -> Self {
        Self::from(self.durable, self.epoch + 1)
    }

    pub(crate) fn step(&mut self, event: Event) -> Vec<Effect> {
        let effects = self.engine.step(event, self.now);
        checks::consistent(self.engine.state());
        self.durable.push(effects.clone(), Vec::new());
        while !self.durable.is_settled() {
            self.durable.perform();
        }
        effects
    }

    /// Does so much of what an event brings (transactions, then what they release), dies, and starts again.
    pub(crate) fn crash_after(mut self, event: Event, actions: usize) -> Self {
        let effects = self.engine.step(event, self.now);
        self.durable.push(effects, Vec::new());
        for _ in 0..actions {
            self.durable.perform();
        }
        self.durable.crash();
        self.restart()
    }

    pub(crate) fn submit(&mut self, spec: ToySpec) -> Result<JobId, Refusal> {
        self.submit_as(spec, Precedence::default())
    }

    pub(crate) fn submit_as(&mut self, spec: ToySpec, precedence: Precedence) -> Result<JobId, Refusal> {
        let (request_id, spec) = (spec.tag.clone(), spec.value());
        answer(self.step(Event::Submit { reply: ReplyId(1), kind: "toy".into(), spec, request_id, precedence, trace: None }))
    }

    pub(crate) fn cancel(&mut self, job: JobId) -> Result<JobId, Refusal> {
        answer(self.step(Event::Cancel { reply: ReplyId(1), job }))
    }

    pub(crate) fn hello(&mut self, session: u64, node: &str, held: Vec<Held>) -> Vec<Effect> {
        self.step(Event::Hello { session: SessionId(session), node: NodeId(node.into()), inventory: inventory(), held })
    }

    /// What placement starts now, if it is to be asked.
    pub(crate) fn place(&mut self) -> Vec<Run> {
        runs(self.placed())
    }

    /// What comes of asking placement, if it is to be asked.
    pub(crate) fn placed(&mut self) -> Vec<Effect> {
        let Some(problem) = self.engine.problem() else { return Vec::new() };
        let decision = Greedy.place(&problem);
        self.step(Event::Placed(decision))
    }

    /// Gives all waiting tasks of a job to a node, whatever placement would say.
    pub(crate) fn give(&mut self, job: JobId, node: &str) -> Vec<Run> {
        let classes = self.job(job).waiting().keys();
        let placements =
            classes.map(|class| Placement { job, class: class.clone(), node: NodeId(node.into()), count: u32::MAX }).collect();
        runs(self.step(Event::Placed(Decision { placements, ..Decision::default() })))
    }

    pub(crate) fn finish(&mut self, session: u64, run: &Run) -> Vec<Effect> {
        let outcome = ToySpec::read(&run.spec).unwrap().run(&run.payload).unwrap();
        self.report(session, run.held, outcome)
    }

    pub(crate) fn fail(&mut self, session: u64, held: Held, failure: Failure) -> Vec<Effect> {
        self.report(session, held, TaskOutcome::Failed(failure))
    }

    pub(crate) fn report(&mut self, session: u64, held: Held, outcome: TaskOutcome) -> Vec<Effect> {
        let holder = self.engine.state().job(held.task.job).and_then(|job| job.tasks.get(held.task.index as usize));
        let node = holder.and_then(|task| task.assignment()).map_or_else(|| NodeId("nobody".into()), |to| to.node.clone());
        let report = Report { node, held, outcome, ran: Duration::from_millis(1), done: 1, reused: 0 };
        self.step(Event::Finished { session: SessionId(session), report })
    }

    pub(crate) fn keep_alive(&mut self, session: u64) {
        self.step(Event::KeepAlive { session: SessionId(session), progress: Vec::new() });
    }

    /// Time passes, and somebody looks.
    pub(crate) fn wait(&mut self, time: Duration) -> Vec<Effect> {
        self.now = self.now + time;
        self.step(Event::Tick)
    }

    /// A job of so many parts whose first task is done, with a worker `a` on stream 1.
    pub(crate) fn planned(parts: u64) -> (Self, JobId) {
        let mut fixture = Self::new();
        fixture.hello(1, "a", Vec::new());
        let job = fixture.submit(ToySpec { tag: "t".into(), parts, ..ToySpec::default() }).unwrap();
        let plan = fixture.place().remove(0);
        fixture.finish(1, &plan);
        (fixture, job)
    }

    /// A job of so many parts whose first task is done, so that the parts wait.
    pub(crate) fn waiting(&mut self, tag: &str, parts: u64, priority: i32, project: &str) -> JobId {
        let spec = ToySpec { tag: tag.into(), parts, ..ToySpec::default() };
        let job = self.submit_as(spec, Precedence { priority, project: project.into(), ..Precedence::default() }).unwrap();
        let plan = self.give(job, "a").remove(0);
        self.finish(1, &plan);
        job
    }

    /// With a worker `a` on stream 1.
    pub(crate) fn with_a_worker() -> Self {
        let mut fixture = Self::new();
        fixture.hello(1, "a", Vec::new());
        fixture
    }

    /// Runs a job to its end on worker `a`, stream 1.
    pub(crate) fn complete(&mut self, job: JobId) {
        while !self.job(job).is_over() {
            for run in self.give(job, "a") {
                self.finish(1, &run);
            }
        }
    }

    pub(crate) fn job(&self, id: JobId) -> &Job {
        self.engine.state().job(id).unwrap()
    }

    pub(crate) fn task(&self, id: TaskId) -> &Task {
        &self.job(id.job).tasks[id.index as usize]
    }

    /// How a job failed.
    pub(crate) fn failure(&self, id: JobId) -> &Failure {
        match &self.job(id).phase {
            JobPhase::Ended(JobEnd::Failed(failure)) | JobPhase::Ending(JobEnd::Failed(failure)) => failure,
            phase => panic!("{phase:?}"),
        }
    }
}

/// What a stream is told.
pub(crate) fn told(effects: &[Effect], to: u64) -> Vec<Message> {
    let message = |effect: &Effect| match effect {
        Effect::Send { session, message } if *session == SessionId(to) => Some(message.clone()),
        _ => None,
    };
    effects.iter().filter_map(message).collect()
}

pub(crate) fn runs(effects: Vec<Effect>) -> Vec<Run> {
    let run = |effect| match effect {
        Effect::Send { message: Message::Run(run), .. } => Some(*run),
        _ => None,
    };
    effects.into_iter().filter_map(run).collect()
}

/// The jobs of what is started, in order.
pub(crate) fn jobs(runs: &[Run]) -> Vec<u64> {
    runs.iter().map(|run| run.held.task.job.0).collect()
}

fn answer(mut effects: Vec<Effect>) -> Result<JobId, Refusal> {
    match effects.pop() {
        Some(Effect::Answer { result, .. }) => {
            assert!(result.is_ok() || effects.is_empty(), "{result:?} and yet {effects:?}");
            result
        }
        other => panic!("no answer but {other:?}"),
    }
}
