//! How a member of a gang reaches the others.

use crate::{
    Failure, FailureKind, Gang,
    exchange::{Exchange, ExchangeError, Operation},
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
    /// A member that is lost or was told to stop says nothing against this task, and neither does one that did not start in time:
    /// the gang is released, and waits again. Whatever else is wrong may be mended by another try, of which there are few.
    fn from(error: ExchangeError) -> Self {
        let kind = match error {
            ExchangeError::Lost { .. } | ExchangeError::Aborted { .. } => FailureKind::Cancelled,
            ExchangeError::Deadline { operation: Operation::Connect, .. } => FailureKind::Cancelled,
            _ => FailureKind::Retry,
        };
        Self { kind, message: error.to_string(), hint: None, exit: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_gang_that_does_not_start_in_time_is_released_and_one_that_hangs_has_failed() {
        for (operation, kind) in [(Operation::Connect, FailureKind::Cancelled), (Operation::AllGather, FailureKind::Retry)] {
            let error = ExchangeError::Deadline { operation, limit: Duration::from_secs(30), missing: vec![2] };
            assert_eq!(Failure::from(error).kind, kind);
        }
    }
}
