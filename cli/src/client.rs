//! The questions that verbs ask a coordinator. Each has a deadline, and each error is already one for a person.

mod lines;

use crate::{
    address::Addresses,
    error::{Error, Result},
    exit::Exit,
    leader::is_between_leaders,
    status,
    trust::Trust,
    wire::{self, ReachArgs, Wire},
    work::PrecedenceArgs,
};
use braid_proto::{
    LEADER_HEADER,
    v1::{
        self, JobState, access_client::AccessClient, jobs_client::JobsClient, nodes_client::NodesClient,
        projects_client::ProjectsClient,
    },
};
use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tonic::{Response, Status};

/// No unary call takes longer, a store that is being elected included.
const DEADLINE: Duration = Duration::from_secs(20);
/// The same where another coordinator may answer instead.
const SHORT_DEADLINE: Duration = Duration::from_secs(5);
/// How long a call waits for one of several coordinators to lead: a lease of usual length, and what follows it.
const TAKEOVER: Duration = Duration::from_secs(30);
/// A list of all tasks of a large job is one answer.
const LARGEST_ANSWER: usize = 256 << 20;
/// How long a coordinator may be away before those who follow a job give up.
const AWAY: Duration = Duration::from_secs(120);
/// The pause between two tries to find it again.
const RETRY: Duration = Duration::from_millis(500);

/// A job as a person names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobRef {
    /// The newest.
    Last,
    /// This one.
    Id(u64),
}

/// A connection to a coordinator.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// To the coordinator that led when it was last looked for.
    wire: Arc<Mutex<Wire>>,
    /// How to look for it; `None` inside one process.
    reach: Option<(Addresses, Trust)>,
    /// Where it is, for messages.
    at: String,
}

impl FromStr for JobRef {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "last" => Ok(Self::Last),
            _ => match text.parse::<braid_workload::JobId>() {
                Ok(id) if id.0 > 0 => Ok(Self::Id(id.0)),
                _ => Err("not a job: give a number as `braid job ls` prints it, or `last`".into()),
            },
        }
    }
}

impl fmt::Display for JobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last => f.write_str("last"),
            Self::Id(id) => id.fmt(f),
        }
    }
}

/// Whether the job has ended, one way or another.
pub(crate) fn has_ended(job: &v1::Job) -> bool {
    matches!(job.state(), JobState::Done | JobState::Failed | JobState::Cancelled)
}

/// The exit of a verb that has seen the job end.
pub(crate) fn verdict(job: &v1::Job) -> Result {
    let failed = |message| Error::new(Exit::JobFailed, message);
    match (job.state(), &job.failure) {
        (JobState::Done, _) => Ok(()),
        (JobState::Cancelled, _) => Err(failed(format!("job {} was cancelled", job.id))),
        (_, Some(failure)) => {
            let message = format!("job {}: {}", job.id, failure.message);
            Err(Error { hint: failure.hint.clone(), ..failed(message) })
        }
        (_, None) => Err(failed(format!("job {} failed, and the coordinator does not say why", job.id))),
    }
}

impl Client {
    /// Connects to the coordinator that leads, of those that the arguments name.
    pub(crate) async fn connect(args: &ReachArgs) -> Result<Self> {
        let (addresses, trust) = args.trust.resolve(args.coordinator.as_ref())?;
        let at = addresses.to_string();
        let begun = tokio::time::Instant::now();
        let mut said = false;
        loop {
            match wire::find(&addresses, &trust).await {
                Ok(wire) => return Ok(Self { reach: Some((addresses, trust)), ..Self::new(wire, at) }),
                Err(status) if is_between_leaders(&status) && begun.elapsed() < TAKEOVER => {
                    if !std::mem::replace(&mut said, true) {
                        tracing::warn!("{}, trying again", status.message());
                    }
                    tokio::time::sleep(RETRY).await;
                }
                Err(status) => return Err(status::error(&at, &status)),
            }
        }
    }

    /// A client of the coordinator at the other end of `wire`.
    pub(crate) fn new(wire: Wire, at: String) -> Self {
        Self { wire: Arc::new(Mutex::new(wire)), reach: None, at }
    }

    fn wire(&self) -> Wire {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn jobs(&self) -> JobsClient<Wire> {
        JobsClient::new(self.wire()).max_decoding_message_size(LARGEST_ANSWER)
    }

    fn nodes(&self) -> NodesClient<Wire> {
        NodesClient::new(self.wire()).max_decoding_message_size(LARGEST_ANSWER)
    }

    fn access(&self) -> AccessClient<Wire> {
        AccessClient::new(self.wire()).max_decoding_message_size(LARGEST_ANSWER)
    }

    fn projects(&self) -> ProjectsClient<Wire> {
        ProjectsClient::new(self.wire()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// Whether there may be another coordinator to ask.
    fn has_choice(&self) -> bool {
        self.reach.as_ref().is_some_and(|(addresses, _)| addresses.iter().count() > 1)
    }

    /// Looks for the coordinator that leads now. If there is none, the next call meets the same trouble again.
    async fn look_again(&self) {
        if let Some((addresses, trust)) = &self.reach
            && let Ok(wire) = wire::find(addresses, trust).await
        {
            *self.wire.lock().unwrap_or_else(PoisonError::into_inner) = wire;
        }
    }

    /// Where the coordinator is, for people.
    #[cfg(feature = "tui")]
    pub(crate) fn at(&self) -> &str {
        &self.at
    }

    pub(crate) async fn job(&self, id: JobRef) -> Result<v1::Job> {
        let id = match id {
            JobRef::Last => 0,
            JobRef::Id(id) => id,
        };
        self.ask(async || self.jobs().get(v1::GetJobRequest { id }).await).await
    }

    /// The id that a reference stands for now.
    pub(crate) async fn resolve(&self, id: JobRef) -> Result<u64> {
        match id {
            JobRef::Last => Ok(self.job(id).await?.id),
            JobRef::Id(id) => Ok(id),
        }
    }

    pub(crate) async fn list_jobs(&self) -> Result<Vec<v1::Job>> {
        Ok(self.ask(async || self.jobs().list(v1::ListJobsRequest {}).await).await?.jobs)
    }

    pub(crate) async fn explain(&self, job: u64, with_nodes: String) -> Result<v1::Explanation> {
        self.ask(async || self.jobs().explain(v1::ExplainRequest { id: job, with_nodes: with_nodes.clone() }).await).await
    }

    pub(crate) async fn tasks(&self, job: u64) -> Result<Vec<v1::Task>> {
        Ok(self.ask(async || self.jobs().tasks(v1::ListTasksRequest { job }).await).await?.tasks)
    }

    pub(crate) async fn list_nodes(&self) -> Result<Vec<v1::Node>> {
        Ok(self.ask(async || self.nodes().list(v1::ListNodesRequest {}).await).await?.nodes)
    }

    pub(crate) async fn list_projects(&self) -> Result<Vec<v1::Project>> {
        Ok(self.ask(async || self.projects().list(v1::ListProjectsRequest {}).await).await?.projects)
    }

    pub(crate) async fn set_project(&self, project: v1::Project) -> Result<v1::Project> {
        self.ask(async || self.projects().set(project.clone()).await).await
    }

    pub(crate) async fn node(&self, name: &str) -> Result<v1::Node> {
        self.ask(async || self.nodes().get(v1::GetNodeRequest { name: name.to_owned() }).await).await
    }

    pub(crate) async fn change_node(&self, name: &str, change: v1::change_node_request::Change) -> Result<v1::Node> {
        let request = || v1::ChangeNodeRequest { name: name.to_owned(), change: Some(change.clone()) };
        self.ask(async || self.nodes().change(request()).await).await
    }

    pub(crate) async fn cancel(&self, id: u64) -> Result<v1::Job> {
        self.ask(async || self.jobs().cancel(v1::CancelJobRequest { id }).await).await
    }

    /// Submits a job. `request_id` makes it safe to send the same request again when an answer is lost, so it is.
    pub(crate) async fn submit(&self, kind: &str, spec: String, request_id: String) -> Result<v1::Job> {
        self.submit_as(PrecedenceArgs::default(), kind, spec, request_id).await
    }

    /// The same for a job that does not stand among others as any job does.
    pub(crate) async fn submit_as(
        &self,
        precedence: PrecedenceArgs,
        kind: &str,
        spec: String,
        request_id: String,
    ) -> Result<v1::Job> {
        let PrecedenceArgs { priority, project } = precedence;
        let project = project.unwrap_or_default();
        let request = v1::SubmitRequest { kind: kind.to_owned(), spec, request_id, priority, project };
        for _ in 0..3 {
            match self.call(async || self.jobs().submit(request.clone()).await).await {
                Err(status) if status::is_passing(status.code()) => tokio::time::sleep(RETRY).await,
                answer => return answer.map_err(|status| status::error(&self.at, &status)),
            }
        }
        self.ask(async || self.jobs().submit(request.clone()).await).await
    }

    pub(crate) async fn create_token(&self, request: v1::CreateTokenRequest) -> Result<v1::CreatedToken> {
        self.ask(async || self.access().create_token(request.clone()).await).await
    }

    pub(crate) async fn list_tokens(&self) -> Result<Vec<v1::Token>> {
        Ok(self.ask(async || self.access().list_tokens(v1::ListTokensRequest {}).await).await?.tokens)
    }

    pub(crate) async fn revoke_token(&self, id: String) -> Result<v1::Token> {
        self.ask(async || self.access().revoke_token(v1::RevokeTokenRequest { id: id.clone() }).await).await
    }

    pub(crate) async fn revoke_node(&self, node: String) -> Result<v1::RevokedNode> {
        self.ask(async || self.access().revoke_node(v1::RevokeNodeRequest { node: node.clone() }).await).await
    }

    /// The newest entries of the coordinator's audit log.
    pub(crate) async fn audit(&self, last: u32) -> Result<Vec<v1::AuditEntry>> {
        let mut stream = self.ask(async || self.access().audit(v1::AuditRequest { last }).await).await?;
        let mut entries = Vec::new();
        while let Some(entry) = stream.message().await.map_err(|status| status::error(&self.at, &status))? {
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Shows the job to `seen` now and after each change, until it has ended. Outlives restarts of the coordinator:
    /// the job does, too.
    pub(crate) async fn follow(&self, id: u64, mut seen: impl FnMut(&v1::Job)) -> Result<v1::Job> {
        let mut away: Option<tokio::time::Instant> = None;
        loop {
            let status = match self.call(async || self.jobs().watch(v1::WatchJobRequest { id }).await).await {
                Err(status) => status,
                Ok(mut changes) => loop {
                    match changes.message().await {
                        Ok(Some(job)) => {
                            away = None;
                            seen(&job);
                            if has_ended(&job) {
                                return Ok(job);
                            }
                        }
                        Ok(None) => break Status::unavailable("the coordinator ended the stream"),
                        Err(status) => break status,
                    }
                },
            };
            let since = away.unwrap_or_else(tokio::time::Instant::now);
            if !status::is_passing(status.code()) || since.elapsed() > AWAY {
                return Err(status::error(&self.at, &status));
            }
            if away.replace(since).is_none() {
                tracing::warn!("lost the coordinator at {} ({}), trying again", self.at, status.message());
            }
            tokio::time::sleep(RETRY).await;
            self.look_again().await;
        }
    }

    async fn ask<T>(&self, call: impl AsyncFn() -> std::result::Result<Response<T>, Status>) -> Result<T> {
        self.call(call).await.map_err(|status| status::error(&self.at, &status))
    }

    /// Makes a call; again where another coordinator may answer it. Every call may be made twice: submits carry a key.
    async fn call<T>(&self, call: impl AsyncFn() -> std::result::Result<Response<T>, Status>) -> std::result::Result<T, Status> {
        let begun = tokio::time::Instant::now();
        let deadline = if self.has_choice() { SHORT_DEADLINE } else { DEADLINE };
        loop {
            let status = match tokio::time::timeout(deadline, call()).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("no answer in time"),
            };
            let elsewhere = status.metadata().contains_key(LEADER_HEADER) || is_between_leaders(&status);
            let again = elsewhere || (self.has_choice() && status::is_passing(status.code()));
            if !again || begun.elapsed() > TAKEOVER {
                return Err(status);
            }
            tokio::time::sleep(RETRY).await;
            self.look_again().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_by_number_or_last() {
        assert_eq!("last".parse(), Ok(JobRef::Last));
        assert_eq!("12".parse(), Ok(JobRef::Id(12)));
        for text in ["0", "-1", "12.3", "latest", ""] {
            assert!(text.parse::<JobRef>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_a_job_that_is_done_is_a_success() {
        let job = |state: JobState| v1::Job { id: 5, state: state.into(), ..Default::default() };
        assert_eq!(verdict(&job(JobState::Done)), Ok(()));
        assert_eq!(verdict(&job(JobState::Cancelled)).unwrap_err().exit.code(), 1);
        let failure = v1::Failure { message: "disk full".into(), hint: Some("make room".into()), ..Default::default() };
        let error = verdict(&v1::Job { failure: Some(failure), ..job(JobState::Failed) }).unwrap_err();
        assert_eq!(
            (error.exit.code(), error.message.as_str(), error.hint.as_deref()),
            (1, "job 5: disk full", Some("make room"))
        );
    }
}
