//! How fast bytes come from the coordinator.

use super::rate;
use braid_proto::v1::{ProbeRequest, workers_client::WorkersClient};
use std::time::{Duration, Instant};
use tonic::{Status, transport::Channel};

/// What a connection for this should let be under way, as the windows of HTTP/2: with little ones the distance is measured, not the
/// network.
pub const WINDOW: u32 = 16 << 20;
/// Bytes that are asked for at most.
const MOST: u64 = 64 << 20;
/// How long they are listened to.
const FOR: Duration = Duration::from_millis(250);

/// Bytes per second over this channel; `None` when too few came to tell.
///
/// # Errors
/// What the coordinator says: RESOURCE_EXHAUSTED while many measure at once.
pub async fn from_coordinator(channel: Channel) -> Result<Option<u64>, Status> {
    let mut chunks = WorkersClient::new(channel).probe(ProbeRequest { bytes: MOST }).await?.into_inner();
    // The time to the first says how far it is.
    chunks.message().await?;
    let start = Instant::now();
    let (mut bytes, mut last) = (0u64, start);
    while last.duration_since(start) < FOR
        && let Some(chunk) = chunks.message().await?
    {
        bytes = bytes.saturating_add(chunk.bytes.len() as u64);
        last = Instant::now();
    }
    Ok(rate(bytes, last.duration_since(start)))
}
