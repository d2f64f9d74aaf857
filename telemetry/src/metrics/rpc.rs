//! Counts the calls that a server answers. It sits around all services and looks at paths and codes alone.
//!
//! A stream counts when it begins: what ends it later is its own affair, and sessions of workers last for days.

use super::{
    labels::{OfCall, OfMethod},
    names,
    register::{add, add_made, seconds},
};
use axum::{
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use std::time::{Duration, Instant};
use tonic::{Code, Status, service::Routes};

/// What stands for all paths at which nothing is served: anybody may ask for any.
const UNKNOWN: &str = "unknown";

/// Calls by method and code, and how long they took. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RpcMetrics {
    calls: Family<OfCall, Counter>,
    took: Family<OfMethod, Histogram>,
}

impl RpcMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let took = Family::new_with_constructor(seconds as fn() -> Histogram);
        Self { calls: add(registry, names::RPCS), took: add_made(registry, names::RPC, took) }
    }

    /// A call of `method` was answered with `code`.
    pub fn answered(&self, method: &str, code: &str, took: Duration) {
        self.calls.get_or_create(&OfCall { method: method.to_owned(), code: code.to_owned() }).inc();
        self.took.get_or_create(&OfMethod { method: method.to_owned() }).observe(took.as_secs_f64());
    }
}

/// The same services, each call of which is counted.
pub fn counted(routes: Routes, metrics: RpcMetrics) -> Routes {
    Routes::from(routes.into_axum_router().layer(from_fn_with_state(metrics, count)))
}

async fn count(State(metrics): State<RpcMetrics>, request: Request, next: Next) -> Response {
    let method = method(request.uri().path()).to_owned();
    let start = Instant::now();
    let response = next.run(request).await;
    // An error stands in the headers; without one the answer is on its way.
    let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
    let method = if code == Code::Unimplemented { UNKNOWN } else { &method };
    metrics.answered(method, word(code), start.elapsed());
    response
}

/// `/braid.v1.Jobs/Submit` is `Jobs/Submit`.
fn method(path: &str) -> &str {
    path.strip_prefix("/braid.v1.").unwrap_or(path)
}

/// As gRPC writes its codes, in small letters.
fn word(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::FleetMetrics;
    use axum::{Router, body::Body, routing::post};
    use tower::ServiceExt as _;

    #[tokio::test]
    async fn calls_count_by_method_and_code_and_strangers_as_one() {
        let fleet = FleetMetrics::new("1");
        let served = Router::new()
            .route("/braid.v1.Jobs/Get", post(|| async { Status::not_found("no job 7").into_http::<Body>() }))
            .route("/braid.v1.Jobs/List", post(|| async { Response::new(Body::empty()) }))
            .fallback(|| async { Status::unimplemented("").into_http::<Body>() });
        let routes = counted(Routes::from(served), fleet.rpc().clone()).into_axum_router();
        for path in ["/braid.v1.Jobs/Get", "/braid.v1.Jobs/List", "/braid.v1.Jobs/List", "/any", "/other"] {
            let request = Request::post(path).body(Body::empty()).unwrap();
            routes.clone().oneshot(request).await.unwrap();
        }
        let text = fleet.text(None);
        for line in [
            "braid_rpcs_total{method=\"Jobs/Get\",code=\"not_found\"} 1",
            "braid_rpcs_total{method=\"Jobs/List\",code=\"ok\"} 2",
            "braid_rpcs_total{method=\"unknown\",code=\"unimplemented\"} 2",
            "braid_rpc_seconds_count{method=\"Jobs/List\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("/any"), "{text}");
    }
}
