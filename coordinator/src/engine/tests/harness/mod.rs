//! A simulated world around the engine: workers, clients, a network between them, a store that becomes durable later.
//!
//! Nothing here decides when something happens: [`simulation`](super::simulation) does, by a seed. Each step of the engine
//! is checked against [`checks`], each write against [`durable`], each answer and each end of a job by [`clients`].

pub(crate) mod checks;
mod clients;
pub(crate) mod durable;
mod partition;
mod seen;
pub(crate) mod toy;
pub(crate) mod worker;

use crate::{
    engine::{Effect, Engine, Event, Message, Records, recover},
    model::{Millis, SessionId},
    placement::{Decision, Greedy, Placer},
};
use braid_workload::{AttemptId, LeaseId, NodeId, Registry, TaskId, Workload};
use clients::Clients;
use durable::Durable;
use partition::Partition;
pub(crate) use partition::{Cut, Way};
pub(crate) use seen::Seen;
use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};
use toy::Call;
use worker::Worker;

pub(crate) const LEASE: Duration = Duration::from_millis(1000);

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) durable: Durable,
    pub(crate) clients: Clients,
    pub(crate) workers: Vec<Worker>,
    pub(crate) links: BTreeMap<SessionId, Link>,
    pub(crate) decisions: VecDeque<Decision>,
    pub(crate) placer: Box<dyn Placer>,
    pub(crate) now: Millis,
    pub(crate) seen: Seen,
    /// Print what happens.
    pub(crate) trace: bool,
    registry: Registry<dyn Workload>,
    calls: Arc<Mutex<Vec<Call>>>,
    epoch: u64,
    sessions: u64,
    leases: HashSet<LeaseId>,
    heard: BTreeMap<NodeId, Millis>,
    tries: BTreeMap<TaskId, AttemptId>,
    partitions: BTreeMap<usize, Partition>,
    /// The newest session of each worker that the coordinator has read from.
    newest: BTreeMap<usize, SessionId>,
    reports: HashSet<(TaskId, AttemptId, LeaseId)>,
}

/// One stream: what is on its way up and down.
pub(crate) struct Link {
    pub(crate) worker: usize,
    pub(crate) up: VecDeque<Event>,
    pub(crate) down: VecDeque<Message>,
}

impl World {
    pub(crate) fn new(workers: usize) -> Self {
        let (registry, calls) = toy::registry();
        let now = Millis(1_000_000);
        let state = recover(&Records::default(), 1, LEASE, now).unwrap();
        Self {
            engine: Engine::new(state, registry.clone(), LEASE, "secret".into()),
            durable: Durable::default(),
            clients: Clients::default(),
            workers: (0..workers).map(|number| Worker::new(NodeId(format!("node-{number}")))).collect(),
            links: BTreeMap::new(),
            decisions: VecDeque::new(),
            placer: Box::new(Greedy),
            now,
            seen: Seen::default(),
            trace: false,
            registry,
            calls,
            epoch: 1,
            sessions: 0,
            leases: HashSet::new(),
            heard: BTreeMap::new(),
            tries: BTreeMap::new(),
            partitions: BTreeMap::new(),
            newest: BTreeMap::new(),
            reports: HashSet::new(),
        }
    }

    /// Lets the engine take in an event, and checks what it makes of it.
    pub(crate) fn step(&mut self, event: Event) {
        let before = checks::Before::of(self.engine.state());
        self.hear(&event);
        let effects = self.engine.step(event.clone(), self.now);
        if self.trace {
            eprintln!("{} {event:?}\n    -> {effects:?}", self.now.0);
        }
        before.leads_to(&event, &effects, self.engine.state(), |node| self.heard[node] + LEASE <= self.now);
        checks::consistent(self.engine.state());
        checks::quotas_are_kept(&effects, self.engine.state());
        checks::closed_nodes_get_nothing(&effects, self.engine.state());
        checks::gangs_start_whole(&effects, self.engine.state());
        self.seen.step(&event, &effects, self.epoch);
        for effect in &effects {
            if let Effect::Send { message: Message::Welcome { lease, .. }, .. } = effect {
                assert!(self.leases.insert(*lease), "lease {lease} is given twice");
            }
        }
        let calls = std::mem::take(&mut *self.calls.lock().unwrap());
        self.durable.push(effects, calls);
    }

    /// Notes when a node was last heard of, beside the engine's own book.
    fn hear(&mut self, event: &Event) {
        let node = match event {
            Event::Hello { node, .. } => Some(node),
            Event::KeepAlive { session, .. } => self.engine.state().sessions.get(session),
            _ => None,
        };
        self.heard.extend(node.map(|node| (node.clone(), self.now)));
    }

    /// Makes the next write durable, or releases the next effect.
    pub(crate) fn perform(&mut self) {
        match self.durable.perform() {
            Some(Effect::Answer { reply, result }) => self.clients.answer(reply, result, &self.durable.records),
            Some(Effect::Close { session, .. }) => self.dismiss(session),
            Some(Effect::Send { session, message }) => {
                if let Message::Run(run) = &message {
                    let held = run.held;
                    let old = self.tries.insert(held.task, held.attempt);
                    assert!(old.is_none_or(|old| old < held.attempt), "{held:?} leaves after {old:?}");
                }
                if let Some(link) = self.links.get_mut(&session) {
                    link.down.push_back(message);
                }
            }
            Some(Effect::Confirm { .. } | Effect::Prepare(_) | Effect::Write(_)) | None => {}
        }
    }

    pub(crate) fn connect(&mut self, worker: usize) {
        self.sessions += 1;
        let session = SessionId(self.sessions);
        let hello = self.workers[worker].hello(session);
        self.links.insert(session, Link { worker, up: [hello].into(), down: VecDeque::new() });
    }

    /// Ends a stream. What was on its way up may still be read by the coordinator; what was on its way down is gone.
    pub(crate) fn close(&mut self, session: SessionId) {
        let Some(link) = self.links.get_mut(&session) else { return };
        link.down.clear();
        link.up.push_back(Event::Disconnected { session });
        let worker = &mut self.workers[link.worker];
        if worker.session == Some(session) {
            worker.session = None;
        }
    }

    /// The coordinator ends a stream; a worker that it cannot reach does not know.
    fn dismiss(&mut self, session: SessionId) {
        let Some(link) = self.links.get(&session) else { return };
        let (worker, before) = (link.worker, self.workers[link.worker].session);
        self.close(session);
        if self.is_cut(worker, Way::Down) {
            self.workers[worker].session = before;
        }
    }

    /// The coordinator reads the next message of a stream.
    pub(crate) fn read(&mut self, session: SessionId) {
        let Some(link) = self.links.get(&session) else { return };
        let worker = link.worker;
        if self.is_cut(worker, Way::Up) {
            return;
        }
        let Some(event) = self.links.get_mut(&session).and_then(|link| link.up.pop_front()) else { return };
        if matches!(event, Event::Disconnected { .. }) {
            self.links.remove(&session);
        }
        let newest = self.newest.entry(worker).or_insert(session);
        self.seen.overtaken += u64::from(session < *newest);
        *newest = session.max(*newest);
        if let Event::Finished { report, .. } = &event {
            let held = report.held;
            self.seen.repeated += u64::from(!self.reports.insert((held.task, held.attempt, held.lease)));
        }
        self.step(event);
    }

    /// The worker reads the next message of a stream.
    pub(crate) fn deliver(&mut self, session: SessionId) {
        let Some(link) = self.links.get(&session) else { return };
        if self.is_cut(link.worker, Way::Down) {
            return;
        }
        let Some(link) = self.links.get_mut(&session) else { return };
        let worker = &mut self.workers[link.worker];
        let message = link.down.pop_front();
        // A worker that has opened a newer stream does not listen to the old one.
        if let Some(message) = message.filter(|_| worker.session == Some(session)) {
            link.up.extend(worker.receive(session, message));
        }
    }

    /// Sends what a worker has to say.
    pub(crate) fn tell(&mut self, event: Option<Event>, worker: usize) {
        let link = self.workers[worker].session.and_then(|session| self.links.get_mut(&session));
        if let (Some(link), Some(event)) = (link, event) {
            link.up.push_back(event);
        }
    }

    /// A worker's process ends; its next one knows nothing.
    pub(crate) fn kill(&mut self, worker: usize) {
        if let Some(session) = self.workers[worker].session {
            self.close(session);
        }
        self.workers[worker].restart();
    }

    pub(crate) fn place(&mut self) {
        if let Some(problem) = self.engine.problem() {
            self.decisions.push_back(self.placer.place(&problem));
        }
    }

    /// The coordinator dies with all that is not durable, and another starts from what is.
    pub(crate) fn crash(&mut self) {
        self.durable.crash();
        self.clients.hang_up();
        self.decisions.clear();
        for worker in 0..self.workers.len() {
            // Who cannot be reached does not know.
            if !self.is_cut(worker, Way::Down) {
                self.workers[worker].session = None;
            }
        }
        self.links.clear();
        self.epoch += 1;
        self.seen.crashes += 1;
        if self.trace {
            eprintln!("{} ---- crash, epoch {}", self.now.0, self.epoch);
        }
        let state = recover(&self.durable.records(), self.epoch, LEASE, self.now).unwrap();
        checks::consistent(&state);
        checks::adopted(&state, &self.durable.records());
        self.heard = state.nodes().map(|node| (node.id.clone(), self.now)).collect();
        self.engine = Engine::new(state, self.registry.clone(), LEASE, "secret".into());
    }

    /// Without further faults: everybody comes back, everything arrives, and all jobs end.
    pub(crate) fn settle(&mut self) {
        self.heal_all();
        for _ in 0..10_000 {
            let busy = self.engine.state().jobs().any(|job| !job.is_over());
            let unanswered = self.clients.unanswered();
            if !busy && unanswered.is_empty() && self.durable.is_settled() {
                return;
            }
            for wish in unanswered {
                let submit = self.clients.submit(wish);
                self.step(submit);
            }
            self.round();
        }
        panic!("the world does not come to rest");
    }

    /// Everything that is on its way arrives, and every attempt ends.
    fn round(&mut self) {
        for number in 0..self.workers.len() {
            if self.workers[number].session.is_none() {
                self.connect(number);
            }
            for held in self.workers[number].running() {
                match self.workers[number].finish(held, None) {
                    Ok(event) => self.tell(event, number),
                    Err(()) => {
                        self.kill(number);
                        break;
                    }
                }
            }
            let alive = self.workers[number].keep_alive();
            self.tell(alive, number);
        }
        self.place();
        while let Some(decision) = self.decisions.pop_front() {
            self.step(Event::Placed(decision));
        }
        self.drain();
        self.now = self.now + LEASE / 4;
        self.step(Event::Tick);
    }

    fn drain(&mut self) {
        loop {
            while !self.durable.is_settled() {
                self.perform();
            }
            let busy = |link: &Link| !link.up.is_empty() || !link.down.is_empty();
            let sessions: Vec<_> = self.links.iter().filter(|(_, link)| busy(link)).map(|(session, _)| *session).collect();
            if sessions.is_empty() {
                return;
            }
            for session in sessions {
                self.read(session);
                self.deliver(session);
            }
        }
    }
}
