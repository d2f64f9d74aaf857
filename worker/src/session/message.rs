//! What passes over the stream, in the types of this crate, and its conversion from and to the wire.
//!
//! Decoding trusts nothing: what can be answered is answered as a failed attempt, the rest is an error to log.

use crate::{
    Options, SeenGpu,
    bounds::roots,
    disks::Disk,
    executor::{Assignment, Bytes, Ended, JobSpec, Line},
    key::Key,
    measure::Measured,
};
use braid_proto::{DecodeError, PROTOCOL, VERSION, v1};
use braid_workload::{AttemptId, Failure, Gang, LeaseId};
use std::{sync::Arc, time::Duration};

/// What the coordinator says.
#[derive(Debug, Clone)]
pub(super) enum Incoming {
    /// It will have this worker.
    Welcome {
        /// So long a silence loses the lease.
        patience: Duration,
        /// What this worker must stop and forget.
        drop: Vec<Key>,
    },
    /// It heard the keep-alives so far.
    Heard,
    /// Run this.
    Run { lease: LeaseId, assignment: Box<Assignment> },
    /// An attempt that cannot be run as it came.
    Unreadable { key: Key, lease: LeaseId, problem: DecodeError },
    /// Stop this and report its end.
    Stop(Key),
    /// A result is safe.
    Taken(Key),
}

/// What the worker says after its first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// It is alive, and so far its attempts are.
    KeepAlive(Vec<(Key, Bytes)>),
    /// An attempt has ended.
    Ended(LeaseId, Ended),
    /// A task's line for people.
    Line(Line),
}

/// An attempt that this worker holds, and the lease under which it was given.
pub(super) type HeldAttempt = (Key, LeaseId);

/// The first message of a session.
pub(super) fn hello(options: &Options, kinds: &[&'static str], disks: Vec<Disk>, held: &[HeldAttempt]) -> v1::FromWorker {
    let inventory = v1::Inventory {
        threads: u32::try_from(options.threads.get()).unwrap_or(u32::MAX),
        memory: options.memory,
        kinds: kinds.iter().map(|&kind| kind.to_owned()).collect(),
        address: options.address.clone(),
        exchange: options.exchange.as_ref().map(|end| end.address.clone()).unwrap_or_default(),
        gpus: (options.gpus.count > 0).then(|| v1::Gpus {
            count: options.gpus.count,
            kind: options.gpus.kind.clone(),
            memory: options.gpus.memory,
        }),
        labels: options.labels.clone().into_iter().collect(),
        link: options.link.unwrap_or(0),
        disk: options.disk.unwrap_or(0),
        disks: disks.into_iter().map(disk).collect(),
        measured: options.measured.map(measured),
        devices: options.seen_gpus.gpus.iter().map(device).collect(),
        gpu_driver: options.seen_gpus.driver.clone(),
    };
    let held = held.iter().map(|(key, lease)| v1::Held { task: Some(key.task.into()), attempt: key.attempt.0, lease: lease.0 });
    from_worker(v1::from_worker::Message::Hello(v1::Hello {
        protocol: PROTOCOL,
        version: VERSION.to_owned(),
        node: options.node.0.clone(),
        token: options.token.clone(),
        inventory: Some(inventory),
        held: held.collect(),
    }))
}

/// The message, and what has become of the disks if it is a keep-alive and they have changed.
pub(super) fn with_disks(mut message: v1::FromWorker, disks: Option<Vec<Disk>>) -> v1::FromWorker {
    if let (Some(v1::from_worker::Message::KeepAlive(alive)), Some(disks)) = (&mut message.message, disks) {
        alive.disks = disks.into_iter().map(disk).collect();
    }
    message
}

fn disk(Disk { mount, device, kind, total, free }: Disk) -> v1::Disk {
    v1::Disk { mount, device, kind, total, free }
}

fn measured(Measured { memory, disk_read, disk_write, network, unix_millis }: Measured) -> v1::Measured {
    let [memory, disk_read, disk_write, network] = [memory, disk_read, disk_write, network].map(Option::unwrap_or_default);
    v1::Measured { memory, disk_read, disk_write, network, unix_millis }
}

fn device(SeenGpu { kind, memory, ecc, nvlinks, pcie }: &SeenGpu) -> v1::Gpu {
    let (pcie_generation, pcie_lanes) = pcie.unwrap_or_default();
    v1::Gpu { kind: kind.clone(), memory: *memory, ecc: *ecc, nvlinks: *nvlinks, pcie_generation, pcie_lanes }
}

/// Reads messages. Remembers the last spec: the tasks of one job come in a row and share it.
#[derive(Debug, Default)]
pub(super) struct Reader {
    spec: Option<Arc<JobSpec>>,
}

impl Reader {
    /// Reads one message; `None` for one that this version does not know.
    pub(super) fn read(&mut self, message: v1::ToWorker) -> Result<Option<Incoming>, DecodeError> {
        use v1::to_worker::Message;
        let Some(message) = message.message else { return Ok(None) };
        let incoming = match message {
            Message::Welcome(welcome) => Incoming::Welcome {
                patience: Duration::from_millis(welcome.lease_millis.into()),
                drop: welcome.drop.into_iter().map(|held| key("Welcome", held.task, held.attempt)).collect::<Result<_, _>>()?,
            },
            Message::KeepAliveAck(_) => Incoming::Heard,
            Message::Run(run) => self.run(run)?,
            Message::Stop(stop) => Incoming::Stop(key("Stop", stop.task, stop.attempt)?),
            Message::Taken(taken) => Incoming::Taken(key("Taken", taken.task, taken.attempt)?),
        };
        Ok(Some(incoming))
    }

    fn run(&mut self, run: v1::Run) -> Result<Incoming, DecodeError> {
        let key = key("Run", run.task, run.attempt)?;
        let lease = LeaseId(run.lease);
        let Some(demand) = run.demand else {
            return Ok(Incoming::Unreadable { key, lease, problem: DecodeError::missing("Run", "demand") });
        };
        let spec = match &self.spec {
            Some(last) if last.text() == run.spec => Arc::clone(last),
            _ => Arc::clone(self.spec.insert(Arc::new(JobSpec::new(run.spec)))),
        };
        let (kind, label, payload) = (run.kind, run.label, run.payload);
        let gang = match run
            .gang
            .map(|gang| Ok::<_, DecodeError>((gang.first.ok_or_else(|| DecodeError::missing("Gang", "first"))?, gang)))
        {
            None => None,
            Some(Err(problem)) => return Ok(Incoming::Unreadable { key, lease, problem }),
            Some(Ok((first, gang))) => {
                let (rank, epoch) = (gang.rank, key.attempt);
                Some(Gang { rank, first: first.into(), epoch, members: gang.members, token: gang.token })
            }
        };
        // A trace is never a reason to fail.
        let trace = run.trace.and_then(|trace| trace.parse().ok());
        let roots = run.bounds.as_ref().map(|bounds| Arc::new(roots(bounds)));
        let assignment = Assignment { key, kind, spec, label, payload, demand: demand.into(), gang, roots, trace };
        Ok(Incoming::Run { lease, assignment: Box::new(assignment) })
    }
}

fn key(message: &'static str, task: Option<v1::TaskRef>, attempt: u32) -> Result<Key, DecodeError> {
    let task = task.ok_or_else(|| DecodeError::missing(message, "task"))?;
    Ok(Key { task: task.into(), attempt: AttemptId(attempt) })
}

impl From<Outgoing> for v1::FromWorker {
    fn from(outgoing: Outgoing) -> Self {
        use v1::from_worker::Message;
        from_worker(match outgoing {
            Outgoing::KeepAlive(running) => {
                let running = running.into_iter().map(|(key, bytes)| v1::TaskProgress {
                    task: Some(key.task.into()),
                    attempt: key.attempt.0,
                    done: bytes.done,
                    reused: bytes.reused,
                });
                Message::KeepAlive(v1::KeepAlive { running: running.collect(), disks: Vec::new() })
            }
            Outgoing::Ended(lease, ended) => Message::Finished(finished(lease, ended)),
            Outgoing::Line(Line { task, text, unix_millis, source }) => {
                let source = v1::LogSource::from(source).into();
                Message::Log(v1::LogLine { task: Some(task.into()), text, unix_millis, source })
            }
        })
    }
}

fn finished(lease: LeaseId, ended: Ended) -> v1::Finished {
    use v1::finished::Outcome;
    v1::Finished {
        task: Some(ended.key.task.into()),
        attempt: ended.key.attempt.0,
        lease: lease.0,
        run_micros: u64::try_from(ended.ran.as_micros()).unwrap_or(u64::MAX),
        done: ended.progress.done,
        reused: ended.progress.reused,
        outcome: Some(match ended.outcome {
            Ok(value) => Outcome::Value(value),
            Err(failure) => Outcome::Failure(failure.into()),
        }),
    }
}

fn from_worker(message: v1::from_worker::Message) -> v1::FromWorker {
    v1::FromWorker { message: Some(message) }
}

/// How an attempt ends that could not be read.
pub(super) fn unreadable(key: Key, problem: &DecodeError) -> Ended {
    let failure = Failure::fatal(format!("task {}: {problem}", key.task));
    Ended::unstarted(key, failure.with_hint("coordinator and worker differ in version: update the older one"))
}
