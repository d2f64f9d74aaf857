//! How a member of a gang reaches the others.

use crate::{
    Failure, FailureKind, Gang,
    exchange::{Exchange, ExchangeError},
};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Forms the exchange of a gang. Each worker has one.
pub trait Join: Send + Sync {
    /// Meets the other members. Blocks, for a bounded time, and gives up when `cancel` is set.
    ///
    /// # Errors
    /// [`ExchangeError`] when the others do not come, or are not who they should be.
    fn join(&self, gang: &Gang, cancel: &CancellationToken) -> Result<Arc<dyn Exchange>, ExchangeError>;
}

/// A task's place in a gang that runs, and the way to the others.
#[derive(Clone)]
pub struct Membership {
    /// Who is in it.
    pub gang: Gang,
    /// Reaches them.
    pub join: Arc<dyn Join>,
}

impl From<ExchangeError> for Failure {
    /// A member that is lost or was told to stop says nothing against this task; whatever else is wrong may be mended by another
    /// try, of which there are few.
    fn from(error: ExchangeError) -> Self {
        let kind = match error {
            ExchangeError::Lost { .. } | ExchangeError::Aborted { .. } => FailureKind::Cancelled,
            _ => FailureKind::Retry,
        };
        Self { kind, message: error.to_string(), hint: None, exit: None }
    }
}
