//! `braid.v1.Planner`, for trainers: a step in, a plan out. It knows nothing of jobs and keeps nothing between calls.
//!
//! Plans are made on threads of their own, a few at once; whoever asks meanwhile waits for a seat. A caller that goes away
//! or whose deadline passes takes its plan with it: the search stops at its next look.

mod deadline;
mod message;

use crate::planning;
use braid_proto::v1::{
    PlanReply, PlanRequest,
    planner_server::{Planner, PlannerServer},
};
use futures_util::{Stream, StreamExt as _, stream};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tonic::{Request, Response, Status, Streaming};

/// Plans that are made at once. Each uses all cores where it can.
const SEATS: usize = 2;
/// Plans of one stream that are made or wait to be read.
const AHEAD: usize = 4;
/// The most that a request may hold: its lengths, and two files.
const MAX_MESSAGE: usize = 4 << 20;

/// The service, to be added to whatever is served.
pub(crate) fn service() -> PlannerServer<PlannerApi> {
    let api = PlannerApi { seats: Arc::new(Semaphore::new(SEATS)) };
    PlannerServer::new(api).max_decoding_message_size(MAX_MESSAGE)
}

/// The service's calls.
#[derive(Debug, Clone)]
pub(crate) struct PlannerApi {
    seats: Arc<Semaphore>,
}

#[tonic::async_trait]
impl Planner for PlannerApi {
    async fn plan(&self, request: Request<PlanRequest>) -> Result<Response<PlanReply>, Status> {
        // The server ends a call whose deadline is over by dropping this.
        self.answer(request.into_inner()).await.map(Response::new)
    }

    type PlansStream = Pin<Box<dyn Stream<Item = Result<PlanReply, Status>> + Send>>;

    async fn plans(&self, request: Request<Streaming<PlanRequest>>) -> Result<Response<Self::PlansStream>, Status> {
        let until = Instant::now() + deadline::of(request.metadata())?;
        let api = self.clone();
        let answers = request.into_inner().map(move |request| {
            let api = api.clone();
            async move { api.answer(request?).await }
        });
        let answers = Box::pin(answers.buffered(AHEAD));
        // What ends a stream of answers is its first error; tonic reads no further.
        let replies = stream::unfold(answers, move |mut answers| async move {
            match timeout_at(until, answers.next()).await {
                Ok(answer) => Some((answer?, answers)),
                Err(_) => Some((Err(Status::deadline_exceeded("the deadline of the stream is over")), answers)),
            }
        });
        Ok(Response::new(Box::pin(replies)))
    }
}

impl PlannerApi {
    async fn answer(&self, request: PlanRequest) -> Result<PlanReply, Status> {
        let seat = self.seats.clone().acquire_owned().await.map_err(|_| Status::unavailable("the planner is shutting down"))?;
        let abandoned = Arc::new(AtomicBool::new(false));
        let _guard = SetOnDrop(abandoned.clone());
        let solve = move || {
            let _seat = seat;
            let tag = request.tag;
            let (budget, baselines) = (request.budget_millis, request.baselines);
            let question = message::question(request)?;
            let start = Instant::now();
            let spent = || budget > 0 && start.elapsed() >= Duration::from_millis(budget.into());
            let answer = planning::answer(&question, &|| spent() || abandoned.load(Ordering::Relaxed));
            let answer = answer.map_err(|error| message::refusal(&error))?;
            let baselines = baselines.then(|| answer.baselines());
            Ok(message::reply(tag, &answer, baselines.as_ref()))
        };
        tokio::task::spawn_blocking(solve).await.map_err(|error| Status::internal(format!("the planner broke: {error}")))?
    }
}

/// Tells a search that nobody waits for it any more.
struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
