//! What the coordinator costs: ten thousand tasks that do nothing, two workers on loopback.

use crate::harness::{Coordinator, Worker};

const TASKS: u32 = 10_000;

struct Figures {
    tasks_per_second: f64,
    coordinator_cpu_ms_per_task: f64,
}

fn measure(store: Option<&str>) -> Figures {
    let mut coordinator = Coordinator::spawn(store);
    let _workers: Vec<Worker> = (0..2).map(|_| Worker::spawn(coordinator.address())).collect();
    coordinator.wait_for_nodes(2);
    let before = coordinator.process().cpu_time();
    let run = coordinator.braid(["bench", "--tasks", &TASKS.to_string()]).ok();
    let cpu = coordinator.process().cpu_time() - before;
    let figures = Figures {
        tasks_per_second: run.json()["tasks_per_second"].as_f64().unwrap(),
        coordinator_cpu_ms_per_task: cpu.as_secs_f64() * 1e3 / f64::from(TASKS),
    };
    println!(
        "{}: {:.0} tasks/s, {:.4} ms of coordinator CPU a task",
        store.unwrap_or("embedded"),
        figures.tasks_per_second,
        figures.coordinator_cpu_ms_per_task
    );
    figures
}

#[test]
fn the_embedded_store_takes_two_thousand_tasks_a_second() {
    let figures = measure(None);
    assert!(figures.tasks_per_second >= 2000.0, "{:.0} tasks/s", figures.tasks_per_second);
    assert!(figures.coordinator_cpu_ms_per_task <= 0.1, "{:.3} ms", figures.coordinator_cpu_ms_per_task);
}

#[cfg(feature = "etcd")]
#[test]
fn etcd_takes_a_thousand_tasks_a_second() {
    let etcd = crate::harness::Etcd::spawn();
    let figures = measure(Some(&etcd.url()));
    assert!(figures.tasks_per_second >= 1000.0, "{:.0} tasks/s", figures.tasks_per_second);
}
