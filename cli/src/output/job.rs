//! How a job, and a list of them, is shown.

use super::{
    SCHEMA, View, table,
    task::{self, TaskView},
};
use crate::units::{show_bytes, show_duration, show_time};
use braid_coordinator::model::DEFAULT_PROJECT;
use braid_proto::v1::{self, JobState};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// `braid job ls`.
#[derive(Debug, Serialize)]
pub(crate) struct JobList {
    schema: &'static str,
    jobs: Vec<JobView>,
}

/// `braid job show`.
#[derive(Debug, Serialize)]
pub(crate) struct JobShow {
    schema: &'static str,
    #[serde(flatten)]
    job: JobView,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<Vec<TaskView>>,
}

/// One job.
#[derive(Debug, Serialize)]
struct JobView {
    id: u64,
    kind: String,
    label: String,
    project: String,
    priority: i32,
    state: &'static str,
    submitted: String,
    finished: Option<String>,
    seconds: Option<f64>,
    task_counts: TaskCounts,
    bytes: Bytes,
    reason: Option<String>,
    summary: Option<String>,
    details: Option<Value>,
    failure: Option<FailureView>,
    #[serde(skip)]
    submitted_millis: u64,
}

#[derive(Debug, Serialize)]
struct TaskCounts {
    waiting: u32,
    running: u32,
    done: u32,
}

#[derive(Debug, Serialize)]
struct Bytes {
    total: u64,
    done: u64,
    reused: u64,
}

/// Why a job or an attempt failed.
#[derive(Debug, Serialize)]
pub(super) struct FailureView {
    kind: &'static str,
    pub(super) message: String,
    hint: Option<String>,
}

/// The word for a state, the same in every output.
pub(crate) fn state_word(state: JobState) -> &'static str {
    match state {
        JobState::Unspecified => "unknown",
        JobState::Running => "running",
        JobState::Cancelling => "cancelling",
        JobState::Done => "done",
        JobState::Failed => "failed",
        JobState::Cancelled => "cancelled",
    }
}

impl JobList {
    pub(crate) fn new(jobs: Vec<v1::Job>) -> Self {
        Self { schema: SCHEMA, jobs: jobs.into_iter().map(JobView::from).collect() }
    }
}

impl JobShow {
    pub(crate) fn new(job: v1::Job, tasks: Option<Vec<v1::Task>>) -> Self {
        Self { schema: SCHEMA, job: job.into(), tasks: tasks.map(|tasks| tasks.into_iter().map(TaskView::from).collect()) }
    }
}

impl View for JobList {
    fn table(&self, now: u64) -> String {
        let rows: Vec<_> = self
            .jobs
            .iter()
            .map(|job| {
                let counts = &job.task_counts;
                let all = u64::from(counts.waiting) + u64::from(counts.running) + u64::from(counts.done);
                [
                    job.id.to_string(),
                    job.kind.clone(),
                    job.state.to_owned(),
                    format!("{}/{all}", counts.done),
                    job.bytes.percent(),
                    age(now, job.submitted_millis),
                    job.label.clone(),
                ]
            })
            .collect();
        table::columns(["ID", "KIND", "STATE", "TASKS", "BYTES", "AGE", "LABEL"], &rows)
    }

    fn names(&self) -> Vec<String> {
        self.jobs.iter().map(|job| job.id.to_string()).collect()
    }

    fn is_final(&self) -> bool {
        false // a new job may come
    }
}

impl View for JobShow {
    fn table(&self, _now: u64) -> String {
        let job = &self.job;
        let counts = &job.task_counts;
        let took = job.seconds.map(|seconds| show_duration(Duration::try_from_secs_f64(seconds).unwrap_or_default()));
        let finished = job.finished.as_ref().map(|at| match &took {
            Some(took) => format!("{at} (after {took})"),
            None => at.clone(),
        });
        let failure = job.failure.as_ref();
        let mut text = table::fields(&[
            ("job", Some(job.id.to_string())),
            ("kind", Some(job.kind.clone())),
            ("label", Some(job.label.clone())),
            ("project", (job.project != DEFAULT_PROJECT).then(|| job.project.clone())),
            ("priority", (job.priority != 0).then(|| job.priority.to_string())),
            ("state", Some(job.state.to_owned())),
            ("reason", job.reason.clone()),
            ("submitted", Some(job.submitted.clone())),
            ("finished", finished),
            ("tasks", Some(format!("{} done, {} running, {} waiting", counts.done, counts.running, counts.waiting))),
            ("bytes", job.bytes.sentence()),
            ("result", job.summary.clone()),
            ("failure", failure.map(|failure| failure.message.clone())),
            ("hint", failure.and_then(|failure| failure.hint.clone())),
        ]);
        if let Some(tasks) = &self.tasks {
            text.push('\n');
            text.push_str(&task::table(tasks));
        }
        text
    }

    fn names(&self) -> Vec<String> {
        match &self.tasks {
            Some(tasks) => tasks.iter().map(|task| task.id.clone()).collect(),
            None => vec![self.job.id.to_string()],
        }
    }

    fn is_final(&self) -> bool {
        matches!(self.job.state, "done" | "failed" | "cancelled")
    }
}

impl From<v1::Job> for JobView {
    fn from(job: v1::Job) -> Self {
        let took = job.finished_unix_millis.map(|end| end.saturating_sub(job.submitted_unix_millis) as f64 / 1000.0);
        Self {
            state: state_word(job.state()),
            id: job.id,
            kind: job.kind,
            label: job.label,
            project: job.project,
            priority: job.priority,
            submitted: show_time(job.submitted_unix_millis),
            finished: job.finished_unix_millis.map(show_time),
            seconds: took,
            task_counts: TaskCounts { waiting: job.tasks_waiting, running: job.tasks_running, done: job.tasks_done },
            bytes: Bytes { total: job.bytes_total, done: job.bytes_done, reused: job.bytes_reused },
            reason: job.reason,
            summary: job.summary,
            // What a coordinator sends is JSON; should it not be, the text itself is the next best thing.
            details: job.details.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))),
            failure: job.failure.map(FailureView::from),
            submitted_millis: job.submitted_unix_millis,
        }
    }
}

impl From<v1::Failure> for FailureView {
    fn from(failure: v1::Failure) -> Self {
        let kind = match failure.kind() {
            v1::failure::Kind::Fatal => "fatal",
            v1::failure::Kind::Retry => "retry",
            v1::failure::Kind::Cancelled => "cancelled",
        };
        Self { kind, message: failure.message, hint: failure.hint }
    }
}

impl Bytes {
    /// What was reused is no task's any more: it counts on both sides.
    fn percent(&self) -> String {
        match self.total.saturating_add(self.reused) {
            0 => "-".to_owned(),
            all => format!("{:.0}%", (100.0 * self.done.saturating_add(self.reused) as f64 / all as f64).min(100.0)),
        }
    }

    fn sentence(&self) -> Option<String> {
        (self.total > 0 || self.reused > 0).then(|| {
            let reused = if self.reused > 0 { format!(", and {} reused", show_bytes(self.reused)) } else { String::new() };
            format!("{} of {}{reused}", show_bytes(self.done), show_bytes(self.total))
        })
    }
}

/// `3m`, `2d`: the largest unit alone.
fn age(now: u64, then: u64) -> String {
    let seconds = now.saturating_sub(then) / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
