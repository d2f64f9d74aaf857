//! `braid.v1.Workers`: the session of a worker.
//!
//! The first message must be a Hello with the right protocol and the name of the node whose certificate was shown (or,
//! without certificates, the right token). From then on the stream's messages become events
//! and the engine's messages go out. Keep-alives are answered here: they say that the stream works, whatever the engine
//! is busy with.

use super::probe::Probes;
use crate::{
    engine::{Event, Held, Message, Report, Run, State, TaskProgress},
    logs::Logs,
    model::{Device, Disk, Gpus, Inventory, Measured, SessionId, Task},
    runtime::Handle,
    security::{About, Caller, Limits, Roster},
};
use braid_proto::{
    DecodeError, PROTOCOL, VERSION,
    v1::{self, FromWorker, ToWorker, from_worker, to_worker, workers_server::Workers},
};
use braid_workload::{AttemptId, Failure, LeaseId, NodeId, TaskId, TaskOutcome};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming};

/// How long a new stream may wait before it says Hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// Messages that may wait for a worker; one that lets more pile up loses its stream. Above what placement gives at once.
const OUTGOING: usize = 4096;
/// Tasks of which it is remembered that a node has them.
const MAX_SPEAKS: usize = 1024;
/// The longest name of a node.
const MAX_NAME: usize = 128;
/// The most labels of a node that count.
const MAX_LABELS: usize = 64;
/// The most disks of a node that count.
const MAX_DISKS: usize = 64;
/// The most GPUs of a node that are listed.
const MAX_DEVICES: usize = 64;
/// The longest text about a disk; Linux has no longer paths.
const MAX_DISK_TEXT: usize = 4096;

pub(super) struct WorkersApi {
    pub(super) handle: Handle,
    pub(super) logs: Logs,
    pub(super) token: Option<Arc<str>>,
    pub(super) limits: Limits,
    pub(super) roster: Option<Arc<Roster>>,
    pub(super) lease: Duration,
    pub(super) probes: Probes,
    pub(super) tasks: TaskTracker,
    pub(super) cancel: CancellationToken,
}

type Outgoing = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<ToWorker, Status>> + Send>>;

#[tonic::async_trait]
impl Workers for WorkersApi {
    type SessionStream = Outgoing;
    type ProbeStream = ReceiverStream<Result<v1::ProbeChunk, Status>>;

    async fn probe(&self, request: Request<v1::ProbeRequest>) -> Result<Response<Self::ProbeStream>, Status> {
        self.probes.answer(request.get_ref(), &self.tasks).map(Response::new)
    }

    async fn session(&self, request: Request<Streaming<FromWorker>>) -> Result<Response<Outgoing>, Status> {
        let (_, extensions, mut incoming) = request.into_parts();
        let caller = extensions.get::<Caller>().cloned();
        let first = tokio::time::timeout(HELLO_WITHIN, incoming.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no Hello came"))??;
        let Some(from_worker::Message::Hello(hello)) = first.and_then(|first| first.message) else {
            return Err(Status::invalid_argument("the first message of a session must be Hello"));
        };
        About::note(&extensions, || format!("node {}", hello.node.chars().take(MAX_NAME).collect::<String>()));
        identify(&hello, caller.as_ref())?;
        check(&hello, self.token.as_deref())?;

        let (send, receive) = mpsc::channel(OUTGOING);
        let (acks, ack_receive) = mpsc::channel(1);
        let session = self.handle.open(send).await?;
        let node = NodeId(hello.node.clone());
        self.handle.event(greeting(session, hello)).await?;
        let reader = Reader {
            session,
            node: node.clone(),
            handle: self.handle.clone(),
            logs: self.logs.clone(),
            acks,
            lease: self.lease,
            speaks: HashSet::new(),
        };
        let (cancel, roster) = (self.cancel.clone(), self.roster.clone());
        self.tasks.spawn(async move {
            let handle = reader.handle.clone();
            tokio::select! {
                () = reader.run(incoming) => {}
                () = void(roster.as_deref(), &node) => {
                    tracing::warn!(%node, "the node's certificates no longer count; its stream ends");
                }
                () = cancel.cancelled() => {}
            }
            // A stopped coordinator has no use for it.
            let _ = handle.event(Event::Disconnected { session }).await;
        });
        let limits = self.limits.clone();
        let messages = ReceiverStream::new(receive).map(move |message| Some(encode(message, &limits)));
        // The driver ends a session by dropping its sender: that must end the stream although acks could still come.
        let ended = tokio_stream::once(None);
        let acks = ReceiverStream::new(ack_receive).map(|()| Some(to_worker::Message::KeepAliveAck(v1::KeepAliveAck {})));
        let merged = messages.chain(ended).merge(acks.chain(tokio_stream::pending()));
        let outgoing = merged
            .take_while(Option::is_some)
            .filter_map(|message| message.map(|message| Ok(ToWorker { message: Some(message) })));
        Ok(Response::new(Box::pin(outgoing)))
    }
}

/// Whether the worker is the node that it says it is.
fn identify(hello: &v1::Hello, caller: Option<&Caller>) -> Result<(), Status> {
    match caller {
        Some(Caller::Inside | Caller::Anybody) => Ok(()),
        Some(Caller::Node { name }) if *name == hello.node => Ok(()),
        Some(Caller::Node { name }) => Err(Status::permission_denied(format!(
            "the certificate is that of node {name}, and the worker says it is {:?}",
            hello.node
        ))),
        Some(Caller::Stranger | Caller::Person { .. }) => Err(Status::unauthenticated("a worker shows a certificate")),
        None => Err(Status::internal("there is no gate before this service")),
    }
}

/// Resolves when the node's certificates count no longer; never where there are none.
async fn void(roster: Option<&Roster>, node: &NodeId) {
    match roster {
        Some(roster) => roster.void(&node.0).await,
        None => std::future::pending().await,
    }
}

/// Whether this worker may speak.
fn check(hello: &v1::Hello, token: Option<&str>) -> Result<(), Status> {
    if hello.protocol != PROTOCOL {
        let (ours, theirs) = (PROTOCOL, hello.protocol);
        return Err(Status::failed_precondition(format!(
            "the coordinator is braid {VERSION} (session protocol {ours}) and the worker is braid {} (session protocol \
             {theirs}): update the {}",
            hello.version,
            if ours > theirs { "worker" } else { "coordinator" },
        )));
    }
    match (token, hello.token.as_deref()) {
        (None, None) => {}
        (None, Some(_)) => {
            return Err(Status::unauthenticated("the coordinator has no join token: start the worker without --token"));
        }
        (Some(_), None) => {
            return Err(Status::unauthenticated("the coordinator wants a join token: start the worker with --token"));
        }
        (Some(ours), Some(theirs)) if !same(ours, theirs) => {
            return Err(Status::unauthenticated("the join token is not the coordinator's"));
        }
        (Some(_), Some(_)) => {}
    }
    if hello.node.is_empty() || hello.node.len() > MAX_NAME || hello.node.chars().any(char::is_control) {
        return Err(Status::invalid_argument(format!("a node's name has 1 to {MAX_NAME} bytes and no control characters")));
    }
    Ok(())
}

/// Compares secrets in time that depends on their lengths alone.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

fn greeting(session: SessionId, hello: v1::Hello) -> Event {
    let inventory = hello.inventory.unwrap_or_default();
    let gpus = inventory.gpus.unwrap_or_default();
    let labels: BTreeMap<String, String> = inventory.labels.into_iter().collect();
    Event::Hello {
        session,
        node: NodeId(hello.node),
        inventory: Inventory {
            threads: inventory.threads,
            memory: inventory.memory,
            kinds: inventory.kinds.into_iter().collect(),
            address: inventory.address,
            exchange: inventory.exchange,
            version: hello.version,
            gpus: Gpus { count: gpus.count, kind: gpus.kind, memory: gpus.memory },
            labels: labels.into_iter().take(MAX_LABELS).collect(),
            link: (inventory.link > 0).then_some(inventory.link),
            disk: (inventory.disk > 0).then_some(inventory.disk),
            disks: disks(inventory.disks),
            measured: inventory.measured.map(|figures| Box::new(measured(figures))),
            devices: inventory.devices.into_iter().take(MAX_DEVICES).map(device).collect(),
            gpu_driver: inventory.gpu_driver.chars().take(MAX_NAME).collect(),
        },
        held: hello.held.into_iter().filter_map(held).collect(),
    }
}

fn disks(disks: Vec<v1::Disk>) -> Vec<Disk> {
    let is_short = |disk: &v1::Disk| [&disk.mount, &disk.device, &disk.kind].iter().all(|text| text.len() <= MAX_DISK_TEXT);
    let disk = |v1::Disk { mount, device, kind, total, free }| Disk { mount, device, kind, total, free: free.min(total) };
    disks.into_iter().filter(is_short).take(MAX_DISKS).map(disk).collect()
}

fn measured(v1::Measured { memory, disk_read, disk_write, network, unix_millis }: v1::Measured) -> Measured {
    let known = |rate: u64| (rate > 0).then_some(rate);
    let (memory, disk_read, disk_write, network) = (known(memory), known(disk_read), known(disk_write), known(network));
    Measured { memory, disk_read, disk_write, network, unix_millis }
}

fn device(gpu: v1::Gpu) -> Device {
    Device {
        kind: gpu.kind.chars().take(MAX_NAME).collect(),
        memory: gpu.memory,
        ecc: gpu.ecc,
        nvlinks: gpu.nvlinks,
        pcie: (gpu.pcie_generation > 0).then_some((gpu.pcie_generation, gpu.pcie_lanes)),
    }
}

fn held(held: v1::Held) -> Option<Held> {
    Some(Held { task: held.task?.into(), attempt: AttemptId(held.attempt), lease: LeaseId(held.lease) })
}

struct Reader {
    session: SessionId,
    node: NodeId,
    handle: Handle,
    logs: Logs,
    acks: mpsc::Sender<()>,
    lease: Duration,
    /// The tasks that this node was seen to have: their lines are taken.
    speaks: HashSet<TaskId>,
}

impl Reader {
    /// Until the stream ends, breaks, is silent for a lease, or sends what cannot be read.
    async fn run(mut self, mut incoming: Streaming<FromWorker>) {
        loop {
            let message = match tokio::time::timeout(self.lease, incoming.message()).await {
                Ok(Ok(Some(message))) => message,
                Ok(Ok(None)) => return,
                Ok(Err(status)) => {
                    tracing::debug!(session = self.session.0, %status, "a worker's stream broke");
                    return;
                }
                Err(_) => return,
            };
            match self.take(message).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(session = self.session.0, %error, "a worker sent what cannot be read; its stream ends");
                    return;
                }
            }
        }
    }

    async fn take(&mut self, message: FromWorker) -> Result<(), DecodeError> {
        let session = self.session;
        let event = match message.message.ok_or_else(|| DecodeError::missing("FromWorker", "message"))? {
            from_worker::Message::Hello(_) => {
                return Err(DecodeError { message: "Hello", problem: "it came twice".into() });
            }
            from_worker::Message::Log(line) => {
                let task = line.task.ok_or_else(|| DecodeError::missing("LogLine", "task"))?.into();
                if self.may_speak_for(task).await {
                    self.logs.write(line).await;
                }
                return Ok(());
            }
            from_worker::Message::KeepAlive(keep_alive) => {
                // A full channel means that an ack is on its way already.
                let _ = self.acks.try_send(());
                if !keep_alive.disks.is_empty() {
                    // A driver that is gone ends the stream from its side.
                    let _ = self.handle.event(Event::Disks { session, disks: disks(keep_alive.disks) }).await;
                }
                Event::KeepAlive { session, progress: keep_alive.running.into_iter().filter_map(progress).collect() }
            }
            from_worker::Message::Finished(finished) => Event::Finished { session, report: report(self.node.clone(), finished)? },
        };
        // A driver that is gone ends the stream from its side.
        let _ = self.handle.event(event).await;
        Ok(())
    }
}

impl Reader {
    /// Whether a task is or was this node's: nobody writes into the logs of others.
    async fn may_speak_for(&mut self, task: TaskId) -> bool {
        if self.speaks.contains(&task) {
            return true;
        }
        let node = self.node.clone();
        let has = move |state: &State| {
            let task = state.job(task.job).and_then(|job| job.tasks.get(task.index as usize));
            task.and_then(Task::assignment).is_some_and(|assignment| assignment.node == node)
        };
        let has = self.handle.read(has).await.unwrap_or(false);
        if has {
            if self.speaks.len() >= MAX_SPEAKS {
                self.speaks.clear();
            }
            self.speaks.insert(task);
        }
        has
    }
}

fn progress(progress: v1::TaskProgress) -> Option<TaskProgress> {
    Some(TaskProgress {
        task: progress.task?.into(),
        attempt: AttemptId(progress.attempt),
        done: progress.done,
        reused: progress.reused,
    })
}

fn report(node: NodeId, finished: v1::Finished) -> Result<Report, DecodeError> {
    let task = finished.task.ok_or_else(|| DecodeError::missing("Finished", "task"))?;
    let outcome = match finished.outcome.ok_or_else(|| DecodeError::missing("Finished", "outcome"))? {
        v1::finished::Outcome::Failure(failure) => TaskOutcome::Failed(failure.into()),
        v1::finished::Outcome::Value(text) => match serde_json::from_str(&text) {
            Ok(value) => TaskOutcome::Done(value),
            Err(error) => TaskOutcome::Failed(Failure::fatal(DecodeError::json("Finished", "value", &error).to_string())),
        },
    };
    Ok(Report {
        node,
        held: Held { task: task.into(), attempt: AttemptId(finished.attempt), lease: LeaseId(finished.lease) },
        outcome,
        ran: Duration::from_micros(finished.run_micros),
        done: finished.done,
        reused: finished.reused,
    })
}

fn encode(message: Message, limits: &Limits) -> to_worker::Message {
    match message {
        Message::Welcome { lease, patience, drop } => to_worker::Message::Welcome(v1::Welcome {
            lease: lease.0,
            lease_millis: u32::try_from(patience.as_millis()).unwrap_or(u32::MAX),
            version: VERSION.to_owned(),
            drop: drop.into_iter().map(encode_held).collect(),
            bounds: limits.bounds(),
            folders: limits.folders(),
        }),
        Message::Run(run) => {
            let Run { held, kind, spec, label, payload, demand, gang, precedence, trace } = *run;
            to_worker::Message::Run(v1::Run {
                task: Some(held.task.into()),
                attempt: held.attempt.0,
                lease: held.lease.0,
                kind,
                spec: spec.to_string(),
                label,
                payload: payload.to_string(),
                demand: Some(demand.into()),
                gang: gang.map(|gang| v1::Gang {
                    rank: gang.rank,
                    first: Some(gang.first.into()),
                    members: gang.members,
                    token: gang.token,
                }),
                trace: trace.map(String::from),
                bounds: limits.bounds_of(&precedence.project, precedence.role),
            })
        }
        Message::Stop { task, attempt } => to_worker::Message::Stop(v1::Stop { task: Some(task.into()), attempt: attempt.0 }),
        Message::Taken { task, attempt } => to_worker::Message::Taken(v1::Taken { task: Some(task.into()), attempt: attempt.0 }),
    }
}

fn encode_held(held: Held) -> v1::Held {
    v1::Held { task: Some(held.task.into()), attempt: held.attempt.0, lease: held.lease.0 }
}
