//! A whole coordinator, spoken to over gRPC through a pipe in memory, with workers played by the test.

mod pauses;
mod terms;

use super::*;
use braid_noop::Noop;
use braid_proto::{
    PROTOCOL, VERSION,
    v1::{
        self, CancelJobRequest, FromWorker, GetJobRequest, Job, JobState, ListNodesRequest, ListTasksRequest, LogsRequest,
        SubmitRequest, ToWorker, WatchJobRequest, from_worker, jobs_client::JobsClient, nodes_client::NodesClient, to_worker,
        workers_client::WorkersClient,
    },
};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint, Server},
};

const SOON: Duration = Duration::from_secs(20);

struct Running {
    coordinator: Coordinator,
    channel: Channel,
    server: tokio::task::JoinHandle<()>,
}

fn options(store: StoreUrl) -> Options {
    Options {
        store,
        data_dir: None,
        advertise: "here:1".into(),
        token: None,
        protection: Protection::Open,
        policy: None,
        record: None,
        lease: Duration::from_secs(2),
    }
}

async fn start(options: Options) -> Result<Running, CoordinatorError> {
    let noop: Arc<dyn Workload> = Arc::new(Noop);
    let coordinator = Coordinator::start(options, Registry::new([(noop.kind(), noop)])).await?;
    let (pipes, incoming) = mpsc::channel::<Result<tokio::io::DuplexStream, std::io::Error>>(4);
    let serve = Server::builder()
        .layer(coordinator.gate())
        .add_routes(coordinator.routes())
        .serve_with_incoming(ReceiverStream::new(incoming));
    let server = tokio::spawn(async move { serve.await.expect("a pipe in memory can be served") });
    let connector = tower::service_fn(move |_| {
        let pipes = pipes.clone();
        async move {
            let (client, server) = tokio::io::duplex(64 << 10);
            pipes.send(Ok(server)).await.map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>(TokioIo::new(client))
        }
    });
    let channel = Endpoint::from_static("http://braid").connect_with_connector(connector).await.expect("the pipe is open");
    Ok(Running { coordinator, channel, server })
}

impl Running {
    fn jobs(&self) -> JobsClient<Channel> {
        JobsClient::new(self.channel.clone())
    }

    async fn submit(&self, tasks: u32, request_id: &str) -> Result<Job, Status> {
        let spec = format!("{{\"tasks\":{tasks}}}");
        let request = SubmitRequest { kind: "noop".into(), spec, request_id: request_id.into(), ..SubmitRequest::default() };
        self.jobs().submit(request).await.map(tonic::Response::into_inner)
    }

    async fn get(&self, id: u64) -> Job {
        self.jobs().get(GetJobRequest { id }).await.unwrap().into_inner()
    }

    async fn stop(self) {
        self.server.abort();
        drop(self.channel);
        self.coordinator.shutdown().await;
    }
}

struct Worker {
    send: mpsc::Sender<FromWorker>,
    receive: Streaming<ToWorker>,
}

fn hello(node: &str) -> v1::Hello {
    v1::Hello {
        protocol: PROTOCOL,
        version: VERSION.into(),
        node: node.into(),
        token: None,
        inventory: Some(v1::Inventory {
            threads: 2,
            memory: 1 << 30,
            kinds: vec!["noop".into()],
            address: "here".into(),
            exchange: String::new(),
            ..v1::Inventory::default()
        }),
        held: Vec::new(),
    }
}

impl Worker {
    async fn join(running: &Running, hello: v1::Hello) -> Result<Self, Status> {
        let (send, outgoing) = mpsc::channel(64);
        let first = FromWorker { message: Some(from_worker::Message::Hello(hello)) };
        send.send(first).await.expect("the stream is open");
        let mut client = WorkersClient::new(running.channel.clone());
        let receive = client.session(ReceiverStream::new(outgoing)).await?.into_inner();
        Ok(Self { send, receive })
    }

    async fn say(&self, message: from_worker::Message) {
        self.send.send(FromWorker { message: Some(message) }).await.expect("the stream is open");
    }

    async fn next(&mut self) -> Option<to_worker::Message> {
        let next = tokio::time::timeout(SOON, self.receive.message()).await.expect("a message comes soon");
        next.ok().flatten().and_then(|next| next.message)
    }

    async fn run(&mut self) -> v1::Run {
        loop {
            match self.next().await.expect("the stream goes on") {
                to_worker::Message::Run(run) => return run,
                _ => continue,
            }
        }
    }

    async fn finish(&self, run: &v1::Run) {
        let outcome = Some(v1::finished::Outcome::Value("null".into()));
        let finished =
            v1::Finished { task: run.task, attempt: run.attempt, lease: run.lease, outcome, run_micros: 10, done: 0, reused: 0 };
        self.say(from_worker::Message::Finished(finished)).await;
    }
}

async fn ended(running: &Running, id: u64) -> Job {
    let mut watch = running.jobs().watch(WatchJobRequest { id }).await.unwrap().into_inner();
    let mut last = None;
    while let Some(job) = tokio::time::timeout(SOON, watch.message()).await.expect("the job changes soon").unwrap() {
        last = Some(job);
    }
    last.expect("a watch begins with the job as it is")
}

#[tokio::test]
async fn a_job_goes_from_submit_to_done() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(Options { data_dir: Some(dir.path().into()), ..options("memory:".parse().unwrap()) }).await.unwrap();
    let job = running.submit(3, "a").await.unwrap();
    assert_eq!((job.id, job.state(), job.tasks_waiting), (1, JobState::Running, 3));
    assert_eq!(running.submit(3, "a").await.unwrap().id, 1, "the same request makes no second job");
    assert_eq!(running.get(1).await.reason.as_deref(), Some("no worker is connected"));

    let mut worker = Worker::join(&running, hello("n1")).await.unwrap();
    for _ in 0..3 {
        let run = worker.run().await;
        let line = v1::LogLine { task: run.task, text: "a line".into(), unix_millis: 1, ..v1::LogLine::default() };
        worker.say(from_worker::Message::Log(line)).await;
        worker.finish(&run).await;
    }
    let job = ended(&running, 1).await;
    assert_eq!((job.state(), job.tasks_done, job.summary.is_some()), (JobState::Done, 3, true));
    let tasks = running.jobs().tasks(ListTasksRequest { job: 0 }).await.unwrap().into_inner().tasks;
    assert_eq!(tasks.len(), 3);

    let mut lines = running.jobs().logs(LogsRequest { id: 1, ..LogsRequest::default() }).await.unwrap().into_inner();
    let mut seen = 0;
    while let Some(line) = lines.message().await.unwrap() {
        assert_eq!(line.text, "a line");
        seen += 1;
    }
    assert_eq!(seen, 3, "what was said before the job ended is there");
    let wanted = LogsRequest { id: 1, tasks: vec![0, 2], tail: Some(1), ..LogsRequest::default() };
    let mut lines = running.jobs().logs(wanted).await.unwrap().into_inner();
    let line = lines.message().await.unwrap().expect("the last line of both tasks");
    assert_ne!(line.task.map(|task| task.index), Some(1));
    assert_eq!(lines.message().await.unwrap(), None);
    let nodes = NodesClient::new(running.channel.clone()).list(ListNodesRequest {}).await.unwrap().into_inner().nodes;
    assert_eq!(nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["n1"]);
    drop(worker);
    running.stop().await;
}

async fn ask(running: &Running, path: &str) -> (u16, String) {
    let request = axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap();
    let answer = tower::ServiceExt::oneshot(running.coordinator.http(), request).await.unwrap();
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn what_happens_is_counted_and_what_is_can_be_looked_up() {
    let running = start(options("memory:".parse().unwrap())).await.unwrap();
    let has = |text: &str, lines: &[&str]| {
        for line in lines {
            assert!(text.lines().any(|found| found == *line), "{line} is not in\n{text}");
        }
    };
    running.submit(4, "a").await.unwrap();
    let mut worker = Worker::join(&running, hello("n1")).await.unwrap();
    let first = worker.run().await;
    has(
        &ask(&running, "/metrics").await.1,
        &[
            "braid_jobs{kind=\"noop\"} 1",
            "braid_jobs_submitted_total{kind=\"noop\"} 1",
            "braid_job_wait_seconds_count{kind=\"noop\"} 1",
            "braid_nodes{state=\"ready\"} 1",
            "braid_node_threads{node=\"n1\"} 2",
        ],
    );
    let second = worker.run().await;
    worker.finish(&first).await;
    worker.finish(&first).await; // the second time it is stale
    let failure = |kind: v1::failure::Kind| v1::Failure { kind: kind.into(), message: "no".into(), ..v1::Failure::default() };
    let fail = |run: &v1::Run, kind| v1::Finished {
        task: run.task,
        attempt: run.attempt,
        lease: run.lease,
        outcome: Some(v1::finished::Outcome::Failure(failure(kind))),
        run_micros: 10,
        done: 7,
        reused: 3,
    };
    worker.say(from_worker::Message::Finished(fail(&second, v1::failure::Kind::Retry))).await;
    let mut next = worker.run().await;
    while next.task != second.task {
        worker.finish(&next).await;
        next = worker.run().await;
    }
    assert_eq!(next.attempt, 2);
    worker.say(from_worker::Message::Finished(fail(&next, v1::failure::Kind::Fatal))).await;
    while let Some(message) = worker.next().await {
        if let to_worker::Message::Stop(stop) = message {
            let run = v1::Run { task: stop.task, attempt: stop.attempt, lease: second.lease, ..v1::Run::default() };
            worker.say(from_worker::Message::Finished(fail(&run, v1::failure::Kind::Cancelled))).await;
        }
        if running.get(1).await.state() == JobState::Failed {
            break;
        }
    }
    assert_eq!(ended(&running, 1).await.state(), JobState::Failed);
    let text = ask(&running, "/metrics").await.1;
    has(
        &text,
        &[
            "braid_jobs{kind=\"noop\"} 0",
            "braid_tasks_running{kind=\"noop\"} 0",
            "braid_jobs_ended_total{kind=\"noop\",outcome=\"failed\"} 1",
            "braid_tasks_ended_total{kind=\"noop\",outcome=\"retried\"} 1",
            "braid_tasks_ended_total{kind=\"noop\",outcome=\"failed\"} 1",
            "braid_stale_results_total 1",
            "braid_job_wait_seconds_count{kind=\"noop\"} 1",
        ],
    );
    // Attempts that were given away and those that ended are the same.
    let sum = |name: &str| {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum::<u64>()
    };
    assert_eq!(sum("braid_tasks_started_total"), sum("braid_tasks_ended_total"), "{text}");
    assert!(sum("braid_store_commit_seconds_count") > 0 && sum("braid_placement_seconds_count") > 0, "{text}");
    assert_eq!(ask(&running, "/healthz").await, (200, "ok\n".into()));

    // Its lease is 2 s.
    drop(worker);
    let lost = async {
        while !ask(&running, "/metrics").await.1.contains("braid_leases_lost_total 1\n") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, lost).await.expect("a silent worker is lost");
    running.stop().await;
}

/// Nothing else happens that could wake the watcher: an end that falls between two of its looks must do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_never_misses_the_end() {
    let running = start(options("memory:".parse().unwrap())).await.unwrap();
    let mut worker = Worker::join(&running, hello("n1")).await.unwrap();
    for round in 0..100u64 {
        let job = running.submit(2, &format!("job {round}")).await.unwrap();
        let watched = tokio::spawn({
            let mut jobs = running.jobs();
            async move {
                let mut watch = jobs.watch(WatchJobRequest { id: job.id }).await.unwrap().into_inner();
                while watch.message().await.unwrap().is_some() {}
            }
        });
        let one = worker.run().await;
        worker.finish(&one).await;
        let two = worker.run().await;
        tokio::time::sleep(Duration::from_micros(50 * round)).await;
        worker.finish(&two).await;
        tokio::time::timeout(Duration::from_secs(1), watched).await.expect("the end is heard at once").unwrap();
    }
    running.stop().await;
}

#[tokio::test]
async fn wishes_that_cannot_be_granted_say_why() {
    let running = start(options("memory:".parse().unwrap())).await.unwrap();
    let code = |result: Result<Job, Status>| result.unwrap_err().code();
    assert_eq!(code(running.submit(0, "a").await), Code::InvalidArgument);
    assert_eq!(code(running.submit(1, "").await), Code::InvalidArgument);
    let other = SubmitRequest { kind: "bake".into(), spec: "{}".into(), request_id: "b".into(), ..SubmitRequest::default() };
    let refused = running.jobs().submit(other).await.unwrap_err();
    assert_eq!(refused.message(), "no kind of job is called `bake` (this coordinator knows noop)");
    let garbled = SubmitRequest { kind: "noop".into(), spec: "{".into(), request_id: "c".into(), ..SubmitRequest::default() };
    assert_eq!(running.jobs().submit(garbled).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(running.jobs().cancel(CancelJobRequest { id: 9 }).await.unwrap_err().message(), "there is no job 9");
    assert_eq!(running.jobs().get(GetJobRequest { id: 0 }).await.unwrap_err().code(), Code::NotFound);
    running.stop().await;
}

#[tokio::test]
async fn a_worker_without_the_right_words_is_refused() {
    let running = start(Options { token: Some("secret".into()), ..options("memory:".parse().unwrap()) }).await.unwrap();
    let refusal = |hello| {
        let running = &running;
        async move { Worker::join(running, hello).await.err().expect("it is refused") }
    };
    assert_eq!(refusal(hello("n")).await.code(), Code::Unauthenticated);
    let wrong = v1::Hello { token: Some("guess".into()), ..hello("n") };
    assert_eq!(refusal(wrong).await.message(), "the join token is not the coordinator's");
    let right = || v1::Hello { token: Some("secret".into()), ..hello("n") };
    let old = refusal(v1::Hello { protocol: PROTOCOL + 1, version: "9.9.9".into(), ..right() }).await;
    assert_eq!(old.code(), Code::FailedPrecondition);
    assert!(old.message().contains("9.9.9") && old.message().ends_with("update the coordinator"), "{}", old.message());
    assert_eq!(refusal(v1::Hello { node: "\u{7}".into(), ..right() }).await.code(), Code::InvalidArgument);
    let mut worker = Worker::join(&running, right()).await.unwrap();
    assert!(matches!(worker.next().await, Some(to_worker::Message::Welcome(_))));
    running.stop().await;
}

#[tokio::test]
async fn a_restart_keeps_jobs_and_lets_workers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let store: StoreUrl = dir.path().join("state.redb").to_str().unwrap().parse().unwrap();
    let first = start(options(store.clone())).await.unwrap();
    first.submit(2, "a").await.unwrap();
    let mut worker = Worker::join(&first, hello("n1")).await.unwrap();
    let (one, two) = (worker.run().await, worker.run().await);
    worker.finish(&one).await;
    while !matches!(worker.next().await, Some(to_worker::Message::Taken(_))) {}
    first.stop().await;

    let second = start(options(store)).await.unwrap();
    let job = second.get(1).await;
    assert_eq!((job.tasks_done, job.tasks_running), (1, 1), "the result and the assignment are there");
    let held = vec![v1::Held { task: two.task, attempt: two.attempt, lease: two.lease }];
    let mut worker = Worker::join(&second, v1::Hello { held, ..hello("n1") }).await.unwrap();
    match worker.next().await {
        Some(to_worker::Message::Welcome(welcome)) => assert!(welcome.drop.is_empty(), "it goes on with what it has"),
        other => panic!("a session begins with Welcome, not {other:?}"),
    }
    worker.finish(&two).await;
    assert_eq!(ended(&second, 1).await.state(), JobState::Done);
    assert_eq!(second.submit(1, "b").await.unwrap().id, 2, "numbers are not used again");
    second.stop().await;
}

#[tokio::test]
async fn a_silent_worker_is_lost_and_another_gets_its_tasks() {
    let running = start(options("memory:".parse().unwrap())).await.unwrap();
    running.submit(1, "a").await.unwrap();
    let mut silent = Worker::join(&running, hello("n1")).await.unwrap();
    let old = silent.run().await;
    let mut other = Worker::join(&running, hello("n2")).await.unwrap();
    let keep_alive = || from_worker::Message::KeepAlive(v1::KeepAlive::default());
    let new = loop {
        other.say(keep_alive()).await;
        match other.next().await.unwrap() {
            to_worker::Message::Run(run) => break run,
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    assert_eq!((new.task, new.attempt), (old.task, old.attempt + 1));
    assert!(silent.next().await.is_none(), "the stream of the lost worker has ended");

    let mut late = Worker::join(&running, hello("n1")).await.unwrap();
    late.finish(&old).await;
    while !matches!(late.next().await, Some(to_worker::Message::Taken(_))) {}
    assert_eq!(running.get(1).await.state(), JobState::Running, "a stale result counts for nothing");
    other.finish(&new).await;
    assert_eq!(ended(&running, 1).await.state(), JobState::Done);
    running.stop().await;
}

#[tokio::test]
async fn a_cancelled_job_ends_when_its_workers_have_let_go() {
    let running = start(options("memory:".parse().unwrap())).await.unwrap();
    running.submit(2, "a").await.unwrap();
    let mut worker = Worker::join(&running, hello("n1")).await.unwrap();
    let (one, two) = (worker.run().await, worker.run().await);
    let job = running.jobs().cancel(CancelJobRequest { id: 1 }).await.unwrap().into_inner();
    assert_eq!(job.state(), JobState::Cancelling);
    assert!(matches!(worker.next().await, Some(to_worker::Message::Stop(_))));
    worker.finish(&one).await;
    worker.finish(&two).await;
    assert_eq!(ended(&running, 1).await.state(), JobState::Cancelled);
    running.stop().await;
}
