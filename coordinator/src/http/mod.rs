//! What a coordinator serves over HTTP, read-only: metrics, health, and a page for a browser.
//!
//! Everything shown is a look at the state through the runtime's handle, with a deadline: a slow reader waits for the engine,
//! and the engine for nobody.

mod fleet;
mod gauges;
mod page;

use crate::{model::Millis, runtime::Handle};
use axum::{
    Json, Router,
    extract::{Query, State},
    http::{StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
    routing::get,
};
use braid_telemetry::{
    http::{self, Answer, Role},
    metrics::FleetMetrics,
};
use braid_workload::JobId;
use serde::Deserialize;
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;

/// How long a look at the state may take before the answer goes without it.
const LOOK_WITHIN: Duration = Duration::from_millis(500);

/// All paths. `engine` is the way to the engine, while this process leads.
pub(crate) fn router(metrics: Arc<FleetMetrics>, engine: watch::Receiver<Option<Handle>>) -> Router {
    let fleet = Router::new().route("/fleet.json", get(fleet_json)).with_state(engine.clone());
    http::router(Arc::new(Fleet { metrics, engine })).merge(page::router()).merge(fleet)
}

/// Which job's tasks are asked for.
#[derive(Debug, Deserialize)]
struct Chosen {
    job: Option<u64>,
}

async fn fleet_json(State(engine): State<watch::Receiver<Option<Handle>>>, Query(chosen): Query<Chosen>) -> Response {
    let Some(handle) = engine.borrow().clone() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "this coordinator does not lead: ask the one that does").into_response();
    };
    let job = chosen.job.map(JobId);
    let look = handle.peek(move |state| fleet::look(state, job, now()));
    match tokio::time::timeout(LOOK_WITHIN, look).await {
        Ok(Ok(fleet)) => ([(CACHE_CONTROL, "no-store")], Json(fleet)).into_response(),
        Ok(Err(stopped)) => (StatusCode::SERVICE_UNAVAILABLE, stopped.to_string()).into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the coordinator is too busy to say").into_response(),
    }
}

fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
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
