//! Load is not death, and death is noticed in time.

use crate::harness::{Coordinator, CoordinatorSetup, Worker, WorkerSetup, eventually};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

fn fleet(lease: &str) -> Coordinator {
    let (store, lease) = (Some("memory:".to_owned()), Some(lease.to_owned()));
    Coordinator::start(CoordinatorSetup { store, lease, ..CoordinatorSetup::default() })
}

/// Keeps more threads busy than there are cores, until the value is dropped.
struct Load(Arc<AtomicBool>);

impl Load {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..3 * thread::available_parallelism().map_or(2, usize::from) {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::black_box((0..10_000u64).fold(0, u64::wrapping_add));
                }
            });
        }
        Self(stop)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn is_not_lost_under_load(lease: &str, how_long: Duration) {
    let coordinator = fleet(lease);
    let _worker = Worker::start(coordinator.address(), WorkerSetup { threads: Some(2), ..WorkerSetup::default() });
    coordinator.wait_for_nodes(1);
    let _load = Load::start();
    let begun = Instant::now();
    while begun.elapsed() < how_long {
        // The worker has tasks to run, too.
        coordinator.braid(["bench", "--tasks", "2000"]).ok();
    }
    let log = coordinator.log();
    assert!(!log.contains("silent for longer"), "lost under load:\n{log}");
}

#[test]
fn a_worker_under_full_load_is_not_lost() {
    is_not_lost_under_load("1s", Duration::from_secs(8));
}

#[test]
#[ignore = "takes a minute; ./x slow runs it"]
fn a_worker_under_full_load_for_a_minute_is_not_lost() {
    is_not_lost_under_load("2s", Duration::from_secs(60));
}

#[test]
fn a_worker_that_dies_is_lost_within_its_lease_and_a_second() {
    let coordinator = fleet("2s");
    let mut worker = Worker::spawn(coordinator.address());
    coordinator.wait_for_nodes(1);
    worker.kill9();
    let killed = Instant::now();
    eventually("an empty fleet", || coordinator.braid(["node", "ls", "-o", "name"]).ok().stdout.is_empty().then_some(()));
    let took = killed.elapsed();
    println!("lost after {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
}
