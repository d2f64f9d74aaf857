//! A coordinator that does what the test says, over a real connection on loopback.

use braid_proto::v1::{
    self, FromWorker, ToWorker, from_worker,
    to_worker::Message,
    workers_server::{Workers, WorkersServer},
};
use braid_worker::{ConnectError, Connector};
use braid_workload::TaskId;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Channel, Endpoint, Server},
};

/// Nothing here takes longer unless it is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// The coordinator: hands each session to the test.
pub(crate) struct Coordinator {
    address: SocketAddr,
    sessions: mpsc::Receiver<Session>,
    away: Arc<AtomicBool>,
}

/// One session, as the test plays it. Dropping it ends the stream.
pub(crate) struct Session {
    pub(crate) hello: v1::Hello,
    incoming: Streaming<FromWorker>,
    outgoing: mpsc::Sender<Result<ToWorker, Status>>,
    /// Answers keep-alives unless false.
    pub(crate) answers: bool,
}

struct Door(mpsc::Sender<Session>);

#[tonic::async_trait]
impl Workers for Door {
    type SessionStream = ReceiverStream<Result<ToWorker, Status>>;
    type ProbeStream = tokio_stream::Iter<std::vec::IntoIter<Result<v1::ProbeChunk, Status>>>;

    async fn probe(&self, request: Request<v1::ProbeRequest>) -> Result<Response<Self::ProbeStream>, Status> {
        let chunks = request.get_ref().bytes.min(1 << 20) >> 16;
        let chunks: Vec<_> = (0..chunks).map(|_| Ok(v1::ProbeChunk { bytes: vec![0; 1 << 16] })).collect();
        Ok(Response::new(tokio_stream::iter(chunks)))
    }

    async fn session(&self, request: Request<Streaming<FromWorker>>) -> Result<Response<Self::SessionStream>, Status> {
        let mut incoming = request.into_inner();
        let Some(from_worker::Message::Hello(hello)) = incoming.message().await?.and_then(|first| first.message) else {
            return Err(Status::invalid_argument("no hello"));
        };
        match hello.token.as_deref() {
            Some("right") => {}
            Some("old") => return Err(Status::failed_precondition("the worker speaks protocol 0, this coordinator 1")),
            _ => return Err(Status::unauthenticated("wrong token")),
        }
        let (outgoing, receiver) = mpsc::channel(64);
        let session = Session { hello, incoming, outgoing, answers: true };
        self.0.send(session).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

impl Coordinator {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, sessions) = mpsc::channel(4);
        let server = Server::builder().add_service(WorkersServer::new(Door(sender)));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { address, sessions, away: Arc::default() }
    }

    /// What leads a worker here.
    pub(crate) fn connector(&self) -> impl Connector {
        let (address, away) = (self.address, Arc::clone(&self.away));
        move || {
            let away = away.load(Ordering::SeqCst);
            async move {
                if away {
                    return Err(ConnectError::from("nobody listens"));
                }
                Ok::<Channel, ConnectError>(Endpoint::from_shared(format!("http://{address}"))?.connect().await?)
            }
        }
    }

    /// Whether connecting fails.
    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// The next session, not welcomed yet.
    pub(crate) async fn session(&mut self) -> Session {
        timeout(PATIENCE, self.sessions.recv()).await.expect("a worker comes").unwrap()
    }
}

impl Session {
    pub(crate) async fn say(&self, message: Message) {
        self.outgoing.send(Ok(ToWorker { message: Some(message) })).await.expect("the session lasts");
    }

    pub(crate) async fn welcome(&self, lease_millis: u32, drop: Vec<v1::Held>) {
        self.say(Message::Welcome(v1::Welcome {
            lease: 1,
            lease_millis,
            version: "test".into(),
            drop,
            ..v1::Welcome::default()
        }))
        .await;
    }

    pub(crate) async fn run(&self, task: TaskId, kind: &str, payload: &str) {
        self.say(Message::Run(run(task, kind, payload))).await;
    }

    pub(crate) async fn taken(&self, task: TaskId) {
        self.say(Message::Taken(v1::Taken { task: Some(task.into()), attempt: 1 })).await;
    }

    /// The next message; keep-alives are answered on the way.
    pub(crate) async fn hear(&mut self) -> Option<from_worker::Message> {
        let message = timeout(PATIENCE, self.incoming.message()).await.expect("the worker says something");
        let message = message.ok().flatten()?.message?;
        if self.answers && matches!(message, from_worker::Message::KeepAlive(_)) {
            self.say(Message::KeepAliveAck(v1::KeepAliveAck {})).await;
        }
        Some(message)
    }

    /// The next result, and the log lines before it.
    pub(crate) async fn result(&mut self) -> (v1::Finished, Vec<String>) {
        let mut lines = Vec::new();
        loop {
            match self.hear().await.expect("the session lasts") {
                from_worker::Message::Finished(finished) => return (finished, lines),
                from_worker::Message::Log(line) => lines.push(line.text),
                from_worker::Message::KeepAlive(_) => {}
                from_worker::Message::Hello(_) => panic!("a second hello"),
            }
        }
    }
}

/// The first attempt of a task, under lease 5.
pub(crate) fn run(task: TaskId, kind: &str, payload: &str) -> v1::Run {
    v1::Run {
        task: Some(task.into()),
        attempt: 1,
        lease: 5,
        kind: kind.into(),
        spec: "{}".into(),
        label: format!("piece {}", task.index),
        payload: payload.into(),
        demand: Some(v1::Demand::default()),
        gang: None,
        trace: None,
        bounds: None,
    }
}
