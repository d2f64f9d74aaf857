//! What a coordinator or worker serves over HTTP beside its work, if it is told to.

use crate::{
    address::Address,
    console::Console,
    error::{Error, Result},
};
use axum::Router;
use braid_telemetry::http;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Where, if anywhere.
#[derive(Debug, clap::Args)]
pub(crate) struct HttpArgs {
    /// Serve metrics and health at this address, over plain HTTP and to anyone who reaches it; port 0 takes any free one
    #[arg(long, value_name = "ADDR")]
    http: Option<Address>,
}

/// A port that is taken, and not yet served.
pub(crate) struct Port(Option<TcpListener>);

/// A server that ends with this value.
pub(crate) struct Serving {
    cancel: CancellationToken,
    server: Option<JoinHandle<()>>,
}

impl HttpArgs {
    /// Takes the port, so that one which cannot be had is known before anything starts.
    pub(crate) async fn bind(&self, console: &Console) -> Result<Port> {
        let Some(address) = &self.http else { return Ok(Port(None)) };
        if !address.is_loopback() {
            console.warn(&format!("anyone who can reach {address} may see what this fleet does"));
        }
        let bound = TcpListener::bind(address.to_string()).await;
        bound
            .map(|listener| Port(Some(listener)))
            .map_err(|error| Error::unavailable(format!("cannot listen on {address}: {error}")))
    }
}

impl Port {
    /// Serves a router there, and prints where that is.
    pub(crate) fn serve(self, router: Router, console: &Console) -> Result<Serving> {
        let cancel = CancellationToken::new();
        let Some(listener) = self.0 else { return Ok(Serving { cancel, server: None }) };
        let address = listener.local_addr().map_err(|error| Error::unavailable(format!("cannot serve HTTP: {error}")))?;
        let ended = cancel.clone();
        let server = tokio::spawn(async move {
            if let Err(error) = http::serve(listener, router, ended).await {
                tracing::error!(%error, "nothing is served over HTTP any longer");
            }
        });
        let serving = Serving { cancel, server: Some(server) };
        console.data(&format!("http on {address}"))?;
        Ok(serving)
    }
}

impl Serving {
    /// Ends it.
    pub(crate) async fn stop(mut self) {
        self.cancel.cancel();
        if let Some(server) = self.server.take() {
            // It logs why, if not because it was told to.
            let _ = server.await;
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
