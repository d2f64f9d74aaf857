//! The name of every metric, with its kind, labels and meaning. Dashboards and alerts depend on them: a name never changes
//! its meaning, and `docs/metrics.md` lists them all.

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// As Prometheus shows it. The unit is part of it.
    pub name: &'static str,
    /// What it can do.
    pub kind: Kind,
    /// What tells its series apart.
    pub labels: &'static [&'static str],
    /// What it says, without a full stop.
    pub help: &'static str,
}

/// What a metric can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Is what it is now.
    Gauge,
    /// Counts observations by size.
    Histogram,
}

macro_rules! names {
    ($($(#[$doc:meta])* $constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(super) const $constant: Name =
            Name { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*
        /// Every metric there is.
        pub const ALL: &[Name] = &[$($constant),*];
    };
}

names! {
    BUILD_INFO = Gauge "braid_build_info" ["role", "version"] "Always 1: which role and version of Braid this process is";

    JOBS = Gauge "braid_jobs" ["kind"] "Jobs that are not over";
    JOBS_SUBMITTED = Counter "braid_jobs_submitted_total" ["kind"] "Jobs accepted; a repeat of a submit is none";
    JOBS_ENDED = Counter "braid_jobs_ended_total" ["kind", "outcome"] "Jobs that are over, by how they ended";
    JOB_WAIT = Histogram "braid_job_wait_seconds" ["kind"] "From the submit of a job until a worker was given its first task";

    TASKS_WAITING = Gauge "braid_tasks_waiting" ["kind"] "Tasks that wait for a worker";
    TASKS_RUNNING = Gauge "braid_tasks_running" ["kind"] "Tasks that a worker has";
    TASKS_STARTED = Counter "braid_tasks_started_total" ["kind"] "Attempts that were given to a worker";
    TASKS_ENDED = Counter "braid_tasks_ended_total" ["kind", "outcome"] "Attempts that ended, by how; lost are those whose worker was";
    TASK_RUN = Histogram "braid_task_run_seconds" ["kind"] "How long attempts ran that ended well";
    TASK_BYTES = Counter "braid_task_bytes_total" ["kind"] "Bytes that ended attempts have read and written";
    TASK_REUSED_BYTES = Counter "braid_task_reused_bytes_total" ["kind"] "Bytes that ended attempts could keep from an earlier run";
    STALE_RESULTS = Counter "braid_stale_results_total" [] "Results dropped because a newer attempt or lease has taken their place";

    NODES = Gauge "braid_nodes" ["state"] "Nodes that are known, by state";
    LEASES_LOST = Counter "braid_leases_lost_total" [] "Nodes given up because they were silent for longer than their lease";
    NODE_TASKS = Gauge "braid_node_tasks_running" ["node"] "Tasks that a node has";
    NODE_THREADS = Gauge "braid_node_threads" ["node"] "Compute threads that a node offers";
    NODE_MEMORY = Gauge "braid_node_memory_bytes" ["node"] "Memory that tasks on a node may hold";
    NODE_RATE = Gauge "braid_node_throughput_bytes_per_second" ["node"] "How fast a node read and wrote of late, as placement sees it";

    PLACEMENT = Histogram "braid_placement_seconds" [] "How long one decision of placement took";
    STORE_COMMIT = Histogram "braid_store_commit_seconds" [] "How long the store took for a commit that it made";
    STORE_COMMIT_FAILURES = Counter "braid_store_commit_failures_total" ["reason"] "Commits that the store did not confirm; most are tried again";
    LOG_LINES_LOST = Counter "braid_log_lines_lost_total" [] "Lines of tasks that came faster than the disk took them";

    RPCS = Counter "braid_rpcs_total" ["method", "code"] "Calls answered, by gRPC code; of a stream, how it began";
    RPC = Histogram "braid_rpc_seconds" ["method"] "From a call until its answer, or a stream's first, began";

    WORKER_CONNECTED = Gauge "braid_worker_connected" [] "1 while this worker has a session with a coordinator";
    WORKER_SESSIONS_LOST = Counter "braid_worker_sessions_lost_total" [] "Sessions with a coordinator that broke; tasks go on";
    WORKER_THREADS = Gauge "braid_worker_threads" [] "Compute threads of this worker";
    WORKER_MEMORY = Gauge "braid_worker_memory_bytes" [] "Memory that tasks of this worker may hold";
    WORKER_RUNNING = Gauge "braid_worker_tasks_running" ["kind"] "Attempts that run on this worker's threads now";
    WORKER_ENDED = Counter "braid_worker_tasks_ended_total" ["kind", "outcome"] "Attempts that ended on this worker, by how";
    WORKER_RUN = Histogram "braid_worker_task_run_seconds" ["kind"] "How long attempts ran on this worker, however they ended";
    WORKER_BYTES = Counter "braid_worker_task_bytes_total" ["kind"] "Bytes that ended attempts of this worker have read and written";
    WORKER_DISK_TOTAL = Gauge "braid_worker_disk_bytes" ["mount"] "Size of a disk that tasks of this worker may use";
    WORKER_DISK_FREE = Gauge "braid_worker_disk_free_bytes" ["mount"] "What tasks may still write to it";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What `promtool check metrics` complains of, and what its documentation asks for.
    fn complaints(metric: &Name) -> Vec<String> {
        let Name { name, kind, labels, help } = metric;
        let mut found = Vec::new();
        let snake = |text: &str| {
            let fine = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
            text.starts_with(|first: char| first.is_ascii_lowercase()) && text.chars().all(fine) && !text.contains("__")
        };
        let words: Vec<&str> = name.split('_').collect();
        let mut check = |fine: bool, complaint: &str| {
            if !fine {
                found.push(format!("{name}: {complaint}"));
            }
        };
        check(snake(name) && words[0] == "braid", "not braid_ and words");
        check(words.contains(&"total") == (*kind == Kind::Counter), "counters, and only they, end in _total");
        check(*kind != Kind::Counter || name.ends_with("_total"), "total is not the last word");
        for reserved in ["count", "sum", "bucket", "counter", "gauge", "histogram", "summary", "metric"] {
            check(!words.contains(&reserved), "a word that Prometheus uses itself");
        }
        for unit in ["ms", "milliseconds", "microseconds", "minutes", "hours", "kb", "mb", "mib", "kib", "percent", "bits"] {
            check(!words.contains(&unit), "a unit that is not a base unit");
        }
        let unit = words.iter().position(|word| ["seconds", "bytes"].contains(word));
        let last = words.len() - 1 - usize::from(*kind == Kind::Counter);
        check(unit.is_none_or(|at| at == last || name.ends_with("_bytes_per_second")), "the unit is not at the end");
        check(*kind != Kind::Histogram || unit.is_some(), "a histogram without a unit");
        check(labels.iter().all(|label| snake(label) && !["le", "quantile", "job", "instance"].contains(label)), "a bad label");
        check(!labels.iter().any(|label| words.contains(label) && *label != "node"), "a label's name is in the metric's");
        check(help.len() > 10 && help.starts_with(|first: char| first.is_ascii_uppercase() || first.is_ascii_digit()), "no help");
        check(!help.ends_with('.'), "a full stop, which is added to the help");
        found
    }

    #[test]
    fn names_are_as_promtool_wants_them() {
        assert_eq!(ALL.iter().flat_map(complaints).collect::<Vec<_>>(), Vec::<String>::new());
        assert_eq!(ALL.iter().map(|metric| metric.name).collect::<BTreeSet<_>>().len(), ALL.len(), "one comes twice");
    }

    #[test]
    fn the_lint_has_teeth() {
        let good = Name { name: "braid_x_seconds", kind: Kind::Histogram, labels: &["kind"], help: "How long it took" };
        assert_eq!(complaints(&good), Vec::<String>::new());
        for bad in [
            Name { name: "braid_x_ms", ..good },
            Name { name: "x_seconds", ..good },
            Name { name: "braid_seconds_x", ..good },
            Name { name: "braid_x", ..good },
            Name { name: "braid_x_seconds", kind: Kind::Counter, ..good },
            Name { name: "braid_x_total", kind: Kind::Gauge, ..good },
            Name { name: "braid_total_x", kind: Kind::Counter, ..good },
            Name { name: "braid_x_count", kind: Kind::Gauge, ..good },
            Name { name: "braid_X_seconds", ..good },
            Name { labels: &["le"], ..good },
            Name { name: "braid_kind_seconds", ..good },
            Name { help: "How long it took.", ..good },
            Name { help: "", ..good },
        ] {
            assert!(!complaints(&bad).is_empty(), "{bad:?}");
        }
    }

    #[test]
    fn the_page_lists_every_metric_and_no_other() {
        let page = include_str!("../../../docs/metrics.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `braid_"));
        let listed: Vec<String> = rows.map(|row| format!("| `braid_{row}")).collect();
        let kind = |kind| match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let expected: Vec<String> = ALL
            .iter()
            .map(|metric| {
                let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
                format!("| `{}` | {} | {} | {} |", metric.name, kind(metric.kind), labels.join(", "), metric.help)
            })
            .collect();
        assert_eq!(listed, expected, "docs/metrics.md should have these rows:\n{}", expected.join("\n"));
    }
}
