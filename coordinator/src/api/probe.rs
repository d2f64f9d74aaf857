//! Bytes that mean nothing, for workers that measure the network. Few at a time and for a moment only: it must cost the coordinator
//! nothing that anybody else would notice.

use braid_proto::v1::{ProbeChunk, ProbeRequest};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::Status;

/// Workers that measure at once.
const AT_ONCE: usize = 4;
/// Bytes for each at most.
const MOST: u64 = 64 << 20;
/// Bytes of a message.
const CHUNK: usize = 256 << 10;
/// A worker that has not taken them by then has enough.
const WITHIN: Duration = Duration::from_secs(1);

/// Who measures now.
#[derive(Debug, Clone)]
pub(super) struct Probes(Arc<Semaphore>);

impl Default for Probes {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Probes {
    /// As many bytes as are asked for, within bounds.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when enough workers measure already.
    pub(super) fn answer(
        &self,
        request: &ProbeRequest,
        tasks: &TaskTracker,
    ) -> Result<ReceiverStream<Result<ProbeChunk, Status>>, Status> {
        let permit = Arc::clone(&self.0).try_acquire_owned();
        let permit = permit.map_err(|_| Status::resource_exhausted(format!("{AT_ONCE} workers measure the network already")))?;
        let (send, receive) = mpsc::channel(2);
        let mut left = request.bytes.min(MOST);
        let deadline = Instant::now() + WITHIN;
        tasks.spawn(async move {
            let _permit = permit;
            while left > 0 {
                let bytes = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
                left -= bytes as u64;
                let chunk = ProbeChunk { bytes: vec![0; bytes] };
                if !matches!(timeout_at(deadline, send.send(Ok(chunk))).await, Ok(Ok(()))) {
                    return;
                }
            }
        });
        Ok(ReceiverStream::new(receive))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_stream::StreamExt as _;

    #[tokio::test]
    async fn bytes_come_as_asked_for_within_bounds_and_to_few_at_once() {
        let (probes, tasks) = (Probes::default(), TaskTracker::new());
        let ask = |bytes| probes.answer(&ProbeRequest { bytes }, &tasks);
        async fn sum(chunks: ReceiverStream<Result<ProbeChunk, Status>>) -> usize {
            chunks.map(|chunk| chunk.unwrap().bytes.len()).fold(0, |sum, bytes| sum + bytes).await
        }
        assert_eq!(sum(ask(0).unwrap()).await, 0);
        assert_eq!(sum(ask(CHUNK as u64 + 1).unwrap()).await, CHUNK + 1);
        let slow: Vec<_> = (0..AT_ONCE).map(|_| ask(u64::MAX).unwrap()).collect();
        assert_eq!(ask(1).unwrap_err().code(), tonic::Code::ResourceExhausted);
        drop(slow);
        tasks.close();
        tasks.wait().await;
        assert_eq!(sum(ask(1).unwrap()).await, 1);
        // One that takes nothing does not keep its place.
        let slow = ask(u64::MAX).unwrap();
        tasks.wait().await;
        drop(slow);
    }
}
