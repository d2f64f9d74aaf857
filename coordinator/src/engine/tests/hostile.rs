//! No event, however malformed, panics or breaks an invariant.
//!
//! Sessions, jobs, tasks and fences are drawn from what exists, from what did, and from nowhere; answers of placement come
//! twice, late, or were never given. `BRAID_HOSTILE=SEED` repeats one run.

use super::harness::{
    LEASE, checks,
    durable::Durable,
    toy::{self, ToySpec, Trouble},
};
use crate::{
    engine::{Effect, Engine, Event, Held, Message, ReplyId, Report, State, TaskProgress},
    model::{Class, Device, Disk, Gpus, Inventory, Measured, Millis, Precedence, SessionId},
    placement::{Decision, GangPlacement, Greedy, Placement, Placer, Wait},
};
use braid_workload::{AttemptId, Failure, FailureKind, JobId, LeaseId, NodeId, TaskOutcome};
use fastrand::Rng;
use serde_json::{Value, json};
use std::time::Duration;

const NODES: [&str; 4] = ["a", "b", "ö/../c", ""];
const STEPS: usize = 1500;

struct Hostile {
    rng: Rng,
    engine: Engine,
    durable: Durable,
    /// Attempts that were handed out at some time.
    held: Vec<Held>,
    decisions: Vec<Decision>,
    now: Millis,
}

impl Hostile {
    fn new(seed: u64) -> Self {
        let engine = Engine::new(State::default(), toy::registry().0, LEASE, "secret".into());
        let rng = Rng::with_seed(seed);
        Self { rng, engine, durable: Durable::default(), held: Vec::new(), decisions: Vec::new(), now: Millis(0) }
    }

    fn number(&mut self) -> u64 {
        match self.rng.u8(0..8) {
            0 => u64::MAX - self.rng.u64(0..2),
            1 => self.rng.u64(..),
            _ => self.rng.u64(0..6),
        }
    }

    fn index(&mut self) -> u32 {
        u32::try_from(self.number()).unwrap_or(u32::MAX)
    }

    fn one_of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.rng.usize(0..list.len())].clone()
    }

    fn session(&mut self) -> SessionId {
        SessionId(self.number())
    }

    fn text(&mut self) -> String {
        self.one_of(&["", "x", "\u{0}\u{1}\"\\\n", "é"]).repeat(self.rng.usize(0..3000))
    }

    /// An attempt: one that was handed out, or nearly so, or none.
    fn attempt(&mut self) -> Held {
        let (job, index, attempt, lease) = (JobId(self.number()), self.index(), AttemptId(self.index()), LeaseId(self.number()));
        let Some(real) = self.rng.choice(self.held.iter().copied()) else {
            return Held { task: job.task(index), attempt, lease };
        };
        match self.rng.u8(0..10) {
            0 => Held { attempt, ..real },
            1 => Held { lease, ..real },
            2 => Held { task: real.task.job.task(index), ..real },
            3 => Held { task: job.task(index), attempt, lease },
            _ => real,
        }
    }

    fn event(&mut self) -> Event {
        match self.rng.u8(0..16) {
            0 | 1 => self.submit(),
            2 => Event::Cancel { reply: ReplyId(self.number()), job: JobId(self.number()) },
            3 | 4 => self.hello(),
            5 => Event::Disconnected { session: self.session() },
            6 => {
                let progress = (0..self.rng.usize(0..4)).map(|_| {
                    let Held { task, attempt, .. } = self.attempt();
                    TaskProgress { task, attempt, done: self.number(), reused: self.number() }
                });
                Event::KeepAlive { progress: progress.collect(), session: SessionId(3) }
            }
            7..=10 => self.finished(),
            11 if self.rng.bool() => Event::Disks { session: self.session(), disks: self.disks() },
            11 => Event::Tick,
            _ => Event::Placed(self.decision()),
        }
    }

    fn submit(&mut self) -> Event {
        let trouble = [
            None,
            Some(Trouble::Endless),
            Some(Trouble::Huge),
            Some(Trouble::HugeTask),
            Some(Trouble::Idle),
            Some(Trouble::Stall),
        ];
        let tag = format!("job-{}", self.number());
        let right = ToySpec {
            gang: self.rng.u32(0..4),
            tag: tag.clone(),
            parts: self.rng.u64(0..6),
            further: self.rng.u64(0..3),
            quiet: self.rng.bool(),
            exclusive: self.rng.bool().then(|| self.text()),
            stubborn: false,
            padding: self.rng.usize(0..2) * self.rng.usize(0..40_000),
            trouble: self.one_of(&trouble),
        };
        let spec = match self.rng.u8(0..10) {
            0 => Value::Null,
            1 => json!({ "tag": [tag] }),
            2 => json!(self.text()),
            _ => right.value(),
        };
        let request_id = if self.rng.u8(0..20) == 0 { String::new() } else { tag };
        let kind = if self.rng.u8(0..20) == 0 { self.text() } else { "toy".into() };
        Event::Submit { reply: ReplyId(self.number()), kind, spec, request_id, precedence: Precedence::default(), trace: None }
    }

    fn hello(&mut self) -> Event {
        let inventory = Inventory {
            exchange: if self.rng.u8(0..4) == 0 { String::new() } else { self.text() },
            threads: self.index(),
            memory: self.number(),
            kinds: self.rng.bool().then(|| "toy".to_owned()).into_iter().collect(),
            address: self.text(),
            version: self.text(),
            gpus: Gpus { count: self.index(), kind: self.text(), memory: self.number() },
            labels: self.rng.bool().then(|| (self.text(), self.text())).into_iter().collect(),
            link: self.rng.bool().then(|| self.number()),
            disk: self.rng.bool().then(|| self.number()),
            disks: self.disks(),
            measured: self.rng.bool().then(|| {
                Box::new(Measured {
                    disk_read: self.rng.bool().then(|| self.number()),
                    disk_write: self.rng.bool().then(|| self.number()),
                    ..Measured::default()
                })
            }),
            devices: vec![Device { kind: self.text(), ..Device::default() }],
            gpu_driver: self.text(),
        };
        let mut held: Vec<Held> = (0..self.rng.usize(0..8)).map(|_| self.attempt()).collect();
        if self.rng.bool() {
            held.extend_from_within(..);
        }
        Event::Hello { session: self.session(), node: NodeId(self.one_of(&NODES).into()), inventory, held }
    }

    fn disks(&mut self) -> Vec<Disk> {
        let mut disk =
            |_| Disk { mount: self.text(), device: self.text(), kind: self.text(), total: self.number(), free: self.number() };
        (0..2).map(&mut disk).collect()
    }

    fn finished(&mut self) -> Event {
        let kinds = [FailureKind::Fatal, FailureKind::Retry, FailureKind::Retry, FailureKind::Cancelled];
        let outcome = match self.rng.u8(0..8) {
            0 => TaskOutcome::Done(json!({ "not": self.text() })),
            1 => TaskOutcome::Done(json!("x".repeat(70_000))),
            2 | 3 => {
                let hint = self.rng.bool().then(|| self.text());
                TaskOutcome::Failed(Failure { kind: self.one_of(&kinds), message: self.text(), hint, exit: None })
            }
            _ => TaskOutcome::Done(json!(1)),
        };
        let ran = self.one_of(&[Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(1), Duration::MAX]);
        let held = self.attempt();
        let holder = self.engine.state().job(held.task.job).and_then(|job| job.tasks.get(held.task.index as usize));
        let holder = holder.and_then(|task| task.assignment()).map(|to| to.node.clone());
        let stranger = NodeId(self.one_of(&NODES).into());
        let node = holder.filter(|_| self.rng.u8(0..8) > 0).unwrap_or(stranger);
        let report = Report { node, held, outcome, ran, done: self.number(), reused: self.number() };
        Event::Finished { session: self.session(), report }
    }

    fn decision(&mut self) -> Decision {
        if let Some(problem) = self.engine.problem() {
            self.decisions.push(Greedy.place(&problem));
        }
        if self.rng.bool()
            && let Some(decision) = self.rng.choice(self.decisions.iter().rev().take(3).cloned())
        {
            return decision;
        }
        let placements = (0..self.rng.usize(0..4)).map(|_| Placement {
            job: JobId(self.number()),
            class: Class { wide: self.rng.bool(), memory: self.number() % 4, gang: self.one_of(&[1, 1, 2]), ..Class::default() },
            node: NodeId(self.one_of(&NODES).into()),
            count: self.index(),
        });
        let placements = placements.collect();
        let gangs = (0..self.rng.usize(0..3)).map(|_| GangPlacement {
            job: JobId(self.number()),
            class: Class { wide: self.rng.bool(), memory: self.number() % 4, gang: self.one_of(&[1, 2, 3]), ..Class::default() },
            nodes: (0..self.rng.usize(0..4)).map(|_| NodeId(self.one_of(&NODES).into())).collect(),
        });
        let gangs = gangs.collect();
        Decision { placements, gangs, reasons: vec![(JobId(self.number()), Wait::NoWorker)] }
    }

    fn act(&mut self, last: bool) {
        self.now = Millis(self.now.0.saturating_add(self.rng.u64(0..50)));
        if last {
            self.now = Millis(u64::MAX);
        }
        let event = self.event();
        let before = checks::Before::of(self.engine.state());
        let silent: Vec<NodeId> =
            self.engine.state().nodes().filter(|node| node.expires <= self.now).map(|node| node.id.clone()).collect();
        let effects = self.engine.step(event.clone(), self.now);
        before.leads_to(&event, &effects, self.engine.state(), |node| silent.contains(node));
        checks::consistent(self.engine.state());
        self.held.extend(effects.iter().filter_map(|effect| match effect {
            Effect::Send { message: Message::Run(run), .. } => Some(run.held),
            _ => None,
        }));
        let old = self.held.len().saturating_sub(50);
        self.held.drain(..old);
        self.durable.push(effects, Vec::new());
        while !self.durable.is_settled() {
            self.durable.perform();
        }
    }
}

#[test]
fn no_event_panics_or_breaks_an_invariant() {
    let only: Option<u64> = std::env::var("BRAID_HOSTILE").ok().map(|seed| seed.parse().unwrap());
    let mut ends = [0; 3];
    for seed in only.map_or(0..40, |seed| seed..seed + 1) {
        let run = std::panic::catch_unwind(|| {
            let mut hostile = Hostile::new(seed);
            for step in 0..STEPS {
                hostile.act(step + 5 > STEPS);
            }
            checks::recoverable(hostile.engine.state(), &hostile.durable.records(), LEASE);
            let over = hostile.engine.state().jobs().filter(|job| job.is_over()).count();
            (over, hostile.engine.state().jobs().count(), hostile.durable.records.len())
        });
        let Ok((over, jobs, records)) = run else { panic!("see it again with BRAID_HOSTILE={seed}") };
        ends = [ends[0] + over, ends[1] + jobs, ends[2] + records];
    }
    let [over, jobs, records] = ends;
    assert!(only.is_some() || (over > 0 && over < jobs && records > 3 * jobs), "nothing much happened: {ends:?}");
}
