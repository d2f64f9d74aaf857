//! What a coordinator counts, and what is looked up in its state when somebody asks.

use super::{
    labels::{CommitFailure, JobEnd, NodeState, OfJob, OfKind, OfNode, OfReason, OfState, OfTask, TaskEnd},
    names,
    register::{add, add_build, add_made, seconds, text},
    rpc::RpcMetrics,
};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::{collections::BTreeMap, sync::atomic::AtomicU64, time::Duration};

type Seconds = Family<OfKind, Histogram>;

/// The counters and histograms of a coordinator.
pub struct FleetMetrics {
    registry: Registry,
    jobs_submitted: Family<OfKind, Counter>,
    jobs_ended: Family<OfJob, Counter>,
    job_wait: Seconds,
    tasks_started: Family<OfKind, Counter>,
    tasks_ended: Family<OfTask, Counter>,
    task_run: Seconds,
    task_bytes: Family<OfKind, Counter>,
    task_reused: Family<OfKind, Counter>,
    stale_results: Counter,
    leases_lost: Counter,
    placement: Histogram,
    commit: Histogram,
    commit_failures: Family<OfReason, Counter>,
    log_lines_lost: Counter,
    rpc: RpcMetrics,
}

/// What is, as a look at a coordinator's state finds it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FleetGauges {
    /// Jobs that are not over, by kind.
    pub jobs: BTreeMap<String, u64>,
    /// Tasks for a worker, by kind.
    pub tasks_waiting: BTreeMap<String, u64>,
    /// Tasks that a worker has, by kind.
    pub tasks_running: BTreeMap<String, u64>,
    /// The nodes, by name.
    pub nodes: BTreeMap<String, NodeGauges>,
}

/// One node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeGauges {
    /// How it stands with it.
    pub state: NodeState,
    /// Tasks that it has.
    pub tasks: u64,
    /// Compute threads; 0 while unknown.
    pub threads: u64,
    /// Bytes that tasks may hold; 0 while unknown.
    pub memory: u64,
    /// Bytes read and written per second, once known.
    pub rate: Option<f64>,
}

impl FleetMetrics {
    /// All at zero, of a coordinator of this version.
    pub fn new(version: &'static str) -> Self {
        let mut registry = Registry::default();
        let r = &mut registry;
        add_build(r, "coordinator", version);
        let by_kind = || Seconds::new_with_constructor(seconds);
        Self {
            jobs_submitted: add(r, names::JOBS_SUBMITTED),
            jobs_ended: add(r, names::JOBS_ENDED),
            job_wait: add_made(r, names::JOB_WAIT, by_kind()),
            tasks_started: add(r, names::TASKS_STARTED),
            tasks_ended: add(r, names::TASKS_ENDED),
            task_run: add_made(r, names::TASK_RUN, by_kind()),
            task_bytes: add(r, names::TASK_BYTES),
            task_reused: add(r, names::TASK_REUSED_BYTES),
            stale_results: add(r, names::STALE_RESULTS),
            leases_lost: add(r, names::LEASES_LOST),
            placement: add_made(r, names::PLACEMENT, seconds()),
            commit: add_made(r, names::STORE_COMMIT, seconds()),
            commit_failures: add(r, names::STORE_COMMIT_FAILURES),
            log_lines_lost: add(r, names::LOG_LINES_LOST),
            rpc: RpcMetrics::new(r),
            registry,
        }
    }

    /// A job was accepted.
    pub fn job_submitted(&self, kind: String) {
        self.jobs_submitted.get_or_create(&OfKind { kind }).inc();
    }

    /// The first task of a job was given to a worker, so long after the job was submitted.
    pub fn job_started(&self, kind: String, waited: Duration) {
        self.job_wait.get_or_create(&OfKind { kind }).observe(waited.as_secs_f64());
    }

    /// A job is over.
    pub fn job_ended(&self, kind: String, outcome: JobEnd) {
        self.jobs_ended.get_or_create(&OfJob { kind, outcome }).inc();
    }

    /// An attempt was given to a worker.
    pub fn task_started(&self, kind: String) {
        self.tasks_started.get_or_create(&OfKind { kind }).inc();
    }

    /// An attempt ended; `ran` where its worker has said how long it ran.
    pub fn task_ended(&self, kind: String, outcome: TaskEnd, ran: Option<Duration>, bytes: u64, reused: u64) {
        self.tasks_ended.get_or_create(&OfTask { kind: kind.clone(), outcome }).inc();
        let kind = OfKind { kind };
        self.task_bytes.get_or_create(&kind).inc_by(bytes);
        self.task_reused.get_or_create(&kind).inc_by(reused);
        if let (TaskEnd::Done, Some(ran)) = (outcome, ran) {
            self.task_run.get_or_create(&kind).observe(ran.as_secs_f64());
        }
    }

    /// A result came too late to count.
    pub fn stale_result(&self) {
        self.stale_results.inc();
    }

    /// A node was silent for longer than its lease.
    pub fn lease_lost(&self) {
        self.leases_lost.inc();
    }

    /// Placement has decided.
    pub fn placed(&self, took: Duration) {
        self.placement.observe(took.as_secs_f64());
    }

    /// The store has made a commit.
    pub fn committed(&self, took: Duration) {
        self.commit.observe(took.as_secs_f64());
    }

    /// The store has not confirmed a commit.
    pub fn commit_failed(&self, reason: CommitFailure) {
        self.commit_failures.get_or_create(&OfReason { reason }).inc();
    }

    /// A line of a task was dropped.
    pub fn log_line_lost(&self) {
        self.log_lines_lost.inc();
    }

    /// For the calls that are served.
    pub fn rpc(&self) -> &RpcMetrics {
        &self.rpc
    }

    /// All metrics, for Prometheus. Without `gauges` those that need a look at the state are left out.
    pub fn text(&self, gauges: Option<&FleetGauges>) -> String {
        let gauges = gauges.map(FleetGauges::registry);
        let registries: Vec<&Registry> = std::iter::once(&self.registry).chain(&gauges).collect();
        text(&registries)
    }
}

impl FleetGauges {
    fn registry(&self) -> Registry {
        let mut registry = Registry::default();
        let r = &mut registry;
        for (name, counts) in
            [(names::JOBS, &self.jobs), (names::TASKS_WAITING, &self.tasks_waiting), (names::TASKS_RUNNING, &self.tasks_running)]
        {
            let gauge: Family<OfKind, Gauge> = add(r, name);
            for (kind, count) in counts {
                gauge.get_or_create(&OfKind { kind: kind.clone() }).set(whole(*count));
            }
        }
        let nodes: Family<OfState, Gauge> = add(r, names::NODES);
        for state in [NodeState::Ready, NodeState::Silent] {
            let count = self.nodes.values().filter(|node| node.state == state).count();
            nodes.get_or_create(&OfState { state }).set(whole(count as u64));
        }
        let tasks: Family<OfNode, Gauge> = add(r, names::NODE_TASKS);
        let threads: Family<OfNode, Gauge> = add(r, names::NODE_THREADS);
        let memory: Family<OfNode, Gauge> = add(r, names::NODE_MEMORY);
        let rate: Family<OfNode, Gauge<f64, AtomicU64>> = add(r, names::NODE_RATE);
        for (name, node) in &self.nodes {
            let label = OfNode { node: name.clone() };
            tasks.get_or_create(&label).set(whole(node.tasks));
            threads.get_or_create(&label).set(whole(node.threads));
            memory.get_or_create(&label).set(whole(node.memory));
            if let Some(known) = node.rate {
                rate.get_or_create(&label).set(known);
            }
        }
        registry
    }
}

/// A gauge of counts is signed.
fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{ALL, WorkerMetrics};
    use std::collections::BTreeSet;

    fn gauges() -> FleetGauges {
        let node = NodeGauges { state: NodeState::Ready, tasks: 2, threads: 8, memory: 1 << 30, rate: Some(2.5e9) };
        FleetGauges {
            jobs: [("merge".into(), 1)].into(),
            tasks_waiting: [("merge".into(), 7)].into(),
            tasks_running: [("merge".into(), 2)].into(),
            nodes: [("alpha-1".into(), node)].into(),
        }
    }

    /// Every metric once, so that each shows in the text.
    fn filled() -> FleetMetrics {
        let metrics = FleetMetrics::new("1.2.3");
        let merge = || "merge".to_owned();
        metrics.job_submitted(merge());
        metrics.job_started(merge(), Duration::from_millis(3));
        metrics.job_ended(merge(), JobEnd::Done);
        metrics.task_started(merge());
        metrics.task_ended(merge(), TaskEnd::Done, Some(Duration::from_secs(2)), 1000, 24);
        metrics.task_ended(merge(), TaskEnd::Lost, None, 0, 0);
        metrics.stale_result();
        metrics.lease_lost();
        metrics.placed(Duration::from_micros(50));
        metrics.committed(Duration::from_millis(4));
        metrics.commit_failed(CommitFailure::Unavailable);
        metrics.log_line_lost();
        metrics.rpc().answered("Jobs/Submit", "ok", Duration::from_millis(5));
        metrics
    }

    #[test]
    fn figures_come_out_as_prometheus_reads_them() {
        let text = filled().text(Some(&gauges()));
        for line in [
            "# TYPE braid_tasks_ended counter",
            "braid_build_info{role=\"coordinator\",version=\"1.2.3\"} 1",
            "braid_tasks_waiting{kind=\"merge\"} 7",
            "braid_tasks_ended_total{kind=\"merge\",outcome=\"done\"} 1",
            "braid_tasks_ended_total{kind=\"merge\",outcome=\"lost\"} 1",
            "braid_task_bytes_total{kind=\"merge\"} 1000",
            "braid_task_reused_bytes_total{kind=\"merge\"} 24",
            "braid_task_run_seconds_sum{kind=\"merge\"} 2.0",
            "braid_job_wait_seconds_bucket{le=\"0.01\",kind=\"merge\"} 1",
            "braid_job_wait_seconds_bucket{le=\"0.0025\",kind=\"merge\"} 0",
            "braid_stale_results_total 1",
            "braid_store_commit_failures_total{reason=\"unavailable\"} 1",
            "braid_nodes{state=\"ready\"} 1",
            "braid_nodes{state=\"silent\"} 0",
            "braid_node_memory_bytes{node=\"alpha-1\"} 1073741824",
            "braid_node_throughput_bytes_per_second{node=\"alpha-1\"} 2500000000.0",
            "braid_rpcs_total{method=\"Jobs/Submit\",code=\"ok\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"), "{text}");
        assert_eq!(text.matches("# EOF").count(), 1);
    }

    #[test]
    fn without_a_look_at_the_state_the_counters_are_still_there() {
        let text = filled().text(None);
        assert!(text.contains("braid_leases_lost_total 1") && !text.contains("braid_nodes"), "{text}");
    }

    #[test]
    fn every_name_is_somebodys_with_the_kind_and_the_labels_that_it_names() {
        let worker = WorkerMetrics::new("1.2.3", 4, 1 << 30);
        worker.started("merge");
        worker.ended("merge", TaskEnd::Done, Duration::from_secs(1), 10);
        worker.disks([("/data", 10, 5)].into_iter());
        let text = filled().text(Some(&gauges())) + &worker.text();
        let mut found = BTreeSet::new();
        for metric in ALL {
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let stem = metric.name.trim_end_matches("_total");
            assert!(text.contains(&format!("# TYPE {stem} {kind}\n")), "{}: no {kind} in\n{text}", metric.name);
            assert!(text.contains(&format!("# HELP {stem} {}.\n", metric.help)), "{}", metric.name);
            let series = text.lines().filter(|line| {
                let rest = line.strip_prefix(metric.name).map(|rest| rest.trim_start_matches("_sum"));
                rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
            });
            let mut shown = false;
            for line in series {
                let labels: Vec<&str> = match line.split_once('{') {
                    Some((_, rest)) => rest.split(',').filter_map(|pair| pair.split_once('=').map(|(label, _)| label)).collect(),
                    None => Vec::new(),
                };
                assert_eq!(labels, metric.labels, "{line}");
                shown = true;
            }
            assert!(shown, "{} has no series in\n{text}", metric.name);
            found.insert(stem);
        }
        let registered: BTreeSet<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).map(|(name, _)| name).collect();
        assert_eq!(registered, found, "a metric that names.rs does not know");
    }
}
