//! What is known of a job's speed: bytes so far, bytes per second, time left. Pure; the caller says what time it is.

use crate::units::{show_bytes, show_duration};
use braid_proto::v1::{Job, JobState};
use std::{collections::VecDeque, time::Duration};

/// The speed is that of the last so many seconds: old enough to be steady, young enough to follow a slower disk.
const WINDOW: Duration = Duration::from_secs(15);
/// No speed is named before: the first bytes come in lumps.
const SETTLED: Duration = Duration::from_millis(500);

/// Follows one job.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    samples: VecDeque<(Duration, u64)>,
}

/// What a person is told at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    pub(crate) phase: &'static str,
    /// Bytes done or kept from an earlier run.
    pub(crate) bytes: u64,
    pub(crate) total: u64,
    pub(crate) bytes_per_second: Option<f64>,
    pub(crate) left: Option<Duration>,
    /// Why nothing of the job runs, when nothing does.
    pub(crate) reason: Option<String>,
}

impl Meter {
    /// Takes in what the job looks like at `now`, counted from any fixed moment.
    pub(crate) fn observe(&mut self, now: Duration, job: &Job) -> Reading {
        let done = job.bytes_done;
        // A lost worker takes its unfinished bytes with it: start measuring afresh.
        if self.samples.back().is_some_and(|(_, before)| *before > done) {
            self.samples.clear();
        }
        self.samples.push_back((now, done));
        while self.samples.len() > 2 && self.samples.front().is_some_and(|(at, _)| now.saturating_sub(*at) > WINDOW) {
            self.samples.pop_front();
        }
        // What was reused is no task's any more: it counts on both sides.
        let bytes = done.saturating_add(job.bytes_reused);
        let total = job.bytes_total.max(done).saturating_add(job.bytes_reused);
        let bytes_per_second = self.rate();
        let rest = total.saturating_sub(bytes);
        let left = bytes_per_second.and_then(|rate| Duration::try_from_secs_f64(rest as f64 / rate).ok());
        Reading { phase: phase(job), bytes, total, bytes_per_second, left, reason: job.reason.clone() }
    }

    fn rate(&self) -> Option<f64> {
        let ((from, first), (to, last)) = (self.samples.front()?, self.samples.back()?);
        let over = to.saturating_sub(*from);
        (over >= SETTLED && last > first).then(|| (last - first) as f64 / over.as_secs_f64())
    }
}

/// What the job is at, in one word. A merge plans, merges and publishes, in this order; of other kinds nothing is known.
fn phase(job: &Job) -> &'static str {
    match job.state() {
        JobState::Cancelling => "cancelling",
        JobState::Done => "done",
        JobState::Failed => "failed",
        JobState::Cancelled => "cancelled",
        JobState::Unspecified | JobState::Running => match job.kind.as_str() {
            _ if job.tasks_running == 0 => "waiting",
            "merge" if job.tasks_done == 0 => "planning",
            "merge" if job.bytes_done < job.bytes_total => "merging",
            "merge" => "publishing",
            _ => "running",
        },
    }
}

impl Reading {
    /// `merging, 1.2 GB of 2.0 GB (60%), 800.0 MB/s, 1.0 s left`
    pub(crate) fn line(&self) -> String {
        let mut text = self.phase.to_owned();
        if let Some(reason) = &self.reason {
            text.push_str(&format!(" ({reason})"));
        }
        if self.total > 0 {
            let percent = 100.0 * self.bytes as f64 / self.total as f64;
            text.push_str(&format!(", {} of {} ({percent:.0}%)", show_bytes(self.bytes), show_bytes(self.total)));
        }
        if let Some(rate) = self.bytes_per_second {
            text.push_str(&format!(", {}/s", show_bytes(rate as u64)));
        }
        if let Some(left) = self.left.filter(|_| self.bytes < self.total) {
            text.push_str(&format!(", {} left", show_duration(left)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    fn job(done: u64, reused: u64) -> Job {
        Job {
            kind: "merge".into(),
            state: JobState::Running.into(),
            tasks_running: 1,
            tasks_done: 1,
            bytes_total: 1000 * MB,
            bytes_done: done * MB,
            bytes_reused: reused * MB,
            ..Default::default()
        }
    }

    #[test]
    fn speed_and_time_left_follow_from_what_was_done_now_and_not_from_what_was_reused() {
        let mut meter = Meter::default();
        assert_eq!(meter.observe(Duration::ZERO, &job(0, 0)).line(), "merging, 0 B of 1.0 GB (0%)");
        let reading = meter.observe(Duration::from_secs(2), &job(100, 500));
        assert_eq!(reading.bytes_per_second, Some(50e6));
        assert_eq!(reading.left, Some(Duration::from_secs(18)));
        assert_eq!(reading.line(), "merging, 600.0 MB of 1.5 GB (40%), 50.0 MB/s, 18 s left");
    }

    #[test]
    fn the_speed_forgets_what_is_long_ago() {
        let mut meter = Meter::default();
        for second in 0..100 {
            meter.observe(Duration::from_secs(second), &job(second, 0));
        }
        let mut last = None;
        for second in 100..140 {
            last = meter.observe(Duration::from_secs(second), &job(100 + (second - 100) * 10, 0)).bytes_per_second;
        }
        assert_eq!(last, Some(10e6));
    }

    #[test]
    fn bytes_that_a_lost_worker_took_with_it_do_not_make_a_negative_speed() {
        let mut meter = Meter::default();
        meter.observe(Duration::ZERO, &job(500, 0));
        let reading = meter.observe(Duration::from_secs(1), &job(100, 0));
        assert_eq!((reading.bytes_per_second, reading.left), (None, None));
        assert_eq!(meter.observe(Duration::from_secs(2), &job(110, 0)).bytes_per_second, Some(10e6));
    }

    #[test]
    fn a_job_that_does_not_know_its_size_yet_is_planning() {
        let mut meter = Meter::default();
        let unknown = Job { bytes_total: 0, tasks_done: 0, ..job(0, 0) };
        assert_eq!(meter.observe(Duration::ZERO, &unknown).line(), "planning");
        let waiting = Job { tasks_running: 0, reason: Some("no worker is here".into()), ..unknown };
        assert_eq!(meter.observe(Duration::ZERO, &waiting).line(), "waiting (no worker is here)");
        assert_eq!(meter.observe(Duration::ZERO, &job(1000, 7)).phase, "publishing");
        let absurd = Job { bytes_reused: u64::MAX, ..job(5, 0) };
        assert!(meter.observe(Duration::ZERO, &absurd).line().ends_with("(100%)"));
    }
}
