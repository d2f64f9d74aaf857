//! How everybody else talks to the driver.

use crate::{
    engine::{Event, Message, NodeWish, Refusal, ReplyId, State},
    model::{Precedence, Project, SessionId},
};
use braid_telemetry::trace::TraceContext;
use braid_workload::{JobId, NodeId};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Commands that may wait for the driver; beyond that, whoever sends one waits.
pub(super) const COMMANDS: usize = 1024;

/// Why the driver is no longer there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the coordinator stopped: {0}")]
pub struct Stopped(pub Arc<str>);

/// Something that the driver is to do.
pub(super) enum Command {
    /// Step the engine.
    Event(Box<Event>),
    /// Step the engine with an event that asks, and pass on the answer.
    Ask(Box<dyn FnOnce(ReplyId) -> Event + Send>, oneshot::Sender<Result<JobId, Refusal>>),
    /// Step the engine with what an operator says, and pass on whether it is done.
    Tell(Box<dyn FnOnce(ReplyId) -> Event + Send>, oneshot::Sender<Result<(), Refusal>>),
    /// Number a new stream to a worker.
    Open(mpsc::Sender<Message>, oneshot::Sender<SessionId>),
    /// Look at the state; what it returns is run when all that was seen is durable.
    Read(Box<dyn FnOnce(&State) -> Release + Send>),
    /// Look at the state as it is, durable or not.
    Peek(Box<dyn FnOnce(&State) + Send>),
}

/// Hands an answer to whoever waits for it.
pub(super) type Release = Box<dyn FnOnce() + Send>;

/// A way to the driver; cheap to clone.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) changes: watch::Receiver<u64>,
    pub(super) stopped: watch::Receiver<Option<Stopped>>,
}

impl Handle {
    /// Submits a job; returns once it is durable.
    pub(crate) async fn submit(
        &self,
        kind: String,
        spec: Value,
        request_id: String,
        precedence: Precedence,
        trace: Option<TraceContext>,
    ) -> Result<Result<JobId, Refusal>, Stopped> {
        self.ask(move |reply| Event::Submit { reply, kind, spec, request_id, precedence, trace }).await
    }

    /// Ends a job; returns once the wish is durable.
    pub(crate) async fn cancel(&self, job: JobId) -> Result<Result<JobId, Refusal>, Stopped> {
        self.ask(move |reply| Event::Cancel { reply, job }).await
    }

    /// Does what an operator wants of a node; returns once it is durable.
    pub(crate) async fn change_node(&self, node: NodeId, wish: NodeWish) -> Result<Result<(), Refusal>, Stopped> {
        self.tell(move |reply| Event::ChangeNode { reply, node, wish }).await
    }

    /// Takes in what an operator says about a project; returns once it is durable.
    pub(crate) async fn set_project(&self, name: String, project: Project) -> Result<Result<(), Refusal>, Stopped> {
        self.tell(move |reply| Event::SetProject { reply, name, project }).await
    }

    async fn tell(&self, make: impl FnOnce(ReplyId) -> Event + Send + 'static) -> Result<Result<(), Refusal>, Stopped> {
        let (answer, wait) = oneshot::channel();
        self.send(Command::Tell(Box::new(make), answer)).await?;
        wait.await.map_err(|_| self.gone())
    }

    async fn ask(&self, make: impl FnOnce(ReplyId) -> Event + Send + 'static) -> Result<Result<JobId, Refusal>, Stopped> {
        let (answer, wait) = oneshot::channel();
        self.send(Command::Ask(Box::new(make), answer)).await?;
        wait.await.map_err(|_| self.gone())
    }

    /// Looks at the state; returns once all that was seen is durable.
    pub(crate) async fn read<T: Send + 'static>(&self, look: impl FnOnce(&State) -> T + Send + 'static) -> Result<T, Stopped> {
        let (answer, wait) = oneshot::channel();
        let look = move |state: &State| -> Release {
            let seen = look(state);
            Box::new(move || drop(answer.send(seen)))
        };
        self.send(Command::Read(Box::new(look))).await?;
        wait.await.map_err(|_| self.gone())
    }

    /// Looks at the state as it is now. What is seen may not be durable yet: for figures that promise nothing.
    pub(crate) async fn peek<T: Send + 'static>(&self, look: impl FnOnce(&State) -> T + Send + 'static) -> Result<T, Stopped> {
        let (answer, wait) = oneshot::channel();
        self.send(Command::Peek(Box::new(move |state| drop(answer.send(look(state)))))).await?;
        wait.await.map_err(|_| self.gone())
    }

    /// Numbers a stream to a worker. The driver drops `outgoing` to end it.
    pub(crate) async fn open(&self, outgoing: mpsc::Sender<Message>) -> Result<SessionId, Stopped> {
        let (answer, wait) = oneshot::channel();
        self.send(Command::Open(outgoing, answer)).await?;
        wait.await.map_err(|_| self.gone())
    }

    /// Tells of something that happened.
    pub(crate) async fn event(&self, event: Event) -> Result<(), Stopped> {
        self.send(Command::Event(Box::new(event))).await
    }

    /// Changes its value after each step that changed something; many steps may be one change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// Resolves when the driver has stopped by itself.
    pub(crate) async fn stopped(&self) -> Stopped {
        let mut stopped = self.stopped.clone();
        match stopped.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_else(|| self.gone()),
            Err(_) => self.gone(),
        }
    }

    /// Resolves when the driver is gone, for whatever reason.
    pub(crate) async fn gone_for_good(&self) {
        self.commands.closed().await;
    }

    async fn send(&self, command: Command) -> Result<(), Stopped> {
        self.commands.send(command).await.map_err(|_| self.gone())
    }

    fn gone(&self) -> Stopped {
        self.stopped.borrow().clone().unwrap_or_else(|| Stopped("it is shutting down".into()))
    }
}
