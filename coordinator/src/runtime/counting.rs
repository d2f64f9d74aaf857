//! From what happened to what is counted.

use crate::{
    engine::{AttemptEnd, Fact},
    model::JobEnd,
};
use braid_telemetry::metrics::{self, FleetMetrics, TaskEnd};

/// Counts one fact.
pub(super) fn count(metrics: &FleetMetrics, fact: Fact) {
    match fact {
        Fact::Submitted { kind } => metrics.job_submitted(kind),
        Fact::Began { kind, waited } => metrics.job_started(kind, waited),
        Fact::Started { kind } => metrics.task_started(kind),
        Fact::Ended { kind, end, figures } => {
            let (ran, done, reused) = figures.map_or((None, 0, 0), |figures| (Some(figures.ran), figures.done, figures.reused));
            metrics.task_ended(kind, task_end(end), ran, done, reused);
        }
        Fact::Stale => metrics.stale_result(),
        Fact::LeaseLost => metrics.lease_lost(),
        Fact::Over { kind, end } => metrics.job_ended(
            kind,
            match end {
                JobEnd::Done(_) => metrics::JobEnd::Done,
                JobEnd::Failed(_) => metrics::JobEnd::Failed,
                JobEnd::Cancelled => metrics::JobEnd::Cancelled,
            },
        ),
    }
}

fn task_end(end: AttemptEnd) -> TaskEnd {
    match end {
        AttemptEnd::Done => TaskEnd::Done,
        AttemptEnd::Failed => TaskEnd::Failed,
        AttemptEnd::Retried => TaskEnd::Retried,
        AttemptEnd::Cancelled => TaskEnd::Cancelled,
        AttemptEnd::Lost => TaskEnd::Lost,
    }
}
