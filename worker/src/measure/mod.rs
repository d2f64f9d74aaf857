//! How fast this node is: its memory, the disk of its data folder, and the network from the coordinator. Short looks, taken before a
//! worker has any task and kept in its data folder, as first guesses for placement. What tasks achieve counts more, once some
//! have finished.
//!
//! Each look has a limit of time; what is not measured within it stays unknown.

mod disk;
mod kept;
mod memory;
mod network;

pub use network::{WINDOW, from_coordinator};

use serde::{Deserialize, Serialize};
use std::{
    num::NonZeroUsize,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Bytes per second of this node, as far as they are known, and when they were measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Read and written by copying in memory on all threads at once.
    pub memory: Option<u64>,
    /// Read from the disk of the data folder.
    pub disk_read: Option<u64>,
    /// Written there, and brought to the disk.
    pub disk_write: Option<u64>,
    /// From the coordinator to this node.
    pub network: Option<u64>,
    /// Milliseconds since 1970.
    pub unix_millis: u64,
}

impl Measured {
    /// Looks at memory and disk on a thread of its own, at most for `limit`. `memory` bounds what may be held meanwhile.
    pub async fn here(data_dir: PathBuf, threads: NonZeroUsize, memory: u64, limit: Duration) -> Self {
        let (send, receive) = tokio::sync::oneshot::channel();
        let (send_disk, receive_disk) = tokio::sync::oneshot::channel();
        let look = move || {
            // Nobody waits any more when this takes too long.
            let _ = send.send(memory::copying(threads, memory));
            let _ = send_disk.send(disk::of(&data_dir));
        };
        let mut measured = Self { unix_millis: now(), ..Self::default() };
        if std::thread::Builder::new().name("measure".into()).spawn(look).is_err() {
            return measured;
        }
        let both = async {
            measured.memory = receive.await.ok();
            if let Ok(disk) = receive_disk.await {
                (measured.disk_read, measured.disk_write) = (disk.read, disk.write);
            }
        };
        // What was seen until then counts.
        let _ = tokio::time::timeout(limit, both).await;
        measured
    }

    /// Whether there is anything that is not known.
    pub fn is_partial(&self) -> bool {
        [self.memory, self.disk_read, self.disk_write, self.network].contains(&None)
    }

    /// With what is missing as an earlier look saw it.
    #[must_use]
    pub fn or(self, earlier: Self) -> Self {
        Self {
            memory: self.memory.or(earlier.memory),
            disk_read: self.disk_read.or(earlier.disk_read),
            disk_write: self.disk_write.or(earlier.disk_write),
            network: self.network.or(earlier.network),
            unix_millis: self.unix_millis.max(earlier.unix_millis),
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Bytes per second; `None` when it was too short, or nothing.
fn rate(bytes: u64, took: Duration) -> Option<u64> {
    let rate = bytes as f64 / took.as_secs_f64();
    (bytes > 0 && rate.is_finite()).then_some(rate as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_machine_is_measured_and_the_folder_is_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (threads, limit) = (NonZeroUsize::new(2).unwrap(), Duration::from_secs(60));
        let measured = Measured::here(folder.path().into(), threads, 64 << 20, limit).await;
        for rate in [measured.memory, measured.disk_read, measured.disk_write] {
            assert!(rate.is_some_and(|rate| rate > 0), "{measured:?}");
        }
        assert!(measured.network.is_none() && measured.is_partial() && measured.unix_millis > 0, "{measured:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_look_that_takes_too_long_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let measured = Measured::here(folder.path().into(), NonZeroUsize::MIN, 64 << 20, Duration::ZERO).await;
        assert_eq!((measured.disk_read, measured.disk_write), (None, None));
    }

    #[test]
    fn a_later_look_fills_in_what_an_earlier_one_did_not_see() {
        let earlier = Measured { memory: Some(1), network: Some(2), unix_millis: 5, ..Measured::default() };
        let later = Measured { memory: Some(3), disk_read: Some(4), unix_millis: 6, ..Measured::default() };
        let both = later.or(earlier);
        assert_eq!((both.memory, both.disk_read, both.network, both.unix_millis), (Some(3), Some(4), Some(2), 6));
        assert!(both.is_partial());
        assert_eq!(
            (rate(10, Duration::from_secs(2)), rate(1, Duration::ZERO), rate(0, Duration::from_secs(1))),
            (Some(5), None, None)
        );
    }
}
