//! The stream to the coordinator as the session sees it: opened, heard from, lost. Makes no decision about when.

use crate::Connector;
use braid_proto::{
    LEADER_HEADER,
    v1::{FromWorker, ToWorker, workers_client::WorkersClient},
};
use futures_util::FutureExt;
use std::{error::Error, future::Future, pin::Pin, sync::Arc};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};

/// Messages on their way into the stream.
const OUTBOX: usize = 64;
/// Messages taken in one go, so that a busy coordinator does not keep the session from its own.
const BATCH: usize = 128;

/// A stream, or none.
pub(super) enum Link {
    /// There is none.
    Down,
    /// It is being made.
    Opening(Pin<Box<dyn Future<Output = Result<Box<Open>, Loss>> + Send>>),
    /// It is there.
    Open(Box<Open>),
}

/// A stream that is there.
pub(super) struct Open {
    messages: Streaming<ToWorker>,
    /// Kept: a channel that nobody holds may close its connection.
    _client: WorkersClient<Channel>,
}

/// Why there is no stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Another try may do.
    Away(String),
    /// No other try will do.
    Refused {
        /// The coordinator's words.
        message: String,
        /// What a person can do.
        hint: &'static str,
    },
}

impl Link {
    /// Begins to open a stream; the sender feeds it, beginning with `first`.
    pub(super) fn open<C: Connector>(connector: Arc<C>, first: FromWorker) -> (Self, mpsc::Sender<FromWorker>) {
        let (sender, receiver) = mpsc::channel(OUTBOX);
        // It is new, so it has room; were it not to arrive, the coordinator would refuse the session.
        let _ = sender.try_send(first);
        (Self::Opening(Box::pin(open(connector, ReceiverStream::new(receiver)))), sender)
    }

    /// What the coordinator says next, at least one message. May be dropped and called again without loss.
    pub(super) async fn next(&mut self) -> Result<Vec<ToWorker>, Loss> {
        loop {
            match self {
                Self::Down => std::future::pending().await,
                Self::Opening(opening) => *self = Self::Open(opening.await?),
                Self::Open(open) => {
                    let mut messages = vec![heard(open.messages.message().await)?];
                    while messages.len() < BATCH
                        && let Some(next) = open.messages.message().now_or_never()
                    {
                        match heard(next) {
                            Ok(message) => messages.push(message),
                            // An ended stream says so again.
                            Err(_) => break,
                        }
                    }
                    return Ok(messages);
                }
            }
        }
    }
}

fn heard(message: Result<Option<ToWorker>, Status>) -> Result<ToWorker, Loss> {
    message?.ok_or_else(|| Loss::Away("it ended the session".to_owned()))
}

async fn open<C: Connector>(connector: Arc<C>, messages: ReceiverStream<FromWorker>) -> Result<Box<Open>, Loss> {
    let channel = connector.connect().await.map_err(|error| Loss::Away(chain(&*error)))?;
    let mut client = WorkersClient::new(channel);
    let messages = client.session(messages).await?.into_inner();
    Ok(Box::new(Open { messages, _client: client }))
}

impl From<Status> for Loss {
    fn from(status: Status) -> Self {
        // The lead has passed on since the connector looked for it; it will look again.
        if status.metadata().contains_key(LEADER_HEADER) {
            return Self::Away(status.message().to_owned());
        }
        let hint = match status.code() {
            Code::Unauthenticated => "check the --token of the worker against that of the coordinator",
            Code::PermissionDenied => "an admin lets it in with a new token: `braid token create`",
            Code::FailedPrecondition => "bring coordinator and worker to the same version of braid",
            Code::Unimplemented => "the address answers, but not as a braid coordinator: check --join",
            _ => {
                let detail = if status.message().is_empty() { status.code().description() } else { status.message() };
                let cause = status.source().map(|source| format!(": {}", chain(source))).unwrap_or_default();
                return Self::Away(format!("{detail}{cause}"));
            }
        };
        Self::Refused { message: status.message().to_owned(), hint }
    }
}

/// An error with its causes, each once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    // rustls ends a message with the address of a page about it, which is for programmers.
    let page = text.find(": https://").filter(|at| text[*at..].contains("/rustls/"));
    text.truncate(page.unwrap_or(text.len()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_said_once_and_without_pages_for_programmers() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Cause(&'static str, #[source] Option<Box<Self>>);
        let inner = Cause("the peer hung up: https://example.org/rustls/page#unexpected-eof", None);
        let outer = Cause("h2 protocol error", Some(Box::new(Cause("h2 protocol error", Some(Box::new(inner))))));
        assert_eq!(chain(&outer), "h2 protocol error: the peer hung up");
    }
}
