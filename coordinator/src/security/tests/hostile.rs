//! A worker with a good certificate and bad intentions: random messages, numbers of others, noise in place of protobuf,
//! messages of any size. Nothing panics, and nobody else's state changes. `BRAID_HOSTILE=SEED` repeats one run.

use super::*;
use braid_proto::v1::{
    FromWorker, ListTasksRequest, LogsRequest, SubmitRequest, ToWorker, from_worker, jobs_client::JobsClient, to_worker,
    workers_client::WorkersClient,
};
use fastrand::Rng;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Streaming,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataValue,
    service::interceptor::InterceptedService,
};

fn number(rng: &mut Rng) -> u64 {
    match rng.u8(0..8) {
        0 => u64::MAX - rng.u64(0..2),
        1 => rng.u64(..),
        _ => rng.u64(0..6),
    }
}

fn small(rng: &mut Rng) -> u32 {
    u32::try_from(number(rng)).unwrap_or(u32::MAX)
}

fn text(rng: &mut Rng) -> String {
    let piece = rng.choice(["", "x", "\u{0}\"\\", "{\"a\":", "é\n", "good"]).unwrap();
    piece.repeat(rng.usize(0..2000))
}

/// Mostly a task of the good node, with numbers that are easy to guess.
fn task(rng: &mut Rng) -> Option<v1::TaskRef> {
    match rng.u8(0..6) {
        0 => None,
        1 => Some(v1::TaskRef { job: number(rng), index: small(rng) }),
        _ => Some(v1::TaskRef { job: 1, index: rng.u32(0..3) }),
    }
}

fn disk(rng: &mut Rng) -> v1::Disk {
    v1::Disk { mount: text(rng), device: text(rng), kind: text(rng), total: number(rng), free: number(rng) }
}

fn message(rng: &mut Rng) -> FromWorker {
    use v1::finished::Outcome;
    let message = match rng.u8(0..10) {
        0 => None,
        1 => Some(from_worker::Message::Hello(hello("good", &["noop"]))),
        2 => {
            let running = (0..rng.usize(0..20))
                .map(|_| v1::TaskProgress { task: task(rng), attempt: small(rng), done: number(rng), reused: number(rng) })
                .collect();
            Some(from_worker::Message::KeepAlive(v1::KeepAlive {
                running,
                disks: (0..rng.usize(0..3)).map(|_| disk(rng)).collect(),
            }))
        }
        3 | 4 => {
            let line = v1::LogLine { task: task(rng), text: text(rng), unix_millis: number(rng), ..v1::LogLine::default() };
            Some(from_worker::Message::Log(line))
        }
        _ => {
            let failure = v1::Failure { kind: rng.i32(-1..5), message: text(rng), ..v1::Failure::default() };
            let outcome = match rng.u8(0..4) {
                0 => None,
                1 => Some(Outcome::Failure(failure)),
                2 => Some(Outcome::Value(text(rng))),
                _ => Some(Outcome::Value("null".into())),
            };
            Some(from_worker::Message::Finished(v1::Finished {
                task: task(rng),
                attempt: rng.u32(0..3),
                lease: rng.u64(0..70_000),
                outcome,
                run_micros: number(rng),
                done: number(rng),
                reused: number(rng),
            }))
        }
    };
    FromWorker { message }
}

struct Session {
    send: mpsc::Sender<FromWorker>,
    receive: Streaming<ToWorker>,
}

async fn open(channel: Channel, first: FromWorker) -> Result<Session, Status> {
    let (send, receive) = mpsc::channel(64);
    send.send(first).await.unwrap();
    let receive = WorkersClient::new(channel).session(ReceiverStream::new(receive)).await?.into_inner();
    Ok(Session { send, receive })
}

/// Sends bytes as they are, in gRPC's frames.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, bytes: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        use tonic::codegen::Bytes;
        bytes::BufMut::put(buffer, Bytes::from(bytes));
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        use bytes::Buf as _;
        buffer.advance(buffer.remaining());
        Ok(Some(()))
    }
}

async fn noise(channel: Channel, frames: Vec<Vec<u8>>) {
    let mut grpc = tonic::client::Grpc::new(channel);
    if grpc.ready().await.is_err() {
        return;
    }
    let path = PathAndQuery::from_static("/braid.v1.Workers/Session");
    let answer = grpc.streaming(Request::new(tokio_stream::iter(frames)), path, Raw);
    // That it is refused is all there is to say; that it ends is what counts.
    if let Ok(Ok(answer)) = tokio::time::timeout(SOON, answer).await {
        let mut answer = answer.into_inner();
        while let Ok(Ok(Some(()))) = tokio::time::timeout(SOON, answer.message()).await {}
    }
}

#[tokio::test]
async fn a_hostile_worker_changes_nothing_that_is_not_its_own() {
    let fleet = Fleet::start().await;
    let secret = fleet.person(Role::Admin).await;
    let bearer: MetadataValue<_> = format!("Bearer {}", secret.to_hex()).parse().unwrap();
    let mut jobs = JobsClient::new(InterceptedService::new(fleet.channel(None), move |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", bearer.clone());
        Ok(request)
    }));
    let good = fleet.channel(Some(fleet.join("good").await));
    let bad = fleet.channel(Some(fleet.join("bad").await));
    let first = FromWorker { message: Some(from_worker::Message::Hello(hello("good", &["noop"]))) };
    let mut session = open(good, first).await.unwrap();
    let spec = "{\"tasks\":2}".to_owned();
    jobs.submit(SubmitRequest { kind: "noop".into(), spec, request_id: "a".into(), ..SubmitRequest::default() }).await.unwrap();
    let mut runs = Vec::new();
    while runs.len() < 2 {
        if let Some(to_worker::Message::Run(run)) = session.receive.message().await.unwrap().unwrap().message {
            runs.push(run);
        }
    }
    let keep_alive = session.send.clone();
    let alive = tokio::spawn(async move {
        loop {
            let message = Some(from_worker::Message::KeepAlive(v1::KeepAlive::default()));
            if keep_alive.send(FromWorker { message }).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    let before = jobs.tasks(ListTasksRequest { job: 1 }).await.unwrap().into_inner();

    let only: Option<u64> = std::env::var("BRAID_HOSTILE").ok().map(|seed| seed.parse().unwrap());
    for seed in only.map_or(0..40, |seed| seed..seed + 1) {
        let rng = &mut Rng::with_seed(seed);
        if seed % 4 == 0 {
            let frames = (0..rng.usize(1..5)).map(|_| {
                let length = *rng.choice(&[0, 1, 10, 1000, 1 << 20, 3 << 20]).unwrap();
                (0..length).map(|_| rng.u8(..)).collect()
            });
            let frames: Vec<Vec<u8>> = frames.collect();
            noise(bad.clone(), frames).await;
        } else {
            let claims = rng.choice(["bad", "bad", "bad", "good", "", "../x"]).unwrap();
            let mut claim = hello(claims, &[]);
            claim.held = (0..rng.usize(0..50))
                .map(|_| v1::Held { task: task(rng), attempt: rng.u32(0..3), lease: rng.u64(0..70_000) })
                .collect();
            let opened = open(bad.clone(), FromWorker { message: Some(from_worker::Message::Hello(claim)) }).await;
            assert_eq!(opened.is_ok(), claims == "bad", "seed {seed}: a node is who its certificate says");
            if let Ok(session) = opened {
                // The right numbers of another's task, and then whatever comes.
                for run in &runs {
                    let outcome = Some(v1::finished::Outcome::Value("null".into()));
                    let (task, attempt, lease) = (run.task, run.attempt, run.lease);
                    let finished = v1::Finished { task, attempt, lease, outcome, ..v1::Finished::default() };
                    let message = Some(from_worker::Message::Finished(finished));
                    let _ = session.send.send(FromWorker { message }).await;
                }
                for _ in 0..50 {
                    if session.send.send(message(rng)).await.is_err() {
                        break;
                    }
                }
            }
        }
        let tasks = jobs.tasks(ListTasksRequest { job: 1 }).await;
        let tasks = tasks.unwrap_or_else(|error| panic!("seed {seed}: {error}")).into_inner();
        assert_eq!(tasks, before, "seed {seed}: see it again with BRAID_HOSTILE={seed}");
    }
    let lines = jobs.logs(LogsRequest { id: 1, ..LogsRequest::default() }).await.unwrap().into_inner().message().await.unwrap();
    assert_eq!(lines, None, "nobody writes into the log of another's task");

    // The good one goes on as if nothing had been.
    for run in runs {
        let outcome = Some(v1::finished::Outcome::Value("null".into()));
        let finished =
            v1::Finished { task: run.task, attempt: run.attempt, lease: run.lease, outcome, ..v1::Finished::default() };
        session.send.send(FromWorker { message: Some(from_worker::Message::Finished(finished)) }).await.unwrap();
    }
    let mut watch = jobs.watch(v1::WatchJobRequest { id: 1 }).await.unwrap().into_inner();
    let mut last = None;
    while let Some(job) = tokio::time::timeout(SOON, watch.message()).await.expect("the job ends soon").unwrap() {
        last = Some(job);
    }
    assert_eq!(last.unwrap().state(), v1::JobState::Done);
    alive.abort();
    fleet.stop().await;
}
