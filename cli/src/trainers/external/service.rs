//! `braid.v1.Mixture` on a socket in a folder of its own that only this user can enter. It knows how calls travel, not what they mean.

use super::message;
use braid_mixture::{
    Domains, MixtureError,
    steer::{Call, Refusal, Reply},
};
use braid_proto::v1::{
    BeginReply, BeginRequest, ProbedRequest, Recorded, ReportRequest, WeightsReply, WeightsRequest,
    mixture_server::{Mixture, MixtureServer},
};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{net::UnixListener, sync::oneshot};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// Calls that wait for their answer. A trainer makes one at a time.
const WAITING: usize = 4;
/// The most that a report may hold: a matrix of many domains with their names.
const MAX_MESSAGE: usize = 4 << 20;

/// What is answered to a call.
type Answer = Result<Reply, Refusal>;

/// A call that waits for its answer.
pub(super) struct Asked {
    pub(super) call: Result<Call, MixtureError>,
    /// For people.
    pub(super) what: String,
    pub(super) reply: oneshot::Sender<Answer>,
}

/// A service that runs until it is dropped.
pub(super) struct Service {
    address: String,
    calls: Receiver<Asked>,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
    _folder: TempDir,
}

impl Service {
    pub(super) fn start(domains: Domains) -> io::Result<Self> {
        let own = fs::Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix("braid-").permissions(own).tempdir()?;
        let path = folder.path().join("mixture");
        let address = format!("unix:{}", path.display());
        let (send, calls) = sync_channel(WAITING);
        let (stop, stopped) = oneshot::channel::<()>();
        let (listens, is_listening) = sync_channel(1);
        let api = Api { domains, send };
        let server = thread::Builder::new().name("mixture-calls".into()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(listens.send(Err(error))),
            };
            runtime.block_on(async {
                let listener = match UnixListener::bind(&path) {
                    Ok(listener) => listener,
                    Err(error) => return drop(listens.send(Err(error))),
                };
                let _ = listens.send(Ok(()));
                let service = MixtureServer::new(api).max_decoding_message_size(MAX_MESSAGE);
                let serve = Server::builder().add_service(service).serve_with_incoming(UnixListenerStream::new(listener));
                // Calls that still wait when the program is gone have nobody who reads the answer.
                tokio::select! {
                    _ = serve => {}
                    _ = stopped => {}
                }
            });
        })?;
        is_listening.recv().map_err(|_| io::Error::other("its thread broke"))??;
        Ok(Self { address, calls, stop: Some(stop), server: Some(server), _folder: folder })
    }

    /// Where the program finds it, as gRPC writes addresses.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The next call, waited for so long.
    pub(super) fn next(&self, wait: Duration) -> Result<Asked, RecvTimeoutError> {
        self.calls.recv_timeout(wait)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(server) = self.server.take() {
            // A broken thread serves nobody either.
            let _ = server.join();
        }
    }
}

/// The service's calls.
struct Api {
    domains: Domains,
    send: SyncSender<Asked>,
}

impl Api {
    async fn ask(&self, what: String, call: Result<Call, MixtureError>) -> Result<Reply, Status> {
        let (reply, answer) = oneshot::channel();
        let over = || Status::unavailable("the run is over");
        let full = self.send.try_send(Asked { call, what, reply });
        full.map_err(|_| Status::resource_exhausted("one call at a time: others still wait for their answers"))?;
        answer.await.map_err(|_| over())?.map_err(|refusal| message::status(&refusal))
    }
}

#[tonic::async_trait]
impl Mixture for Api {
    async fn begin(&self, request: Request<BeginRequest>) -> Result<Response<BeginReply>, Status> {
        let request = request.into_inner();
        let what = format!("that it begins at step {}", request.step);
        match self.ask(what, message::begin(request, &self.domains)).await? {
            Reply::Begun(begun) => Ok(Response::new(message::begun(begun))),
            _ => Err(Status::internal("another answer than asked for")),
        }
    }

    async fn weights(&self, request: Request<WeightsRequest>) -> Result<Response<WeightsReply>, Status> {
        let step = request.into_inner().step;
        match self.ask(format!("the weights of step {step}"), Ok(Call::Turn { step })).await? {
            Reply::Turn(turn) => Ok(Response::new(message::turn(turn))),
            _ => Err(Status::internal("another answer than asked for")),
        }
    }

    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<Recorded>, Status> {
        let request = request.into_inner();
        let what = format!("the report of step {}", request.step);
        self.told(what, message::report(request, &self.domains)).await
    }

    async fn probed(&self, request: Request<ProbedRequest>) -> Result<Response<Recorded>, Status> {
        let request = request.into_inner();
        let what = format!("the probe of step {}", request.step);
        self.told(what, message::probed(request, &self.domains)).await
    }
}

impl Api {
    async fn told(&self, what: String, call: Result<Call, MixtureError>) -> Result<Response<Recorded>, Status> {
        match self.ask(what, call).await? {
            Reply::Taken { new } => Ok(Response::new(Recorded { new })),
            _ => Err(Status::internal("another answer than asked for")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn nobody_else_enters_the_folder_and_nothing_of_it_stays() {
        let service = Service::start(Domains::new(["web"]).unwrap()).unwrap();
        let socket = PathBuf::from(service.address().strip_prefix("unix:").unwrap());
        let folder = socket.parent().unwrap();
        assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
        drop(service);
        assert!(!folder.exists());
    }
}
