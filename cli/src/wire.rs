//! How both ends of a connection are set up: keep-alives, time-outs, sizes, and who is calling. In one process the two ends are joined by a
//! pipe in memory and everything above it is the same.

use crate::{
    address::{Address, Addresses},
    error::{Error, Result, chain},
    leader,
    status::OTHER_FLEET,
    trust::{Trust, TrustArgs},
};
use braid_telemetry::trace;
use hyper_util::rt::TokioIo;
use std::{io, time::Duration};
use tokio::{io::DuplexStream, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint, Server},
};

/// A silent peer is asked whether it lives; without this a cut link makes every later call wait for its deadline.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);
/// A peer that leaves the question unanswered for so long is gone.
const KEEP_ALIVE_WITHIN: Duration = Duration::from_secs(20);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// What the pipe inside a process holds before the writer waits.
const PIPE: usize = 256 << 10;

/// A connection as services use it: calls over it carry the caller's token, if there is one.
pub(crate) type Wire = InterceptedService<Channel, Bearer>;

/// Where a coordinator is, and how to talk to it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ReachArgs {
    /// Address of the coordinator, or of several, separated by commas [default: as the credentials file says]
    #[arg(long, value_name = "ADDR", env = "BRAID_COORDINATOR")]
    pub(crate) coordinator: Option<Addresses>,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

/// Puts a person's token on each call, and where it stands in a trace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        trace::carry(request.metadata_mut());
        Ok(request)
    }
}

impl Bearer {
    fn new(trust: &Trust) -> Self {
        // Hexadecimal digits are always fit for a header.
        let value = trust.secret().and_then(|secret| format!("Bearer {}", secret.to_hex()).parse().ok());
        Self(value.map(|mut value: MetadataValue<Ascii>| {
            value.set_sensitive(true);
            value
        }))
    }
}

/// A channel to `address`, not yet connected; it connects, and connects again, as calls need it.
pub(crate) fn endpoint(address: &Address, trust: &Trust) -> Result<Endpoint> {
    let wrong = |error: &dyn std::error::Error| Error::usage(format!("{address} is no address: {}", chain(error)));
    let endpoint = Endpoint::from_shared(format!("{}://{address}", trust.scheme())).map_err(|error| wrong(&error))?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_WITHIN)
        .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
        .keep_alive_timeout(KEEP_ALIVE_WITHIN)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    trust.secure(endpoint).map_err(|error| Error::usage(format!("cannot set up TLS with {address}: {}", chain(&error))))
}

/// A connected wire to the coordinator that leads, for a verb that asks it something.
///
/// # Errors
/// UNAVAILABLE when none leads, or none can be reached.
pub(crate) async fn find(addresses: &Addresses, trust: &Trust) -> std::result::Result<Wire, Status> {
    let found = leader::find(addresses, |address| dial(address, trust.clone())).await;
    Ok(wire(found.map_err(|status| in_plaintext(status, trust))?.1, trust))
}

/// The same status, said as what it most likely means where plaintext was spoken: TLS answers the first words of a call by hanging up.
pub(crate) fn in_plaintext(status: Status, trust: &Trust) -> Status {
    let is_of_the_connection = std::error::Error::source(&status).is_some();
    match (trust, status.code()) {
        (Trust::Plaintext, Code::Unknown | Code::Internal | Code::Cancelled) if is_of_the_connection => {
            Status::unavailable("it hangs up on plaintext (does it speak TLS? then leave --insecure out)")
        }
        _ => status,
    }
}

/// A connected channel to one coordinator.
pub(crate) async fn dial(address: Address, trust: Trust) -> std::result::Result<Channel, Status> {
    connect(endpoint(&address, &trust), &address).await
}

/// The same, on which so many bytes may be under way to us.
pub(crate) async fn dial_wide(address: Address, trust: Trust, window: u32) -> std::result::Result<Channel, Status> {
    let endpoint = endpoint(&address, &trust);
    connect(endpoint.map(|endpoint| endpoint.initial_stream_window_size(window).initial_connection_window_size(window)), &address)
        .await
}

async fn connect(endpoint: Result<Endpoint>, address: &Address) -> std::result::Result<Channel, Status> {
    let endpoint = endpoint.map_err(|error| Status::invalid_argument(error.message))?;
    endpoint.connect().await.map_err(|error| unreachable(address, &chain(&error).replace("transport error: ", "")))
}

/// Why there is no connection. That the other end is not who it should be is not something that passes.
fn unreachable(address: &Address, why: &str) -> Status {
    if why.contains("invalid peer certificate") {
        return Status::unauthenticated(format!("the coordinator at {address} {OTHER_FLEET} ({why})"));
    }
    if why.contains("InvalidContentType") {
        return Status::unavailable("it does not speak TLS (was it started with --insecure?)");
    }
    Status::unavailable(why)
}

/// What goes over `channel` from now on says who sends it.
pub(crate) fn wire(channel: Channel, trust: &Trust) -> Wire {
    InterceptedService::new(channel, Bearer::new(trust))
}

/// The serving end, for TCP and for a pipe.
pub(crate) fn server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_WITHIN))
        .tcp_nodelay(true)
}

/// Both ends of a connection inside this process: what the server accepts, and the endpoint that reaches it.
pub(crate) fn pipe() -> (ReceiverStream<io::Result<DuplexStream>>, PipeEndpoint) {
    let (send, receive) = mpsc::channel(8);
    (ReceiverStream::new(receive), PipeEndpoint(send))
}

/// Makes channels to the server at the other end of a [`pipe`].
#[derive(Debug, Clone)]
pub(crate) struct PipeEndpoint(mpsc::Sender<io::Result<DuplexStream>>);

impl PipeEndpoint {
    /// A channel that connects when it is first used.
    pub(crate) fn channel(&self) -> Channel {
        let accept = self.0.clone();
        // The name is never looked up: HTTP/2 wants some authority in its requests.
        Endpoint::from_static("http://in-process").connect_with_connector_lazy(tower::service_fn(move |_| {
            let accept = accept.clone();
            async move {
                let (ours, theirs) = tokio::io::duplex(PIPE);
                accept.send(Ok(theirs)).await.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
                Ok::<_, io::Error>(TokioIo::new(ours))
            }
        }))
    }
}
