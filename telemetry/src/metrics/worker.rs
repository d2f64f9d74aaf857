//! What a worker counts.

use super::{
    labels::{OfKind, OfMount, OfTask, TaskEnd},
    names,
    register::{add, add_build, add_made, seconds, text},
};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::time::Duration;

/// The metrics of a worker. Compute threads and the session write them.
pub struct WorkerMetrics {
    registry: Registry,
    connected: Gauge,
    sessions_lost: Counter,
    running: Family<OfKind, Gauge>,
    ended: Family<OfTask, Counter>,
    run: Family<OfKind, Histogram>,
    bytes: Family<OfKind, Counter>,
    disk_total: Family<OfMount, Gauge>,
    disk_free: Family<OfMount, Gauge>,
}

impl WorkerMetrics {
    /// All at zero, of a worker of this version with so many threads and so many bytes for tasks.
    pub fn new(version: &'static str, threads: usize, memory: u64) -> Self {
        let mut registry = Registry::default();
        let r = &mut registry;
        add_build(r, "worker", version);
        let offered: Gauge = add(r, names::WORKER_THREADS);
        offered.set(i64::try_from(threads).unwrap_or(i64::MAX));
        let offered: Gauge = add(r, names::WORKER_MEMORY);
        offered.set(i64::try_from(memory).unwrap_or(i64::MAX));
        Self {
            connected: add(r, names::WORKER_CONNECTED),
            sessions_lost: add(r, names::WORKER_SESSIONS_LOST),
            running: add(r, names::WORKER_RUNNING),
            ended: add(r, names::WORKER_ENDED),
            run: add_made(r, names::WORKER_RUN, Family::new_with_constructor(seconds)),
            bytes: add(r, names::WORKER_BYTES),
            disk_total: add(r, names::WORKER_DISK_TOTAL),
            disk_free: add(r, names::WORKER_DISK_FREE),
            registry,
        }
    }

    /// A session with a coordinator began.
    pub fn joined(&self) {
        self.connected.set(1);
    }

    /// There is no session any more. Counts once for each that there was.
    pub fn parted(&self) {
        if self.connected.set(0) != 0 {
            self.sessions_lost.inc();
        }
    }

    /// Whether there is a session now.
    pub fn is_connected(&self) -> bool {
        self.connected.get() != 0
    }

    /// An attempt begins to run.
    pub fn started(&self, kind: &str) {
        self.running.get_or_create(&OfKind { kind: kind.to_owned() }).inc();
    }

    /// An attempt that began has ended; `bytes` read and written.
    pub fn ended(&self, kind: &str, outcome: TaskEnd, ran: Duration, bytes: u64) {
        self.ended.get_or_create(&OfTask { kind: kind.to_owned(), outcome }).inc();
        let kind = OfKind { kind: kind.to_owned() };
        self.running.get_or_create(&kind).dec();
        self.run.get_or_create(&kind).observe(ran.as_secs_f64());
        self.bytes.get_or_create(&kind).inc_by(bytes);
    }

    /// These are its disks now: mount, bytes in all, bytes free.
    pub fn disks<'a>(&self, disks: impl Iterator<Item = (&'a str, u64, u64)>) {
        self.disk_total.clear();
        self.disk_free.clear();
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        for (mount, total, free) in disks {
            let mount = OfMount { mount: mount.to_owned() };
            self.disk_total.get_or_create(&mount).set(bytes(total));
            self.disk_free.get_or_create(&mount).set(bytes(free));
        }
    }

    /// All metrics, for Prometheus.
    pub fn text(&self) -> String {
        text(&[&self.registry])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_was_not_there_is_not_lost() {
        let metrics = WorkerMetrics::new("1", 2, 3);
        metrics.parted();
        metrics.joined();
        assert!(metrics.is_connected());
        metrics.parted();
        metrics.parted();
        let text = metrics.text();
        assert!(text.contains("braid_worker_sessions_lost_total 1\n") && text.contains("braid_worker_connected 0\n"), "{text}");
    }

    #[test]
    fn a_disk_that_is_gone_is_no_longer_counted() {
        let metrics = WorkerMetrics::new("1", 2, 3);
        metrics.disks([("/", 10, 4), ("/data", 100, u64::MAX)].into_iter());
        metrics.disks([("/data", 100, 7)].into_iter());
        let text = metrics.text();
        assert!(text.contains("braid_worker_disk_free_bytes{mount=\"/data\"} 7\n"), "{text}");
        assert!(text.contains("braid_worker_disk_bytes{mount=\"/data\"} 100\n") && !text.contains("\"/\""), "{text}");
    }

    #[test]
    fn what_has_ended_no_longer_runs() {
        let metrics = WorkerMetrics::new("1", 2, 3);
        metrics.started("merge");
        metrics.started("merge");
        metrics.ended("merge", TaskEnd::Failed, Duration::from_secs(1), 5);
        let text = metrics.text();
        assert!(text.contains("braid_worker_tasks_running{kind=\"merge\"} 1\n"), "{text}");
        assert!(text.contains("braid_worker_tasks_ended_total{kind=\"merge\",outcome=\"failed\"} 1\n"), "{text}");
    }
}
