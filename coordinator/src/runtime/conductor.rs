//! Begins and ends terms as the keeper orders, and says who answers meanwhile.
//!
//! ```text
//!   Lead ──▶ claim, read, rebuild ──▶ answers ── Follow, or the term ends by itself ──▶ let go ──▶ TermEnded
//!                 │ the store is away: again                                              ▲
//!                 └──────────────────────────── Follow ───────────────────────────────────┘
//! ```

use super::{Shared, Stopped, term::Term};
use crate::{
    error::CoordinatorError,
    leadership::{Keeper, Order, Seat, Tenure},
    store::{Guard, Revision, StoreError},
};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// The pause before a term is begun anew for which the store was away.
const AGAIN: Duration = Duration::from_millis(200);

/// Who answers what is asked of this process.
#[derive(Clone)]
pub(crate) enum Standing {
    /// This coordinator: these services do, as long as the tenure holds.
    Leads(Routes, Tenure),
    /// Another, at this address.
    Follows(String),
    /// Nobody yet, or nobody that is known.
    Nobody,
}

/// What becomes of a term.
enum End {
    /// Another order has come.
    Ordered,
    /// It ended by itself.
    Stopped(Stopped),
    /// It could not begin, and no other try will do.
    Failed(CoordinatorError),
    /// The process is to end.
    Shutdown,
}

/// Carries out orders until it is cancelled or the store cannot be used.
pub(super) async fn conduct(
    shared: Shared,
    keeper: &Keeper,
    standing: &watch::Sender<Standing>,
    cancel: &CancellationToken,
) -> Option<Stopped> {
    let mut orders = keeper.orders();
    loop {
        let order = orders.borrow_and_update().clone();
        match order {
            Order::Broken(reason) => return Some(Stopped(reason.into())),
            Order::Wait => {}
            Order::Follow { after, leader } => {
                standing.send_replace(leader.map_or(Standing::Nobody, Standing::Follows));
                keeper.term_ended(after).await;
            }
            Order::Lead { term, seat, tenure } => {
                standing.send_replace(Standing::Nobody);
                let end = lead(&shared, seat, tenure, standing, &mut orders, cancel).await;
                standing.send_replace(Standing::Nobody);
                keeper.term_ended(term).await;
                match end {
                    End::Failed(error) => {
                        keeper.resign().await;
                        return Some(Stopped(error.to_string().into()));
                    }
                    End::Stopped(Stopped(reason)) => tracing::warn!(%reason, "this coordinator has ended its term"),
                    // It has been seen, and not yet carried out.
                    End::Ordered => continue,
                    End::Shutdown => return None,
                }
            }
        }
        tokio::select! {
            changed = orders.changed() => if changed.is_err() {
                return None;
            },
            () = cancel.cancelled() => return None,
        }
    }
}

/// One term. It has let go of everything when this returns.
async fn lead(
    shared: &Shared,
    seat: Revision,
    tenure: Tenure,
    standing: &watch::Sender<Standing>,
    orders: &mut watch::Receiver<Order>,
    cancel: &CancellationToken,
) -> End {
    let term = loop {
        let guard = Guard::at(Seat::key(), seat);
        let started = tokio::select! {
            started = Term::start(shared, Some(guard), tenure.clone()) => started,
            _ = orders.changed() => return End::Ordered,
            () = cancel.cancelled() => return End::Shutdown,
        };
        match started {
            Ok(term) => break term,
            Err(CoordinatorError::Store(StoreError::Deposed)) => {
                return End::Stopped(Stopped(StoreError::Deposed.to_string().into()));
            }
            Err(CoordinatorError::Store(error)) if error.is_retryable() || error.is_outcome_unknown() => {
                tracing::warn!("the coordinator that leads waits for the store: {}", error.line());
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => return End::Failed(error),
        }
    };
    standing.send_replace(Standing::Leads(term.routes.clone(), tenure.clone()));
    let end = tokio::select! {
        stopped = term.stopped() => End::Stopped(stopped),
        _ = orders.changed() => End::Ordered,
        () = cancel.cancelled() => End::Shutdown,
    };
    // From here on nobody is sent to the term any more.
    standing.send_replace(Standing::Nobody);
    shared.engine.send_replace(None);
    if cancel.is_cancelled() && tenure.holds() {
        term.finish().await
    } else {
        term.abandon().await
    }
    end
}
