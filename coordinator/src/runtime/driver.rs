//! The one task that owns the engine.

use super::{
    clock::Clock,
    counting,
    handle::{COMMANDS, Command, Handle, Release, Stopped},
    outbox::Outbox,
    planning::Planning,
    recording::Recorder,
    spans,
};
use crate::{
    engine::{Effect, Engine, Event, Message, Refusal, ReplyId},
    leadership::Tenure,
    model::{Change, SessionId},
    placement::{Guide, hand_out},
    replay,
    store::{Op, WriterHandle},
};
use braid_telemetry::metrics::FleetMetrics;
use braid_workload::JobId;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot, watch,
    },
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;
use tracing::Span;

/// How often leases are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Commands taken in before placement is asked once for all of them.
const BATCH: usize = 256;
/// Writes that may be under way before the driver takes in no more: the backlog of an absent store stays with those who
/// hold results, and does not grow here.
const IN_FLIGHT: u64 = 512;

/// What waits until all that it tells of is durable, and the span that ends when it is told.
enum Held {
    Effect(Effect, Span),
    Release(Release),
}

pub(super) struct Driver {
    engine: Engine,
    planning: Planning,
    /// What is left of the newest plan.
    guide: Guide,
    /// Something was decided since the last question for a plan.
    unplanned: bool,
    clock: Clock,
    tenure: Tenure,
    writer: WriterHandle,
    metrics: Arc<FleetMetrics>,
    recorder: Recorder,
    outbox: Outbox<Held>,
    commands: mpsc::Receiver<Command>,
    durable: watch::Sender<u64>,
    sessions: HashMap<SessionId, mpsc::Sender<Message>>,
    last_session: u64,
    asked: HashMap<ReplyId, oneshot::Sender<Result<JobId, Refusal>>>,
    confirms: HashMap<ReplyId, oneshot::Sender<Result<(), Refusal>>>,
    last_reply: u64,
    /// When it last took something in.
    stepped: Instant,
    changes: watch::Sender<u64>,
    stopped: watch::Sender<Option<Stopped>>,
    /// Why a write could not be submitted.
    broken: Option<String>,
}

impl Driver {
    pub(super) fn new(
        engine: Engine,
        writer: WriterHandle,
        clock: Clock,
        tenure: Tenure,
        metrics: Arc<FleetMetrics>,
        recorder: Recorder,
    ) -> (Self, Handle) {
        let (send, commands) = mpsc::channel(COMMANDS);
        let (changes, changes_seen) = watch::channel(0);
        let (stopped, stopped_seen) = watch::channel(None);
        let driver = Self {
            engine,
            planning: Planning::start(),
            guide: Guide::default(),
            unplanned: false,
            clock,
            tenure,
            writer,
            metrics,
            recorder,
            outbox: Outbox::new(),
            commands,
            durable: watch::channel(0).0,
            sessions: HashMap::new(),
            last_session: 0,
            asked: HashMap::new(),
            confirms: HashMap::new(),
            last_reply: 0,
            stepped: Instant::now(),
            changes,
            stopped,
            broken: None,
        };
        (driver, Handle { commands: send, changes: changes_seen, stopped: stopped_seen })
    }

    /// Until it is cancelled or may no longer write. Cancelled, it waits for the writes that are under way unless `writing` is
    /// cancelled too.
    pub(super) async fn run(mut self, cancel: CancellationToken, writing: CancellationToken) {
        let writer = self.writer.clone();
        let mut durable = self.durable.subscribe();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let reason = loop {
            if let Some(broken) = self.broken.take() {
                // The writer's own end says more, if that is why.
                let ended = tokio::time::timeout(TICK, writer.ended()).await;
                break Some(ended.ok().and_then(Result::err).map_or(broken, |error| error.to_string()));
            }
            // After a pause of this process nothing is answered that another may have changed meanwhile.
            if !self.tenure.holds() {
                break Some("its lease has ended".to_owned());
            }
            let open = self.has_room();
            // Commands come before the tick: after a pause the keep-alives that waited are heard before leases end.
            tokio::select! {
                biased;
                () = cancel.cancelled() => break None,
                ended = writer.ended() => {
                    break Some(ended.err().map_or_else(|| "its writer ended".to_owned(), |error| error.to_string()));
                }
                Ok(()) = durable.changed() => {
                    let n = *durable.borrow_and_update();
                    self.release(n);
                }
                command = self.commands.recv(), if open => match command {
                    Some(command) => self.take_batch(command).await,
                    None => break None,
                },
                (question, plan) = self.planning.next(), if open => {
                    self.recorder.planned(question, &plan);
                    self.guide = plan.into();
                    self.engine.reconsider();
                    self.place().await;
                }
                _ = tick.tick(), if open => self.tick().await,
            }
        };
        match reason {
            Some(reason) => {
                tracing::error!(reason, "the coordinator stops: it may no longer write");
                self.stopped.send_replace(Some(Stopped(reason.into())));
            }
            None => self.flush(&mut durable, &writing).await,
        }
    }

    fn has_room(&self) -> bool {
        // A step submits at most two batches, and a batch of commands is checked before each step.
        self.broken.is_none() && self.outbox.in_flight() < IN_FLIGHT && self.writer.room() > 4
    }

    async fn take_batch(&mut self, first: Command) {
        self.take(first).await;
        for _ in 1..BATCH {
            if !self.has_room() || !self.tenure.holds() {
                return;
            }
            match self.commands.try_recv() {
                Ok(command) => self.take(command).await,
                Err(_) => break,
            }
        }
        self.place_and_plan().await;
    }

    async fn tick(&mut self) {
        self.planning.check();
        self.step(Event::Tick).await;
        self.place_and_plan().await;
    }

    /// Hands out at once what nodes have room for, along the newest plan; says whether there was anything to decide.
    async fn place(&mut self) -> bool {
        let unsettled = self.engine.is_unsettled();
        let Some(problem) = self.engine.problem() else {
            if unsettled {
                self.recorder.idle();
            }
            return false;
        };
        let start = Instant::now();
        let decision = hand_out(&problem, &mut self.guide);
        self.metrics.placed(start.elapsed());
        self.step(Event::Placed(decision)).await;
        true
    }

    /// The same, and asks for a plan for what still waits. Not done when a plan has just come: one leads to no other.
    async fn place_and_plan(&mut self) {
        self.unplanned |= self.place().await;
        // While the planner is busy nothing is asked; the tick comes back to it.
        if !self.unplanned || !self.planning.is_free() {
            return;
        }
        self.unplanned = false;
        let left = self.engine.state().problem();
        if left.nodes.len() > 1 && !left.classes.is_empty() {
            let question = self.planning.ask(left);
            self.recorder.asked(question);
        }
    }

    async fn take(&mut self, command: Command) {
        match command {
            Command::Event(event) => self.step(*event).await,
            Command::Ask(make, answer) => {
                self.last_reply += 1;
                let reply = ReplyId(self.last_reply);
                self.asked.insert(reply, answer);
                self.step(make(reply)).await;
            }
            Command::Tell(make, answer) => {
                self.last_reply += 1;
                let reply = ReplyId(self.last_reply);
                self.confirms.insert(reply, answer);
                self.step(make(reply)).await;
            }
            Command::Open(outgoing, answer) => {
                self.last_session += 1;
                let session = SessionId(self.last_session);
                self.sessions.insert(session, outgoing);
                // Whoever asked may be gone; then its session ends with its stream.
                let _ = answer.send(session);
            }
            Command::Read(look) => {
                let release = look(self.engine.state());
                self.hold(Held::Release(release));
            }
            Command::Peek(look) => look(self.engine.state()),
        }
    }

    /// Steps the engine. Before that it is told when nothing was taken in for so long that the silence of workers says nothing:
    /// this process stood still, or waited for the store.
    async fn step(&mut self, event: Event) {
        let pause = std::mem::replace(&mut self.stepped, Instant::now()).elapsed();
        if pause > self.engine.lease() / 2 {
            tracing::warn!(?pause, "this coordinator stood still: workers have a lease from now on to be heard");
            self.take_in(Event::Awoke).await;
        }
        self.take_in(event).await;
    }

    async fn take_in(&mut self, event: Event) {
        if let Event::Disconnected { session } = event {
            self.sessions.remove(&session);
        }
        let quiet = matches!(event, Event::Tick | Event::Awoke);
        let (now, recorded) = (self.clock.now(), self.recorder.keep(&event));
        let effects = spans::step(&event).in_scope(|| self.engine.step(event, now));
        if let Some(event) = recorded {
            self.recorder.step(now, event, replay::effects(&effects));
        }
        for fact in self.engine.facts() {
            counting::count(&self.metrics, fact);
        }
        if quiet && effects.is_empty() {
            return;
        }
        let (mut prepare, mut writes, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                Effect::Prepare(change) => prepare.push(op(change)),
                Effect::Write(change) => writes.push(op(change)),
                other => rest.push(other),
            }
        }
        if !prepare.is_empty() {
            self.write(prepare).await;
        }
        if !writes.is_empty() {
            self.write(writes).await;
        }
        for mut effect in rest {
            let span = spans::placement(&mut effect);
            self.hold(Held::Effect(effect, span));
        }
        self.hold(Held::Release(Box::new({
            let changes = self.changes.clone();
            move || changes.send_modify(|count| *count = count.wrapping_add(1))
        })));
    }

    async fn write(&mut self, ops: Vec<Op>) {
        let n = self.outbox.wrote();
        let durable = self.durable.clone();
        let submitted = self.writer.submit(ops, move |_| durable.send_modify(|last| *last = n.max(*last))).await;
        if let Err(error) = submitted {
            // Closed, or a limit that the engine failed to keep. Either way a later write must not release what tells of
            // this one: nothing more is taken in or released, and `run` ends.
            self.broken.get_or_insert_with(|| error.to_string());
        }
    }

    fn hold(&mut self, held: Held) {
        if let Some(ready) = self.outbox.hold(held) {
            self.perform(ready);
        }
    }

    fn release(&mut self, n: u64) {
        let ready: Vec<Held> = self.outbox.durable(n).collect();
        for held in ready {
            self.perform(held);
        }
    }

    fn perform(&mut self, held: Held) {
        // The span ends with this call.
        let (effect, _span) = match held {
            Held::Release(release) => return release(),
            Held::Effect(effect, span) => (effect, span),
        };
        match effect {
            Effect::Answer { reply, result } => {
                if let Some(answer) = self.asked.remove(&reply) {
                    // A client that has gone away asks again with the same key.
                    let _ = answer.send(result);
                }
            }
            Effect::Confirm { reply, result } => {
                if let Some(answer) = self.confirms.remove(&reply) {
                    // An operator that has gone away may say it again.
                    let _ = answer.send(result);
                }
            }
            Effect::Send { session, message } => {
                match self.sessions.get(&session).map(|outgoing| outgoing.try_send(message)) {
                    None | Some(Ok(())) => {}
                    Some(Err(TrySendError::Full(_))) => {
                        tracing::warn!(session = session.0, "a worker does not drain its stream; it must register again");
                        self.sessions.remove(&session);
                    }
                    // Its end is on the way as an event.
                    Some(Err(TrySendError::Closed(_))) => {
                        self.sessions.remove(&session);
                    }
                }
            }
            Effect::Close { session, reason } => {
                tracing::info!(session = session.0, reason, "a worker's stream is closed");
                self.sessions.remove(&session);
            }
            Effect::Prepare(_) | Effect::Write(_) => {}
        }
    }

    /// Waits for the writes that are under way, as long as there is somebody to write them, and passes on what they allow.
    async fn flush(&mut self, durable: &mut watch::Receiver<u64>, writing: &CancellationToken) {
        let writer = self.writer.clone();
        while !self.outbox.is_flushed() {
            let goes_on = tokio::select! {
                biased;
                changed = durable.changed() => changed.is_ok(),
                // It has told of all that is durable before.
                _ = writer.ended() => false,
                () = writing.cancelled() => false,
            };
            let n = *durable.borrow_and_update();
            self.release(n);
            if !goes_on {
                return;
            }
        }
    }
}

fn op(change: Change) -> Op {
    match change.value {
        Some(value) => Op::put(change.key, value),
        None => Op::delete(change.key),
    }
}
