//! The session with the coordinator: the loop that carries out what [`state`] decides.
//!
//! It owns the stream, the clock and the dice, and turns whatever happens into one event at a time. Nothing here blocks,
//! and nothing waits for the coordinator: while a stream is slow, being opened or gone, reports of the compute threads
//! are taken in all the same.

mod backoff;
mod held;
mod lease;
mod lines;
mod link;
mod message;
mod state;

use crate::{
    Connector, Options, WorkerError,
    bounds::Bounds,
    disks::{Disk, DiskWatch, Folders},
    executor::{Executor, Report},
};
use braid_proto::v1::{FromWorker, ToWorker, to_worker};
use braid_telemetry::metrics::WorkerMetrics;
use braid_workload::{Execute, Registry};
use link::{Link, Loss};
use message::{HeldAttempt, Outgoing, Reader};
use state::{Effect, Event, Now, State, step};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, time::sleep_until};
use tokio_util::sync::CancellationToken;

/// How long a worker that is to end waits for its tasks to stop and for the coordinator to take their results, beyond what its
/// tasks say that they need.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves the coordinator that `connector` leads to; see [`Worker::run`](crate::Worker::run).
pub(crate) async fn run<C: Connector>(
    options: Options,
    connector: Arc<C>,
    executors: Registry<dyn Execute>,
    cancel: CancellationToken,
) -> Result<(), WorkerError> {
    let kinds = executors.kinds().collect();
    let bounds = Bounds::new(options.roots.clone());
    let disks = DiskWatch::start(folders(&options, &bounds)).await;
    let session = Session {
        executor: Executor::start(
            options.threads,
            options.memory,
            options.gpus.names(std::env::var("CUDA_VISIBLE_DEVICES").ok().as_deref()),
            executors,
            options.exchange.as_ref().map(|end| Arc::clone(&end.join)),
            Arc::clone(&options.metrics),
            bounds,
        )?,
        disks,
        state: State::new(Instant::now()),
        link: Link::Down,
        outbox: None,
        reader: Reader::default(),
        chance: fastrand::Rng::new(),
        last_loss: None,
        refused: None,
        give_up: None,
        options,
        kinds,
        connector,
    };
    session.serve(cancel).await
}

/// What lies on the disks that the coordinator is told of.
fn folders(options: &Options, bounds: &Bounds) -> Folders {
    let mut folders = bounds.folders();
    folders.list.extend(options.data_dir.clone());
    folders
}

struct Session<C> {
    options: Options,
    kinds: Vec<&'static str>,
    connector: Arc<C>,
    executor: Executor,
    disks: DiskWatch,
    state: State,
    link: Link,
    outbox: Option<mpsc::Sender<FromWorker>>,
    reader: Reader,
    chance: fastrand::Rng,
    /// What was logged last about a coordinator that is away: the same is said once.
    last_loss: Option<String>,
    refused: Option<WorkerError>,
    /// When a worker that is to end stops waiting.
    give_up: Option<Instant>,
}

impl<C: Connector> Session<C> {
    async fn serve(mut self, cancel: CancellationToken) -> Result<(), WorkerError> {
        loop {
            self.pump();
            if self.state.is_done() || self.give_up.is_some_and(|end| end <= Instant::now()) {
                return self.refused.map_or(Ok(()), Err);
            }
            let wake = [self.state.wake(), self.give_up].into_iter().flatten().min();
            tokio::select! {
                () = cancel.cancelled(), if self.give_up.is_none() => self.shut_down(),
                reports = self.executor.reports(), if self.state.takes_reports() => {
                    for report in reports {
                        self.take(match report {
                            Report::Ended(ended) => Event::Ended(ended),
                            Report::Line(line) => Event::Line(line),
                        });
                    }
                }
                heard = self.link.next() => match heard {
                    Ok(messages) => messages.into_iter().for_each(|message| self.receive(message)),
                    Err(loss) => self.lose(loss),
                },
                () = room(self.outbox.as_ref()), if self.state.has_outgoing() => {}
                () = at(wake) => {
                    let progress = if self.state.is_live() { self.executor.progress() } else { Vec::new() };
                    self.take(Event::Tick(progress));
                }
            }
        }
    }

    /// Says what there is to say, as far as the stream takes it.
    fn pump(&mut self) {
        while self.state.has_outgoing() && self.outbox.as_ref().is_some_and(|outbox| outbox.capacity() > 0 && !outbox.is_closed())
        {
            self.take(Event::Room);
        }
    }

    fn take(&mut self, event: Event) {
        let now = Now { at: Instant::now(), chance: self.chance.f64() };
        for effect in step(&mut self.state, event, now) {
            match effect {
                Effect::Open(held) => self.open(&held),
                Effect::Close(reason) => {
                    self.hang_up();
                    self.say_lost(reason.to_owned());
                }
                Effect::Send(message) => {
                    // There is room, or the stream is gone and what matters is sent again on the next.
                    if let Some(outbox) = &self.outbox {
                        let disks = matches!(message, Outgoing::KeepAlive(_)).then(|| self.disks.news()).flatten();
                        disks.iter().for_each(|disks| count(disks, &self.options.metrics));
                        let _ = outbox.try_send(message::with_disks(message.into(), disks));
                    }
                }
                Effect::Start(assignment) => self.executor.submit(assignment),
                Effect::Cancel(key) => {
                    if let Some(ended) = self.executor.cancel(key) {
                        self.take(Event::Ended(ended));
                    }
                }
            }
        }
    }

    fn receive(&mut self, message: ToWorker) {
        let was_live = self.state.is_live();
        if let Some(to_worker::Message::Welcome(welcome)) = &message.message {
            // Before any task that this session brings.
            self.executor.bounds().set(welcome);
            self.disks.set(folders(&self.options, self.executor.bounds()));
        }
        match self.reader.read(message) {
            Ok(Some(incoming)) => self.take(Event::Received(incoming)),
            Ok(None) => tracing::debug!("ignored a message that this version does not know"),
            Err(problem) => tracing::warn!("ignored what the coordinator sent: {problem}"),
        }
        if self.state.is_live() && !was_live {
            self.last_loss = None;
            self.options.metrics.joined();
            tracing::info!(node = %self.options.node, "joined the coordinator");
        }
    }

    fn open(&mut self, held: &[HeldAttempt]) {
        let disks = self.disks.tell();
        count(&disks, &self.options.metrics);
        let hello = message::hello(&self.options, &self.kinds, disks, held);
        let (link, outbox) = Link::open(Arc::clone(&self.connector), hello);
        self.link = link;
        self.outbox = Some(outbox);
    }

    fn hang_up(&mut self) {
        self.link = Link::Down;
        self.outbox = None;
        self.options.metrics.parted();
    }

    fn lose(&mut self, loss: Loss) {
        self.hang_up();
        self.take(Event::Lost);
        match loss {
            Loss::Away(reason) => self.say_lost(reason),
            Loss::Refused { message, hint } => {
                let node = self.options.node.0.clone();
                self.refused = Some(WorkerError::Refused { node, message, hint });
                self.shut_down();
            }
        }
    }

    fn say_lost(&mut self, reason: String) {
        if self.last_loss.as_ref() != Some(&reason) {
            tracing::warn!(node = %self.options.node, "no coordinator: {reason}; tasks go on, trying again");
            self.last_loss = Some(reason);
        }
    }

    fn shut_down(&mut self) {
        let grace = self.executor.grace();
        let now = Instant::now();
        self.give_up.get_or_insert_with(|| now.checked_add(FAREWELL + grace).unwrap_or(now + FAREWELL));
        self.take(Event::Shutdown);
    }
}

fn count(disks: &[Disk], metrics: &WorkerMetrics) {
    metrics.disks(disks.iter().map(|disk| (disk.mount.as_str(), disk.total, disk.free)));
}

async fn room(outbox: Option<&mpsc::Sender<FromWorker>>) {
    let room = match outbox {
        Some(outbox) => outbox.reserve().await.is_ok(),
        None => false,
    };
    if !room {
        // The stream is gone, which its other half reports.
        std::future::pending::<()>().await;
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}
