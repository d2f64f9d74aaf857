//! Real processes on loopback, each in a folder of its own. A harness value ends its own children and removes its own
//! folder when it is dropped; it never looks for processes by name.

mod checkpoint;
#[cfg(feature = "otel")]
mod collector;
mod coordinator;
mod disk;
#[cfg(feature = "etcd")]
mod etcd;
mod family;
mod fleet;
mod network;
mod ports;
mod process;
mod run;
mod scratch;
mod worker;

pub(crate) use checkpoint::{Tensors, goldens};
#[cfg(feature = "otel")]
pub(crate) use collector::{Collector, SentSpan};
pub(crate) use coordinator::{Coordinator, CoordinatorSetup};
pub(crate) use disk::SmallDisk;
#[cfg(feature = "etcd")]
pub(crate) use etcd::Etcd;
pub(crate) use family::{Family, SMALL, Size};
pub(crate) use fleet::Fleet;
pub(crate) use network::Host;
#[cfg(feature = "etcd")]
pub(crate) use network::Network;
pub(crate) use process::Process;
#[cfg(feature = "etcd")]
pub(crate) use run::command_on;
pub(crate) use run::{Run, braid, command, filters, finish, timed};
pub(crate) use scratch::{Scratch, names};
pub(crate) use worker::{Worker, WorkerSetup};

use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine; a test that needs it is about to fail.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until the answer is there.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "still waiting for {what} after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
