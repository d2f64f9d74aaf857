//! Clients that submit, cancel and look at the same jobs at once, by the plain wire, and write down what they are told.

use super::history::{Cancel, Moment, Op, Phase, Recorded};
use crate::harness::PATIENCE;
use braid_proto::{
    LEADER_HEADER,
    v1::{
        self, CancelJobRequest, GetJobRequest, JobState, LeaderRequest, ListJobsRequest, SubmitRequest,
        fleet_client::FleetClient, jobs_client::JobsClient,
    },
};
use fastrand::Rng;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tonic::{
    Code, Response, Status,
    transport::{Channel, Endpoint},
};

/// A call that takes longer is one whose end nobody knows.
const DEADLINE: Duration = Duration::from_secs(2);

/// What all clients share.
#[derive(Default)]
struct Book {
    recorded: Recorded,
    /// Whether an operation without an answer is to be forgotten: it only looked.
    forgotten: Vec<bool>,
    requests: u32,
    /// The number that each request was told.
    ids: BTreeMap<u32, u64>,
}

/// Clients that run until they are told to stop.
pub(super) struct Clients {
    runtime: tokio::runtime::Runtime,
    addresses: Vec<String>,
    book: Arc<Mutex<Book>>,
    stop: Arc<AtomicBool>,
    running: Vec<tokio::task::JoinHandle<()>>,
}

impl Clients {
    pub(super) fn start(addresses: Vec<String>, count: u64, seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (book, stop) = (Arc::<Mutex<Book>>::default(), Arc::<AtomicBool>::default());
        let start = |number: u64| {
            let client = Client { book: Arc::clone(&book), reach: Reach::new(&addresses, &runtime) };
            runtime.spawn(client.run(Rng::with_seed(seed << 8 | number), Arc::clone(&stop)))
        };
        let running = (0..count).map(start).collect();
        Self { addresses, book, stop, running, runtime }
    }

    /// Lets them end, asks for each request once more, and returns what was recorded: every request has a number now.
    pub(super) fn finish(self) -> Recorded {
        self.stop.store(true, Ordering::Relaxed);
        let mut last = Client { book: Arc::clone(&self.book), reach: Reach::new(&self.addresses, &self.runtime) };
        self.runtime.block_on(async {
            for client in self.running {
                client.await.unwrap();
            }
            let requests = last.lock().requests;
            for request in 0..requests {
                last.submit(request).await;
            }
            while !last.list().await {}
        });
        let book = std::mem::take(&mut *last.lock());
        book.close()
    }
}

impl Book {
    /// Leaves out what only looked and was not answered, and gives each submit its number.
    fn close(self) -> Recorded {
        let Self { recorded: Recorded { ops, moments }, forgotten, ids, .. } = self;
        let mut places = Vec::new();
        let mut kept = Vec::new();
        for (mut op, forgotten) in ops.into_iter().zip(forgotten) {
            places.push(kept.len());
            if forgotten {
                continue;
            }
            if let Op::Submit { request, id, certain: false } = &mut op {
                *id = ids[request];
            }
            kept.push(op);
        }
        let is_kept = |index: usize| places.get(index + 1).map_or(kept.len(), |next| *next) > places[index];
        let moved = moments.into_iter().filter_map(|moment| match moment {
            Moment::Called(index) => is_kept(index).then(|| Moment::Called(places[index])),
            Moment::Answered(index) => is_kept(index).then(|| Moment::Answered(places[index])),
        });
        Recorded { moments: moved.collect(), ops: kept }
    }
}

struct Client {
    book: Arc<Mutex<Book>>,
    reach: Reach,
}

impl Client {
    async fn run(mut self, mut rng: Rng, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            let job = {
                let (book, newest) = (self.lock(), if rng.bool() { 4 } else { 40 });
                rng.choice(book.ids.values().copied().rev().take(newest))
            };
            match (rng.u8(..10), job) {
                (0..4, _) | (_, None) => {
                    // Now and then what another asks for at the same time.
                    let newest = self.lock().requests.checked_sub(1).filter(|_| rng.u8(..4) == 0);
                    let request = newest.unwrap_or_else(|| {
                        let mut book = self.lock();
                        book.requests += 1;
                        book.requests - 1
                    });
                    self.submit(request).await;
                }
                (4..6, Some(id)) => self.cancel(id).await,
                (6..8, Some(id)) => self.get(id).await,
                _ => drop(self.list().await),
            }
            tokio::time::sleep(Duration::from_millis(rng.u64(10..100))).await;
        }
    }

    /// Asks until there is an answer; each time is an operation.
    async fn submit(&mut self, request: u32) {
        let begun = Instant::now();
        loop {
            let index = self.call(Op::Submit { request, id: 0, certain: false }, false);
            let spec = format!(r#"{{"tasks": {}, "millis": {}}}"#, 1 + request % 3, 40 * (request % 5));
            let ask = SubmitRequest { kind: "noop".into(), spec, request_id: format!("r{request}"), ..SubmitRequest::default() };
            match self.reach.jobs().submit(timed(ask)).await.map(Response::into_inner) {
                Ok(job) => {
                    self.lock().ids.entry(request).or_insert(job.id);
                    return self.answer(index, Op::Submit { request, id: job.id, certain: true });
                }
                Err(status) => self.reach.turn_from(&status).await,
            }
            assert!(begun.elapsed() < PATIENCE, "request {request} is not answered");
        }
    }

    async fn cancel(&mut self, id: u64) {
        let index = self.call(Op::Cancel { id, answer: Cancel::NoAnswer }, false);
        match self.reach.jobs().cancel(timed(CancelJobRequest { id })).await {
            Ok(_) => self.answer(index, Op::Cancel { id, answer: Cancel::Accepted }),
            Err(status) if status.code() == Code::FailedPrecondition && status.metadata().get(LEADER_HEADER).is_none() => {
                self.answer(index, Op::Cancel { id, answer: Cancel::TooLate });
            }
            Err(status) => self.reach.turn_from(&status).await,
        }
    }

    async fn get(&mut self, id: u64) {
        let index = self.call(Op::Get { id, seen: Phase::Running }, true);
        match self.reach.jobs().get(timed(GetJobRequest { id })).await {
            Ok(job) => self.answer(index, Op::Get { id, seen: phase(job.get_ref()) }),
            Err(status) => self.reach.turn_from(&status).await,
        }
    }

    async fn list(&mut self) -> bool {
        let index = self.call(Op::List { seen: BTreeMap::new() }, true);
        match self.reach.jobs().list(timed(ListJobsRequest {})).await {
            Ok(list) => {
                let seen = list.get_ref().jobs.iter().map(|job| (job.id, phase(job))).collect();
                self.answer(index, Op::List { seen });
                true
            }
            Err(status) => {
                self.reach.turn_from(&status).await;
                false
            }
        }
    }

    /// Notes that an operation begins. `looks`: it changes nothing, so that without an answer it never was.
    fn call(&self, op: Op, looks: bool) -> usize {
        let mut book = self.lock();
        let index = book.recorded.ops.len();
        book.recorded.ops.push(op);
        book.recorded.moments.push(Moment::Called(index));
        book.forgotten.push(looks);
        index
    }

    fn answer(&self, index: usize, op: Op) {
        let mut book = self.lock();
        book.recorded.ops[index] = op;
        book.recorded.moments.push(Moment::Answered(index));
        book.forgotten[index] = false;
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }
}

/// Coordinators, and which of them is asked.
struct Reach {
    channels: Vec<Channel>,
    current: usize,
}

impl Reach {
    fn new(addresses: &[String], runtime: &tokio::runtime::Runtime) -> Self {
        let _inside = runtime.enter();
        let channel = |address: &String| {
            Endpoint::from_shared(format!("http://{address}")).unwrap().connect_timeout(DEADLINE).connect_lazy()
        };
        Self { channels: addresses.iter().map(channel).collect(), current: 0 }
    }

    fn jobs(&self) -> JobsClient<Channel> {
        JobsClient::new(self.channels[self.current].clone())
    }

    /// Waits until one says that it leads. What the call before came to stays unknown, and nothing is asked in between.
    async fn turn_from(&mut self, status: &Status) {
        let lost = [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::Unknown, Code::FailedPrecondition];
        assert!(lost.contains(&status.code()), "{status:?}");
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.current = (self.current + 1) % self.channels.len();
            let asked = FleetClient::new(self.channels[self.current].clone()).leader(timed(LeaderRequest {})).await;
            if asked.is_ok_and(|answer| answer.get_ref().leads) {
                return;
            }
        }
        panic!("nobody leads after {PATIENCE:?}: {status:?}");
    }
}

fn timed<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(DEADLINE);
    request
}

fn phase(job: &v1::Job) -> Phase {
    match job.state() {
        JobState::Running => Phase::Running,
        JobState::Cancelling => Phase::Cancelling,
        JobState::Cancelled => Phase::Cancelled,
        JobState::Done => Phase::Done,
        JobState::Failed | JobState::Unspecified => panic!("no job fails here: {job:?}"),
    }
}
