//! When a worker measures how fast its node is: at its first start, or whenever it is told to. Always before it has a task.

use super::membership::Membership;
use crate::{address::Addresses, leader, wire};
use braid_worker::measure::{Measured, WINDOW, from_coordinator};
use std::{num::NonZeroUsize, path::Path, time::Duration};
use tonic::Status;

/// How long memory and disk may take.
const HERE: Duration = Duration::from_millis(600);
/// How long the network may, the way to the coordinator included.
const THERE: Duration = Duration::from_millis(600);

/// When to measure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum When {
    /// What is not known yet, and keep it in the data folder
    #[default]
    Once,
    /// All of it
    Again,
    /// Nothing; what was kept counts
    Never,
}

impl When {
    /// What is known of this node after that. `limits`: its threads, and the bytes that tasks may hold.
    pub(super) async fn figures(
        self,
        data_dir: &Path,
        limits: (NonZeroUsize, u64),
        coordinators: &Addresses,
        membership: &Membership,
    ) -> Option<Measured> {
        let kept = Measured::load(data_dir);
        let is_known = kept.is_some_and(|kept| !kept.is_partial());
        if self == Self::Never || (self == Self::Once && is_known) {
            return kept;
        }
        let (threads, memory) = limits;
        let is_done = |kept: &Measured| self == Self::Once && kept.memory.is_some() && kept.disk_read.is_some();
        let mut measured = match kept.filter(is_done) {
            Some(kept) => kept,
            None => Measured::here(data_dir.to_owned(), threads, memory, HERE).await,
        };
        if measured.network.is_none() {
            match tokio::time::timeout(THERE, network(coordinators, membership)).await {
                Ok(Ok(rate)) => measured.network = rate,
                Ok(Err(status)) => tracing::debug!("the network is not measured: {}", status.message()),
                Err(_) => tracing::debug!("the network is not measured: it took too long"),
            }
        }
        let measured = kept.map_or(measured, |kept| measured.or(kept));
        if let Err(error) = measured.save(data_dir) {
            tracing::warn!("what was measured is not kept: {error}");
        }
        Some(measured)
    }
}

async fn network(coordinators: &Addresses, membership: &Membership) -> Result<Option<u64>, Status> {
    let trust = membership.trust();
    let dial = |address| {
        let trust = trust.clone();
        async move { wire::dial_wide(address, trust, WINDOW).await }
    };
    let (_, channel) = leader::find(coordinators, dial).await?;
    from_coordinator(channel).await
}
