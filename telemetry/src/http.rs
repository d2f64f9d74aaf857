//! What every role serves over HTTP, and how it is served.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | the metrics, in the text format of OpenMetrics, which Prometheus reads |
//! | `/healthz` | 200 while the role does its work, else 503; one line that says how it stands |
//!
//! A role adds paths of its own to the router. Plaintext and without a login, as scrapers and probes want it: nothing that
//! is served here may change anything, and it listens on loopback unless told otherwise.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use std::{future::Future, io, pin::Pin, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What OpenMetrics calls itself.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How long connections may take to end when the process does.
const FAREWELL: Duration = Duration::from_secs(1);

/// A future that a [`Role`] answers with.
pub type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Who is served. Neither answer may take long: whoever asks gives up after some seconds.
pub trait Role: Send + Sync + 'static {
    /// All metrics, as text.
    fn metrics(&self) -> Answer<String>;

    /// How it stands, in a line; `Err` where it does not do its work.
    fn health(&self) -> Answer<Result<String, String>>;
}

/// A router with what every role serves.
pub fn router(role: Arc<dyn Role>) -> Router {
    Router::new().route("/metrics", get(metrics)).route("/healthz", get(health)).with_state(role)
}

async fn metrics(State(role): State<Arc<dyn Role>>) -> Response {
    ([(CONTENT_TYPE, OPEN_METRICS)], role.metrics().await).into_response()
}

async fn health(State(role): State<Arc<dyn Role>>) -> (StatusCode, String) {
    match role.health().await {
        Ok(line) => (StatusCode::OK, line + "\n"),
        Err(line) => (StatusCode::SERVICE_UNAVAILABLE, line + "\n"),
    }
}

/// Serves a router until `cancel` is set.
///
/// # Errors
/// What the system says when it takes no more connections.
pub async fn serve(listener: TcpListener, router: Router, cancel: CancellationToken) -> io::Result<()> {
    let ended = cancel.clone();
    let served = axum::serve(listener, router).with_graceful_shutdown(async move { ended.cancelled().await });
    tokio::select! {
        served = served.into_future() => served,
        // A scraper keeps its connection open.
        () = async { cancel.cancelled().await; tokio::time::sleep(FAREWELL).await } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    struct Toy;

    impl Role for Toy {
        fn metrics(&self) -> Answer<String> {
            Box::pin(async { "braid_x 1\n# EOF\n".to_owned() })
        }

        fn health(&self) -> Answer<Result<String, String>> {
            Box::pin(async { Err("the store is away".to_owned()) })
        }
    }

    #[tokio::test]
    async fn a_role_is_served_with_what_it_adds_until_it_ends_and_an_open_connection_does_not_keep_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cancel = CancellationToken::new();
        let more = router(Arc::new(Toy)).route("/more", get(|| async { "more" }));
        let server = tokio::spawn(serve(listener, more, cancel.clone()));
        let ask = async |path: &str| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let metrics = ask("/metrics").await;
        assert!(
            metrics.starts_with("HTTP/1.1 200") && metrics.contains(OPEN_METRICS) && metrics.contains("braid_x 1"),
            "{metrics}"
        );
        let health = ask("/healthz").await;
        assert!(health.starts_with("HTTP/1.1 503") && health.ends_with("the store is away\n"), "{health}");
        assert!(ask("/more").await.ends_with("more"));
        assert!(ask("/nothing").await.starts_with("HTTP/1.1 404"));
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut some = [0; 64];
        assert!(idle.read(&mut some).await.unwrap() > 0);
        cancel.cancel();
        tokio::time::timeout(Duration::from_secs(10), server).await.unwrap().unwrap().unwrap();
    }
}
