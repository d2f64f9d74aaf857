//! What a coordinator serves over HTTP, read-only: metrics and health. Whoever has more to show adds its paths in [`router`].
//!
//! Everything shown is a look at the state through the runtime's handle, with a deadline: a slow reader waits for the engine,
//! and the engine for nobody.

mod gauges;

use crate::runtime::Handle;
use axum::Router;
use braid_telemetry::{
    http::{self, Answer, Role},
    metrics::FleetMetrics,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// How long a look at the state may take before the answer goes without it.
const LOOK_WITHIN: Duration = Duration::from_millis(500);

/// All paths. `engine` is the way to the engine, while this process leads.
pub(crate) fn router(metrics: Arc<FleetMetrics>, engine: watch::Receiver<Option<Handle>>) -> Router {
    http::router(Arc::new(Fleet { metrics, engine }))
}

struct Fleet {
    metrics: Arc<FleetMetrics>,
    engine: watch::Receiver<Option<Handle>>,
}

impl Role for Fleet {
    fn metrics(&self) -> Answer<String> {
        let (metrics, handle) = (Arc::clone(&self.metrics), self.engine.borrow().clone());
        Box::pin(async move {
            let look = async { handle?.peek(gauges::look).await.ok() };
            let gauges = tokio::time::timeout(LOOK_WITHIN, look).await.ok().flatten();
            metrics.text(gauges.as_ref())
        })
    }

    fn health(&self) -> Answer<Result<String, String>> {
        let handle = self.engine.borrow().clone();
        Box::pin(async move {
            let Some(handle) = handle else { return Ok("ok, another coordinator leads or will".to_owned()) };
            match tokio::time::timeout(LOOK_WITHIN, handle.peek(|_| ())).await {
                Ok(Ok(())) => Ok("ok".to_owned()),
                Ok(Err(stopped)) => Err(stopped.to_string()),
                Err(_) => Err("takes in nothing: its store does not answer, or it has too much to do".to_owned()),
            }
        })
    }
}
