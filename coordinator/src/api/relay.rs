//! Passes a call on to the services of the term under way, or says who answers instead.
//!
//! One that another coordinator would answer is refused with FAILED_PRECONDITION and the address of that one in the
//! header [`LEADER_HEADER`]; while nobody leads, with UNAVAILABLE: try again. `braid.v1.Fleet` is answered here by all.

use crate::runtime::Standing;
use braid_proto::{
    LEADER_HEADER, NO_LEADER,
    v1::{
        LeaderReply, LeaderRequest,
        fleet_server::{Fleet, FleetServer},
    },
};
use std::{
    convert::Infallible,
    task::{Context, Poll},
};
use tokio::sync::watch;
use tonic::{
    Request, Response, Status,
    codegen::{Body, BoxFuture, Bytes, Service, StdError, http},
    metadata::MetadataValue,
    service::Routes,
};

/// The services of a coordinator, whether it leads or not.
pub(crate) fn relay(standing: watch::Receiver<Standing>) -> Routes {
    let mut routes = Routes::new(FleetServer::new(FleetApi(standing.clone())));
    let router = std::mem::take(routes.axum_router_mut());
    *routes.axum_router_mut() = router.fallback_service(Relay(standing));
    routes
}

struct FleetApi(watch::Receiver<Standing>);

#[tonic::async_trait]
impl Fleet for FleetApi {
    async fn leader(&self, _: Request<LeaderRequest>) -> Result<Response<LeaderReply>, Status> {
        let (leads, leader) = match &*self.0.borrow() {
            Standing::Leads(_, tenure) => (tenure.holds(), None),
            Standing::Follows(leader) => (false, Some(leader.clone())),
            Standing::Nobody => (false, None),
        };
        Ok(Response::new(LeaderReply { leads, leader }))
    }
}

#[derive(Clone)]
struct Relay(watch::Receiver<Standing>);

impl<B> Service<http::Request<B>> for Relay
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let standing = self.0.borrow().clone();
        match standing {
            Standing::Leads(mut routes, tenure) if tenure.holds() => Box::pin(routes.call(request)),
            Standing::Follows(leader) => refuse(elsewhere(&leader)),
            // One whose tenure is over has not been told yet.
            Standing::Leads(..) | Standing::Nobody => refuse(Status::unavailable(NO_LEADER)),
        }
    }
}

fn refuse(status: Status) -> BoxFuture<http::Response<tonic::body::Body>, Infallible> {
    Box::pin(std::future::ready(Ok(status.into_http())))
}

fn elsewhere(leader: &str) -> Status {
    let mut status = Status::failed_precondition(format!("this coordinator stands by; {leader} leads"));
    if let Ok(value) = MetadataValue::try_from(leader) {
        status.metadata_mut().insert(LEADER_HEADER, value);
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_leader_in_words_and_in_the_header() {
        let status = elsewhere("b:7117");
        assert_eq!(status.code(), tonic::Code::FailedPrecondition);
        assert_eq!(status.message(), "this coordinator stands by; b:7117 leads");
        assert_eq!(status.metadata().get(LEADER_HEADER).unwrap(), "b:7117");
    }
}
