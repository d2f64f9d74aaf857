//! `braid.v1.Jobs`.

use super::{
    explain,
    log_lines::{self, Wanted},
    status::malformed,
    view,
};
use crate::{
    engine::{Refusal, State},
    logs::Logs,
    model::{DEFAULT_PROJECT, Job, Precedence},
    placement::MoreNodes,
    runtime::{Handle, Stopped},
    security::{About, Limits, standing},
};
use braid_proto::{
    DecodeError,
    v1::{
        self, CancelJobRequest, ExplainRequest, GetJobRequest, JobState, ListJobsRequest, ListJobsResponse, ListTasksRequest,
        ListTasksResponse, LogsRequest, SubmitRequest, WatchJobRequest, jobs_server::Jobs,
    },
};
use braid_telemetry::trace::{self, TraceContext};
use braid_workload::JobId;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Extensions, Request, Response, Status};
use tracing::{Instrument, Span};

/// A watcher hears of changes at most this often: a job of ten thousand short tasks is not ten thousand messages.
const WATCH_PACE: Duration = Duration::from_millis(100);
/// The least time between two looks for one watcher.
const LOOK_PACE: Duration = Duration::from_millis(5);
/// Messages that may wait for a slow client.
const STREAM: usize = 64;
/// The longest key against doubling.
const MAX_REQUEST_ID: usize = 128;

pub(super) struct JobsApi {
    pub(super) handle: Handle,
    pub(super) logs: Logs,
    pub(super) limits: Limits,
    pub(super) tasks: TaskTracker,
    pub(super) cancel: CancellationToken,
}

#[tonic::async_trait]
impl Jobs for JobsApi {
    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<v1::Job>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let span = tracing::info_span!("submit", kind = request.kind, job = tracing::field::Empty);
        let from = trace::found(&metadata);
        trace::adopt(&span, from.as_ref());
        let place = trace::of(&span).or(from);
        self.accept(extensions, request, place).instrument(span).await.map(Response::new)
    }

    async fn get(&self, request: Request<GetJobRequest>) -> Result<Response<v1::Job>, Status> {
        self.view(JobId(request.into_inner().id)).await.map(Response::new)
    }

    async fn list(&self, _: Request<ListJobsRequest>) -> Result<Response<ListJobsResponse>, Status> {
        let jobs = self.handle.read(|state| state.jobs().map(view::job).collect()).await?;
        Ok(Response::new(ListJobsResponse { jobs }))
    }

    type WatchStream = ReceiverStream<Result<v1::Job, Status>>;

    async fn watch(&self, request: Request<WatchJobRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let first = self.view(JobId(request.into_inner().id)).await?;
        let (send, receive) = mpsc::channel(STREAM);
        self.tasks.spawn(watch(self.handle.clone(), first, send, self.cancel.clone()));
        Ok(Response::new(ReceiverStream::new(receive)))
    }

    async fn tasks(&self, request: Request<ListTasksRequest>) -> Result<Response<ListTasksResponse>, Status> {
        let id = JobId(request.into_inner().job);
        let tasks = self.handle.read(move |state| find(state, id).map(|job| task_views(state, job))).await??;
        Ok(Response::new(ListTasksResponse { tasks }))
    }

    async fn cancel(&self, request: Request<CancelJobRequest>) -> Result<Response<v1::Job>, Status> {
        About::note(request.extensions(), || format!("job {}", request.get_ref().id));
        let id = JobId(request.get_ref().id);
        if let Some(project) = self.handle.read(move |state| Some(state.job(id)?.precedence.project.clone())).await? {
            standing(request.extensions().get(), project)?;
        }
        let id = self.handle.cancel(id).await??;
        self.view(id).await.map(Response::new)
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<v1::Explanation>, Status> {
        let ExplainRequest { id, with_nodes } = request.into_inner();
        let more = match with_nodes.as_str() {
            "" => None,
            text => Some(text.parse::<MoreNodes>().map_err(|error| Status::invalid_argument(format!("{text:?}: {error}")))?),
        };
        let look = move |state: &State| find(state, JobId(id)).map(|job| (explain::Asked::of(job), state.problem()));
        let (asked, problem) = self.handle.read(look).await??;
        let explained = tokio::task::spawn_blocking(move || explain::answer(asked, &problem, more.as_ref())).await;
        explained.map(Response::new).map_err(|error| Status::internal(format!("explaining ended: {error}")))
    }

    type LogsStream = ReceiverStream<Result<v1::LogLine, Status>>;

    async fn logs(&self, request: Request<LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        let LogsRequest { id, follow, tasks, tail } = request.into_inner();
        let job = JobId(self.view(JobId(id)).await?.id);
        let wanted = Wanted::new(tasks, tail);
        let (send, receive) = mpsc::channel(STREAM);
        let (handle, logs, cancel) = (self.handle.clone(), self.logs.clone(), self.cancel.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = log_lines::send(&handle, &logs, job, follow, wanted, &send) => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(receive)))
    }
}

impl JobsApi {
    async fn accept(
        &self,
        extensions: Extensions,
        request: SubmitRequest,
        place: Option<TraceContext>,
    ) -> Result<v1::Job, Status> {
        if request.request_id.is_empty() || request.request_id.len() > MAX_REQUEST_ID {
            return Err(Status::invalid_argument(format!("request_id must have 1 to {MAX_REQUEST_ID} bytes")));
        }
        let spec = serde_json::from_str(&request.spec)
            .map_err(|error| malformed(&DecodeError::json("SubmitRequest", "spec", &error)))?;
        let (mut project, role) = standing(extensions.get(), request.project)?;
        if project.is_empty() {
            project = DEFAULT_PROJECT.to_owned();
        }
        self.limits.check(&request.kind, &spec, &project, role).await?;
        let kind = request.kind.clone();
        let precedence = Precedence { priority: request.priority, project, role };
        let id = self.handle.submit(request.kind, spec, request.request_id, precedence, place).await??;
        Span::current().record("job", id.0);
        About::note(&extensions, || format!("job {id} ({kind})"));
        self.view(id).await
    }

    async fn view(&self, id: JobId) -> Result<v1::Job, Status> {
        Ok(look(&self.handle, id).await??)
    }
}

pub(super) async fn look(handle: &Handle, id: JobId) -> Result<Result<v1::Job, Refusal>, Stopped> {
    handle.read(move |state| find(state, id).map(view::job)).await
}

/// A job by number, or the newest for 0.
fn find(state: &State, id: JobId) -> Result<&Job, Refusal> {
    match id.0 {
        0 => state.jobs().next_back().ok_or(Refusal::NoJobYet),
        _ => state.job(id).ok_or(Refusal::NoSuchJob(id)),
    }
}

fn task_views(state: &State, job: &Job) -> Vec<v1::Task> {
    let silent: Vec<_> = state.nodes().filter(|node| node.session.is_none()).map(|node| &node.id).collect();
    (0u32..)
        .zip(&job.tasks)
        .map(|(index, task)| {
            let is_silent = task.assignment().is_some_and(|assignment| silent.contains(&&assignment.node));
            view::task(job.id.task(index), task, is_silent)
        })
        .collect()
}

pub(super) fn is_over(job: &v1::Job) -> bool {
    matches!(job.state(), JobState::Done | JobState::Failed | JobState::Cancelled)
}

/// Sends the job, then each change, until it is over or nobody listens.
async fn watch(handle: Handle, first: v1::Job, send: mpsc::Sender<Result<v1::Job, Status>>, cancel: CancellationToken) {
    // Never marked as seen but by `changed`, which looks afterwards: what happens between a look and the next wait counts.
    let mut changes = handle.changes();
    let mut last = first;
    loop {
        let over = is_over(&last);
        let id = JobId(last.id);
        if send.send(Ok(last.clone())).await.is_err() || over {
            return;
        }
        let next = tokio::select! {
            next = changed(&handle, id, &last, &mut changes) => next,
            () = send.closed() => return,
            () = cancel.cancelled() => Err(Status::unavailable("the coordinator is shutting down")),
        };
        match next {
            Ok(job) => last = job,
            Err(status) => {
                // Nobody may listen any more; then there is nobody to tell.
                let _ = send.send(Err(status)).await;
                return;
            }
        }
    }
}

/// The next view worth sending: the end at once, anything else [`WATCH_PACE`] after the last.
async fn changed(
    handle: &Handle,
    id: JobId,
    last: &v1::Job,
    changes: &mut tokio::sync::watch::Receiver<u64>,
) -> Result<v1::Job, Status> {
    let due = tokio::time::Instant::now() + WATCH_PACE;
    let mut next: Option<v1::Job> = None;
    loop {
        match &next {
            Some(job) if tokio::time::Instant::now() >= due => return Ok(job.clone()),
            Some(_) => {
                // Running out of time is as good as a change: either way there is something to send.
                if let Ok(changed) = tokio::time::timeout_at(due, changes.changed()).await {
                    changed.map_err(|_| stopped())?;
                }
            }
            None => changes.changed().await.map_err(|_| stopped())?,
        }
        let job = look(handle, id).await??;
        if is_over(&job) {
            return Ok(job);
        }
        next = (job != *last).then_some(job);
        tokio::time::sleep(LOOK_PACE).await;
    }
}

fn stopped() -> Status {
    Status::unavailable("the coordinator stopped")
}
