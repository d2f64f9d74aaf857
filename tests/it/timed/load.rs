//! A large fleet on one coordinator: simulated workers, queued tasks, and what each of them costs.

use crate::harness::{Coordinator, Fleet};
use std::time::{Duration, Instant};

struct Size {
    workers: usize,
    tasks: u32,
    /// Jobs that the tasks are in.
    jobs: u32,
    /// Jobs of one task, one after the other, on the fleet without work.
    single: usize,
}

#[derive(Debug)]
struct Figures {
    bytes_a_task: u64,
    tasks_a_second: f64,
    cpu_micros_a_task: f64,
    idle_cpu_percent: f64,
    median: Duration,
    p99: Duration,
}

fn measure(size: &Size) -> Figures {
    let mut coordinator = Coordinator::spawn(None);
    // Nothing runs yet: what is queued stays queued.
    let nobody = Fleet::join(coordinator.address(), 0);
    let before = coordinator.process().rss();
    let jobs: Vec<u64> = (0..size.jobs).map(|_| nobody.submit(size.tasks / size.jobs).0).collect();
    let queued = coordinator.process().rss() - before;

    let cpu = coordinator.process().cpu_time();
    let start = Instant::now();
    let fleet = Fleet::join(coordinator.address(), size.workers);
    let joined = start.elapsed();
    jobs.iter().for_each(|job| fleet.wait_for(*job));
    let took = start.elapsed();
    let cpu = coordinator.process().cpu_time() - cpu;
    assert_eq!(fleet.runs(), size.tasks as usize, "each task ran once");

    let idle = coordinator.process().cpu_time();
    let rest = Duration::from_secs(3);
    std::thread::sleep(rest);
    let idle = coordinator.process().cpu_time() - idle;

    let mut waits: Vec<Duration> = (0..size.single)
        .map(|_| {
            let (job, asked) = fleet.submit(1);
            fleet.began_after(job, asked)
        })
        .collect();
    waits.sort();
    assert_eq!(fleet.ended(), 0, "workers lost their stream: {}", coordinator.log());
    let figures = Figures {
        bytes_a_task: queued / u64::from(size.tasks),
        tasks_a_second: f64::from(size.tasks) / took.as_secs_f64(),
        cpu_micros_a_task: cpu.as_secs_f64() * 1e6 / f64::from(size.tasks),
        idle_cpu_percent: 100.0 * idle.as_secs_f64() / rest.as_secs_f64(),
        median: waits[waits.len() / 2],
        p99: waits[waits.len() * 99 / 100],
    };
    println!(
        "{} workers, {} tasks in {} jobs: {} bytes a queued task; {:.0} tasks/s ({joined:.1?} for the workers to join), \
         {:.0} us of coordinator CPU a task; {:.1} % of a core without work; submit to running: median {:.1?}, p99 {:.1?}",
        size.workers,
        size.tasks,
        size.jobs,
        figures.bytes_a_task,
        figures.tasks_a_second,
        figures.cpu_micros_a_task,
        figures.idle_cpu_percent,
        figures.median,
        figures.p99,
    );
    figures
}

#[test]
fn two_hundred_workers_and_ten_thousand_tasks() {
    let figures = measure(&Size { workers: 200, tasks: 10_000, jobs: 10, single: 100 });
    assert!(figures.bytes_a_task < 4096 && figures.tasks_a_second > 500.0, "{figures:?}");
    assert!(figures.cpu_micros_a_task < 500.0 && figures.p99 < Duration::from_millis(500), "{figures:?}");
}

#[test]
#[ignore = "takes minutes; ./x slow runs it"]
fn a_thousand_workers_and_a_hundred_thousand_tasks() {
    for (workers, jobs) in [(4, 1), (1000, 1), (1000, 100), (1000, 250)] {
        let figures = measure(&Size { workers, tasks: 100_000, jobs, single: 500 });
        assert!(figures.bytes_a_task < 2048 && figures.tasks_a_second > 2000.0, "{figures:?}");
        assert!(figures.cpu_micros_a_task < 200.0 && figures.p99 <= Duration::from_millis(100), "{figures:?}");
    }
}
