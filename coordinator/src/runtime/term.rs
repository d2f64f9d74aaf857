//! One term of leadership: the engine with its driver, the writer, and the services that speak to them.
//!
//! A coordinator that has its store to itself has one term; one of several has a term for each time that it leads.

use super::{Handle, Shared, Stopped, clock::Clock, driver::Driver, recording::Recorder};
use crate::{
    api,
    engine::{Engine, Records, recover},
    error::CoordinatorError,
    leadership::Tenure,
    model::keys,
    replay::{FORMAT, Header},
    store::{Fence, Guard, Measured, Store, Writer, WriterHandle},
};
use braid_proto::VERSION;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// How long a shutdown waits for the last writes.
pub(super) const FLUSH: Duration = Duration::from_secs(5);

/// A term under way.
pub(super) struct Term {
    pub(super) handle: Handle,
    pub(super) routes: Routes,
    cancel: CancellationToken,
    writer: WriterHandle,
    writing: CancellationToken,
}

impl Term {
    /// Claims the store, rebuilds the state and starts to work. `seat` is what each transaction demands of the leader record.
    ///
    /// # Errors
    /// [`CoordinatorError`] when the store cannot be claimed, or holds what is not Braid's.
    pub(super) async fn start(shared: &Shared, seat: Option<Guard>, tenure: Tenure) -> Result<Self, CoordinatorError> {
        let Shared { store, workloads, lease, logs, rights, tasks, metrics, recording, .. } = shared;
        let fence = Fence::claim_under(store.as_ref(), seat).await?;
        let epoch = fence.epoch();
        let clock = Clock::start();
        let records = read(store.as_ref()).await?;
        if let Some(roster) = &rights.roster {
            roster.reread().await?;
        }
        let now = clock.now();
        let state = recover(&records, epoch.0, *lease, now)?;
        let unfinished = state.jobs().filter(|job| !job.is_over()).count();
        tracing::info!(store = %shared.place, %epoch, unfinished, "coordinator starts");

        let recorder = recording.as_ref().map_or_else(Recorder::default, |recording| {
            let (version, placer) = (VERSION.to_owned(), "lp".to_owned());
            recording.term(Header { format: FORMAT, version, epoch: epoch.0, lease: *lease, placer, now }, records)
        });
        let (cancel, writing) = (CancellationToken::new(), CancellationToken::new());
        let measured = Measured::new(Arc::clone(store), Arc::clone(metrics));
        let writer = Writer::spawn(Arc::new(measured), fence, writing.clone());
        let engine = Engine::new(state, workloads.clone(), *lease, super::secret()?);
        let (driver, handle) = Driver::new(engine, writer.clone(), clock, tenure, Arc::clone(metrics), recorder);
        tasks.spawn(driver.run(cancel.clone(), writing.clone()));
        shared.engine.send_replace(Some(handle.clone()));
        let routes = api::routes(&handle, logs, rights.clone(), *lease, tasks, &cancel);
        Ok(Self { handle, routes, cancel, writer, writing })
    }

    /// Resolves only when it had to end by itself, with the reason.
    pub(super) async fn stopped(&self) -> Stopped {
        self.handle.stopped().await
    }

    /// Writes what is left and ends.
    pub(super) async fn finish(self) {
        self.cancel.cancel();
        let flushed = async {
            self.handle.gone_for_good().await;
            self.writing.cancel();
            // Why it ended was logged by the driver, if it was not told to.
            let _ = self.writer.ended().await;
        };
        if tokio::time::timeout(FLUSH, flushed).await.is_err() {
            tracing::warn!("the last writes did not reach the store in {} s", FLUSH.as_secs());
        }
        self.writing.cancel();
    }

    /// Ends it at once: it may no longer write, and what it had not written others will not know. A transaction that is under
    /// way is not waited for: the store may never answer, and whoever leads next shuts it out.
    pub(super) async fn abandon(self) {
        self.writing.cancel();
        self.cancel.cancel();
        self.handle.gone_for_good().await;
    }
}

async fn read(store: &dyn Store) -> Result<Records, CoordinatorError> {
    let mut lists = Vec::new();
    for prefix in [keys::JOBS, keys::SPECS, keys::PLANS, keys::TASKS, keys::NODES, keys::PROJECTS] {
        let snapshot = store.list(prefix).await?;
        lists.push(snapshot.records.into_iter().map(|(key, at)| (key.as_str().to_owned(), at.value.to_vec())).collect());
    }
    let mut lists = lists.into_iter();
    let mut next = || lists.next().unwrap_or_default();
    Ok(Records { jobs: next(), specs: next(), plans: next(), tasks: next(), nodes: next(), projects: next() })
}
