//! What a worker serves over HTTP, read-only: metrics and health.

use axum::Router;
use braid_telemetry::{
    http::{self, Answer, Role},
    metrics::WorkerMetrics,
};
use std::sync::Arc;

/// All paths.
pub fn router(metrics: Arc<WorkerMetrics>) -> Router {
    http::router(Arc::new(Node(metrics)))
}

struct Node(Arc<WorkerMetrics>);

impl Role for Node {
    fn metrics(&self) -> Answer<String> {
        let metrics = Arc::clone(&self.0);
        Box::pin(async move { metrics.text() })
    }

    /// A worker that has lost its coordinator is well: its tasks go on, and ending it would lose them.
    fn health(&self) -> Answer<Result<String, String>> {
        let line = if self.0.is_connected() { "ok" } else { "ok, without a coordinator" };
        Box::pin(async move { Ok(line.to_owned()) })
    }
}
