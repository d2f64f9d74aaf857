//! A whole worker against a coordinator that follows a script.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of a test")]

mod coordinator;

use braid_proto::v1::{self, finished::Outcome, from_worker, to_worker::Message};
use braid_telemetry::metrics::WorkerMetrics;
use braid_worker::{Connector as _, Gpus, Options, SeenGpus, Worker, WorkerError, measure::from_coordinator};
use braid_workload::{Execute, Failure, JobId, NodeId, Registry, TaskContext, TaskId, TaskSpec};
use coordinator::{Coordinator, Session, run};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A kind of job whose tasks wait until the gate has been opened as far as their payload says.
#[derive(Default)]
struct Gate {
    open: AtomicU64,
    runs: AtomicU64,
}

impl Execute for Gate {
    fn kind(&self) -> &'static str {
        "gate"
    }

    fn run(&self, _: &Value, task: &TaskSpec, context: &TaskContext) -> Result<Value, Failure> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        context.log(format!("{} began", task.label));
        let wanted = task.payload.as_u64().ok_or_else(|| Failure::fatal("a gate is a number"))?;
        while self.open.load(Ordering::SeqCst) < wanted {
            if context.is_cancelled() {
                return Err(Failure::cancelled());
            }
            std::thread::sleep(Duration::from_millis(2));
            context.progress.add(1);
        }
        Ok(json!({ "gate": wanted }))
    }
}

struct Running {
    gate: Arc<Gate>,
    cancel: CancellationToken,
    worker: JoinHandle<Result<(), WorkerError>>,
}

fn start(coordinator: &Coordinator, token: &str) -> Running {
    let gate = Arc::new(Gate::default());
    let executors: Registry<dyn Execute> = Registry::new([("gate", Arc::clone(&gate) as Arc<dyn Execute>)]);
    let options = Options {
        node: NodeId("alpha-1".into()),
        threads: NonZeroUsize::new(2).unwrap(),
        memory: 1 << 20,
        token: Some(token.into()),
        roots: None,
        address: "here".into(),
        exchange: None,
        gpus: Gpus::default(),
        labels: BTreeMap::new(),
        seen_gpus: SeenGpus::default(),
        link: None,
        disk: None,
        measured: None,
        data_dir: None,
        metrics: Arc::new(WorkerMetrics::new("1", 2, 1 << 20)),
    };
    let cancel = CancellationToken::new();
    let worker = tokio::spawn(Worker::run(options, coordinator.connector(), executors, cancel.clone()));
    Running { gate, cancel, worker }
}

impl Running {
    async fn end(self) -> Result<(), WorkerError> {
        self.cancel.cancel();
        tokio::time::timeout(Duration::from_secs(20), self.worker).await.expect("the worker ends").unwrap()
    }
}

fn task(index: u32) -> TaskId {
    JobId(3).task(index)
}

fn value(outcome: Option<Outcome>) -> String {
    match outcome {
        Some(Outcome::Value(value)) => value,
        Some(Outcome::Failure(failure)) => format!("{:?}: {}", failure.kind(), failure.message),
        None => "nothing".into(),
    }
}

async fn welcomed(coordinator: &mut Coordinator) -> Session {
    let session = coordinator.session().await;
    session.welcome(10_000, vec![]).await;
    session
}

#[tokio::test]
async fn a_worker_introduces_itself_runs_tasks_and_says_goodbye() {
    let mut coordinator = Coordinator::start().await;
    let running = start(&coordinator, "right");
    let mut session = welcomed(&mut coordinator).await;
    let hello = &session.hello;
    assert_eq!((hello.protocol, hello.version.as_str(), hello.node.as_str()), (2, braid_proto::VERSION, "alpha-1"));
    let inventory = hello.inventory.clone().unwrap();
    assert_eq!((inventory.threads, inventory.memory, inventory.address.as_str()), (2, 1 << 20, "here"));
    assert_eq!((inventory.kinds, hello.held.len()), (vec!["gate".to_owned()], 0));
    let root = inventory.disks.iter().find(|disk| disk.mount == "/").expect("any folder may be used, so all disks count");
    assert!(root.total > 0 && root.free <= root.total, "{root:?}");

    session.run(task(0), "gate", "0").await;
    let (finished, lines) = session.result().await;
    assert_eq!((finished.task, finished.attempt, finished.lease), (Some(task(0).into()), 1, 5));
    assert_eq!((value(finished.outcome).as_str(), lines), ("{\"gate\":0}", vec!["piece 0 began".to_owned()]));
    session.taken(task(0)).await;

    session.run(task(1), "other", "0").await;
    session.run(task(2), "gate", "{").await;
    let mut without_demand = run(task(3), "gate", "0");
    without_demand.demand = None;
    session.say(Message::Run(without_demand)).await;
    let mut without_task = run(task(4), "gate", "0");
    without_task.task = None;
    session.say(Message::Run(without_task)).await;
    let mut failures = Vec::new();
    for _ in 0..3 {
        failures.push(value(session.result().await.0.outcome));
    }
    failures.sort();
    assert!(failures[0].starts_with("Fatal: task 3.1: this worker runs no \"other\" jobs"), "{failures:?}");
    assert!(failures[1].starts_with("Fatal: task 3.2: its payload is not JSON"), "{failures:?}");
    assert_eq!(failures[2], "Fatal: task 3.3: Run message: no field demand");

    session.run(task(5), "gate", "1").await;
    // A stop that overtakes the start is another case.
    while running.gate.runs.load(Ordering::SeqCst) < 2 {
        session.hear().await.unwrap();
    }
    session.say(Message::Stop(v1::Stop { task: Some(task(5).into()), attempt: 1 })).await;
    assert_eq!(value(session.result().await.0.outcome), "Cancelled: cancelled");
    for index in [1, 2, 5] {
        session.taken(task(index)).await;
    }

    session.run(task(6), "gate", "1").await;
    while running.gate.runs.load(Ordering::SeqCst) < 3 {
        session.hear().await.unwrap();
    }
    let end = tokio::spawn(running.end());
    assert_eq!(value(session.result().await.0.outcome), "Cancelled: cancelled");
    session.taken(task(6)).await;
    end.await.unwrap().unwrap();
    assert!(session.hear().await.is_none(), "the stream is closed");
}

#[tokio::test]
async fn work_goes_on_without_a_coordinator_and_nothing_runs_twice() {
    let mut coordinator = Coordinator::start().await;
    let running = start(&coordinator, "right");
    let mut session = welcomed(&mut coordinator).await;
    for (index, gate) in [(0, "0"), (1, "1"), (2, "2"), (3, "3")] {
        session.run(task(index), "gate", gate).await;
    }
    assert_eq!(session.result().await.0.task, Some(task(0).into()));
    coordinator.set_away(true);
    drop(session);
    running.gate.open.store(1, Ordering::SeqCst);
    // Two threads: the fourth task starts once the second has ended, all by itself.
    while running.gate.runs.load(Ordering::SeqCst) < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    coordinator.set_away(false);

    let mut session = coordinator.session().await;
    let held = session.hello.held.clone();
    let expected = (0..4).map(|index| v1::Held { task: Some(task(index).into()), attempt: 1, lease: 5 });
    assert_eq!(held, expected.collect::<Vec<_>>());
    session.welcome(10_000, vec![held[0], held[3]]).await;
    let (second, _) = session.result().await;
    assert_eq!((second.task, second.lease, value(second.outcome)), (Some(task(1).into()), 5, "{\"gate\":1}".into()));
    session.run(task(2), "gate", "2").await;
    running.gate.open.store(2, Ordering::SeqCst);
    assert_eq!(session.result().await.0.task, Some(task(2).into()));
    drop(session);

    let mut session = welcomed(&mut coordinator).await;
    let held: Vec<_> = session.hello.held.iter().map(|held| held.task.unwrap()).collect();
    assert_eq!(held, [task(1).into(), task(2).into()], "the dropped ones are forgotten");
    for index in [1, 2] {
        assert_eq!(session.result().await.0.task, Some(task(index).into()));
        session.taken(task(index)).await;
    }
    assert_eq!(running.gate.runs.load(Ordering::SeqCst), 4);
    running.end().await.unwrap();
}

#[tokio::test]
async fn a_refusal_that_cannot_mend_ends_the_worker_with_advice() {
    let coordinator = Coordinator::start().await;
    for (token, words, advice) in [
        ("wrong", "the coordinator refused worker alpha-1: wrong token", "check the --token"),
        ("old", "the coordinator refused worker alpha-1: the worker speaks protocol 0", "same version of braid"),
    ] {
        let running = start(&coordinator, token);
        let error = tokio::time::timeout(Duration::from_secs(20), running.worker).await.unwrap().unwrap().unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains(advice)), "{error:?}");
    }
}

#[tokio::test]
async fn a_worker_tells_of_the_disks_of_what_the_coordinator_allows() {
    let mut coordinator = Coordinator::start().await;
    let running = start(&coordinator, "right");
    let mut session = coordinator.session().await;
    let folder = tempfile::tempdir().unwrap();
    let write = vec![folder.path().display().to_string()];
    let bounds = Some(v1::Bounds { write, ..v1::Bounds::default() });
    let welcome = v1::Welcome { lease: 1, lease_millis: 300, version: "test".into(), bounds, ..v1::Welcome::default() };
    session.say(Message::Welcome(welcome)).await;
    let disks = loop {
        match session.hear().await.expect("the worker stays") {
            from_worker::Message::KeepAlive(alive) if !alive.disks.is_empty() => break alive.disks,
            _ => {}
        }
    };
    let [disk] = &*disks else { panic!("{disks:?}") };
    assert!(folder.path().canonicalize().unwrap().starts_with(&disk.mount), "{disk:?}");
    running.end().await.unwrap();
}

#[tokio::test]
async fn the_network_from_the_coordinator_is_measured() {
    let coordinator = Coordinator::start().await;
    let channel = coordinator.connector().connect().await.unwrap();
    let rate = from_coordinator(channel).await.unwrap();
    assert!(rate.is_some_and(|rate| rate > 0), "{rate:?}");
}

#[tokio::test]
async fn a_busy_worker_keeps_its_lease_and_leaves_a_silent_coordinator() {
    let mut coordinator = Coordinator::start().await;
    let running = start(&coordinator, "right");
    let mut session = coordinator.session().await;
    session.welcome(1500, vec![]).await;
    session.run(task(0), "gate", "1").await;
    let start = Instant::now();
    let (mut last, mut longest, mut reports) = (start, Duration::ZERO, Vec::new());
    while start.elapsed() < Duration::from_secs(3) {
        if let from_worker::Message::KeepAlive(alive) = session.hear().await.expect("the worker stays") {
            longest = longest.max(last.elapsed());
            last = Instant::now();
            reports.extend(alive.running.first().map(|progress| progress.done));
        }
    }
    assert!(longest < Duration::from_millis(1500), "{longest:?}");
    assert!(reports.len() >= 8 && reports.is_sorted() && reports.last() > reports.first(), "{reports:?}");
    session.answers = false;
    while session.hear().await.is_some() {}
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(coordinator.session().await.hello.held.len(), 1, "it comes back with what it runs");
    running.end().await.unwrap();
}
