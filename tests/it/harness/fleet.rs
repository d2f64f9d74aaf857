//! A fleet of simulated workers: each speaks the workers' protocol over a connection of its own, all of them in this process.
//! They end every task at once and well; they compute nothing.

use super::eventually;
use braid_proto::{
    PROTOCOL, VERSION,
    v1::{
        self, FromWorker, Hello, Inventory, KeepAlive, Run, SubmitRequest, from_worker, jobs_client::JobsClient, to_worker,
        workers_client::WorkersClient,
    },
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, sync::mpsc};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::transport::{Channel, Endpoint};

/// Messages of one worker that may wait for the wire.
const OUTGOING: usize = 4096;
/// Connections that are made at the same time: a listener's backlog is not endless.
const AT_ONCE: usize = 64;

/// Simulated workers, until the value is dropped.
#[derive(Debug)]
pub(crate) struct Fleet {
    runtime: Runtime,
    jobs: JobsClient<Channel>,
    seen: Arc<Seen>,
}

/// What the workers have seen.
#[derive(Debug, Default)]
struct Seen {
    welcome: AtomicUsize,
    /// Streams that the coordinator has ended.
    ended: AtomicUsize,
    runs: AtomicUsize,
    /// When the first task of each job came.
    begun: Mutex<HashMap<u64, Instant>>,
}

impl Fleet {
    /// So many workers of two threads; returns when each is welcome.
    pub(crate) fn join(address: &str, workers: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap().tcp_nodelay(true);
        let jobs = JobsClient::new(runtime.block_on(endpoint.connect()).unwrap());
        let seen = Arc::new(Seen::default());
        let turns = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
        for number in 0..workers {
            let (endpoint, seen, turns) = (endpoint.clone(), Arc::clone(&seen), Arc::clone(&turns));
            runtime.spawn(async move {
                let turn = turns.acquire().await.unwrap();
                let channel = endpoint.connect().await.unwrap();
                drop(turn);
                work(channel, format!("sim-{number:04}"), &seen).await;
                seen.ended.fetch_add(1, Ordering::Relaxed);
            });
        }
        eventually("a welcome for every simulated worker", || (seen.welcome.load(Ordering::Relaxed) == workers).then_some(()));
        Self { runtime, jobs, seen }
    }

    /// Submits a job of empty tasks; returns its number, and when it was asked for.
    pub(crate) fn submit(&self, tasks: u32) -> (u64, Instant) {
        let request = SubmitRequest {
            kind: braid_noop::KIND.into(),
            spec: format!("{{\"tasks\": {tasks}}}"),
            request_id: format!("load-{}", fastrand::u128(..)),
            ..SubmitRequest::default()
        };
        let asked = Instant::now();
        (self.runtime.block_on(self.jobs.clone().submit(request)).unwrap().into_inner().id, asked)
    }

    /// How long after `asked` the first task of a job came to a worker.
    pub(crate) fn began_after(&self, job: u64, asked: Instant) -> Duration {
        let start = Instant::now();
        loop {
            if let Some(begun) = self.seen.begun.lock().unwrap().get(&job) {
                return begun.saturating_duration_since(asked);
            }
            assert!(start.elapsed() < super::PATIENCE, "job {job} did not begin");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Waits for the end of a job.
    pub(crate) fn wait_for(&self, job: u64) {
        let mut jobs = self.jobs.clone();
        self.runtime.block_on(async {
            let mut views = jobs.watch(v1::WatchJobRequest { id: job }).await.unwrap().into_inner();
            let mut last = None;
            while let Some(view) = views.next().await {
                last = Some(view.unwrap());
            }
            assert_eq!(last.unwrap().state(), v1::JobState::Done);
        });
    }

    /// Attempts that came to workers so far.
    pub(crate) fn runs(&self) -> usize {
        self.seen.runs.load(Ordering::Relaxed)
    }

    /// Workers whose stream the coordinator has ended.
    pub(crate) fn ended(&self) -> usize {
        self.seen.ended.load(Ordering::Relaxed)
    }
}

/// The life of one worker, until its stream ends.
async fn work(channel: Channel, node: String, seen: &Seen) {
    let (send, outgoing) = mpsc::channel(OUTGOING);
    let inventory = Inventory {
        threads: 2,
        memory: 8 << 30,
        kinds: vec![braid_noop::KIND.into()],
        address: node.clone(),
        ..Inventory::default()
    };
    let hello = Hello { protocol: PROTOCOL, version: VERSION.into(), node, inventory: Some(inventory), ..Hello::default() };
    send.send(message(from_worker::Message::Hello(hello))).await.unwrap();
    let stream = WorkersClient::new(channel).session(ReceiverStream::new(outgoing)).await;
    let Ok(mut incoming) = stream.map(tonic::Response::into_inner) else { return };
    let mut beat = tokio::time::interval(Duration::from_secs(5));
    loop {
        let said = tokio::select! {
            said = incoming.next() => match said {
                Some(Ok(said)) => said.message,
                _ => return,
            },
            _ = beat.tick() => {
                if send.send(message(from_worker::Message::KeepAlive(KeepAlive::default()))).await.is_err() {
                    return;
                }
                continue;
            }
        };
        match said {
            Some(to_worker::Message::Welcome(welcome)) => {
                beat = tokio::time::interval(Duration::from_millis(u64::from(welcome.lease_millis / 3).max(1)));
                seen.welcome.fetch_add(1, Ordering::Relaxed);
            }
            Some(to_worker::Message::Run(run)) => {
                let now = Instant::now();
                seen.runs.fetch_add(1, Ordering::Relaxed);
                seen.begun.lock().unwrap().entry(run.task.unwrap_or_default().job).or_insert(now);
                if send.send(message(done(run))).await.is_err() {
                    return;
                }
            }
            _ => {}
        }
    }
}

fn done(run: Run) -> from_worker::Message {
    from_worker::Message::Finished(v1::Finished {
        task: run.task,
        attempt: run.attempt,
        lease: run.lease,
        outcome: Some(v1::finished::Outcome::Value("null".into())),
        run_micros: 1,
        ..v1::Finished::default()
    })
}

fn message(message: from_worker::Message) -> FromWorker {
    FromWorker { message: Some(message) }
}
