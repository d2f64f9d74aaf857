//! The first look at a store that may not be there yet: etcd that starts beside the coordinator, or elects a leader.
//!
//! It is asked again for a while. Later outages are the matter of whoever uses the store.

use super::{Options, Protection};
use crate::{
    CoordinatorError,
    security::{Roster, SecurityError},
    store::{self, Backoff, Store, StoreError},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long: an election takes seconds, a start of etcd on a busy machine some more; and whoever gave a wrong address is waiting too.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store that this version can read, with what of it is needed before anyone leads.
pub(super) struct Opened {
    pub store: Arc<dyn Store>,
    /// Of a fleet whose callers are checked.
    pub roster: Option<Arc<Roster>>,
    /// This start has made the CA.
    pub is_new_fleet: bool,
}

/// Opens the store, if need be in several tries.
///
/// # Errors
/// As [`store::open`] and [`Roster::open`]: at once where no later try can go better.
pub(super) async fn open(options: &Options) -> Result<Opened, CoordinatorError> {
    let (until, mut backoff) = (Instant::now() + PATIENCE, Backoff::default());
    loop {
        match once(options).await {
            Err(error) if Instant::now() < until => match passing(&error) {
                Some(trouble) => tokio::time::sleep(backoff.failed("the coordinator", trouble)).await,
                None => return Err(error),
            },
            opened => return opened,
        }
    }
}

async fn once(options: &Options) -> Result<Opened, CoordinatorError> {
    let store = store::open(&options.store).await?;
    let (roster, is_new_fleet) = match options.protection {
        Protection::Inside | Protection::Open => (None, false),
        Protection::Checked { node_life } => {
            let (roster, is_new) = Roster::open(Arc::clone(&store), node_life).await?;
            (Some(Arc::new(roster)), is_new)
        }
    };
    Ok(Opened { store, roster, is_new_fleet })
}

/// The trouble with the store, where it may pass.
fn passing(error: &CoordinatorError) -> Option<&StoreError> {
    match error {
        CoordinatorError::Store(error) | CoordinatorError::Security(SecurityError::Store(error)) => {
            (error.is_retryable() || error.is_outcome_unknown()).then_some(error)
        }
        _ => None,
    }
}
