//! How an explanation is shown.

use super::{SCHEMA, View, job::state_word, table};
use crate::units::show_duration;
use braid_proto::v1;
use serde::Serialize;
use std::time::Duration;

/// `braid job explain`.
#[derive(Debug, Serialize)]
pub(crate) struct ExplanationView {
    schema: &'static str,
    id: u64,
    label: String,
    state: &'static str,
    tasks_running: u32,
    running_on: Vec<String>,
    /// Nodes that were added before asking.
    with_nodes: Option<String>,
    waits: Vec<WaitView>,
    /// Seconds until all that waits, of all jobs, is done.
    makespan_s: Option<f64>,
    bound_s: f64,
    makespan_without_nodes_s: Option<f64>,
    relief: Vec<ReliefView>,
}

#[derive(Debug, Serialize)]
struct WaitView {
    count: u32,
    gang: u32,
    constraint: String,
    reason: String,
    remedy: Option<String>,
}

#[derive(Debug, Serialize)]
struct ReliefView {
    what: String,
    node: String,
    saves_s: f64,
    price: f64,
}

impl ExplanationView {
    pub(crate) fn new(explained: v1::Explanation, with_nodes: Option<String>) -> Self {
        let job = explained.job.unwrap_or_default();
        let wait = |wait: v1::WaitingTasks| WaitView {
            count: wait.count,
            gang: wait.demand.and_then(|demand| demand.gang).map_or(1, |gang| gang.size),
            constraint: wait.constraint,
            reason: wait.reason,
            remedy: wait.remedy,
        };
        let relief = |v1::Relief { what, node, saves_s, price }: v1::Relief| ReliefView { what, node, saves_s, price };
        Self {
            schema: SCHEMA,
            id: job.id,
            state: state_word(job.state()),
            label: job.label,
            tasks_running: job.tasks_running,
            running_on: explained.tasks_on,
            with_nodes,
            waits: explained.waits.into_iter().map(wait).collect(),
            makespan_s: explained.makespan_s,
            bound_s: explained.bound_s,
            makespan_without_nodes_s: explained.makespan_now_s,
            relief: explained.relief.into_iter().map(relief).collect(),
        }
    }
}

impl View for ExplanationView {
    fn table(&self, _now: u64) -> String {
        let running = match (self.tasks_running, &self.running_on[..]) {
            (0, _) => None,
            (1, on) => Some(format!("1 task on {}", on.join(", "))),
            (count, on) => Some(format!("{count} tasks on {}", on.join(", "))),
        };
        let done = self.makespan_s.map(|all| {
            let without = self.makespan_without_nodes_s.map(|now| format!(", {} without them", seconds(now)));
            format!("in {} (at best {}){}", seconds(all), seconds(self.bound_s), without.unwrap_or_default())
        });
        let mut text = table::fields(&[
            ("job", Some(format!("{} ({})", self.id, self.label))),
            ("state", Some(self.state.to_owned())),
            ("runs", running),
            ("with", self.with_nodes.as_ref().map(|nodes| format!("{nodes} more nodes"))),
            ("waits", self.waits.is_empty().then(|| "nothing of it waits".to_owned())),
            ("all done", done),
        ]);
        for wait in &self.waits {
            text.push('\n');
            let what = match (wait.count, wait.gang) {
                (1, 1) => "1 task".to_owned(),
                (count, 1) => format!("{count} tasks"),
                (1, size) => format!("a gang of {size}"),
                (count, size) => format!("{count} gangs of {size}"),
            };
            let fields = [("waits", Some(what)), ("why", Some(wait.reason.clone())), ("would start if", wait.remedy.clone())];
            text.push_str(&table::fields(&fields));
        }
        if !self.relief.is_empty() {
            let rows: Vec<_> = self
                .relief
                .iter()
                .map(|relief| [seconds(relief.saves_s), format!("{:.3}", relief.price), relief.what.clone()])
                .collect();
            text.push('\n');
            text.push_str(&table::columns(["SAVES", "PRICE", "WITH"], &rows));
        }
        text
    }

    fn names(&self) -> Vec<String> {
        self.waits.iter().map(|wait| wait.constraint.clone()).collect()
    }

    fn is_final(&self) -> bool {
        matches!(self.state, "done" | "failed" | "cancelled")
    }
}

fn seconds(seconds: f64) -> String {
    show_duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Format, render};

    #[test]
    fn a_wait_says_why_and_what_would_end_it() {
        let explained = v1::Explanation {
            job: Some(v1::Job { id: 3, label: "a gang".into(), state: v1::JobState::Running.into(), ..Default::default() }),
            waits: vec![v1::WaitingTasks {
                count: 1,
                demand: Some(v1::Demand { gang: Some(v1::Member { rank: 0, size: 8 }), ..Default::default() }),
                constraint: "gang".into(),
                reason: "a gang of 8 needs 3 more GPUs (5 of 8 places are free)".into(),
                remedy: Some("3 tasks on a end".into()),
            }],
            makespan_s: Some(90.0),
            bound_s: 80.0,
            relief: vec![v1::Relief { what: "one more GPU in a".into(), node: "a".into(), saves_s: 10.0, price: 0.5 }],
            makespan_now_s: None,
            tasks_on: vec![],
        };
        let view = ExplanationView::new(explained, None);
        insta::assert_snapshot!(render(&view, Format::Table, 0, false).unwrap(), @"
        job       3 (a gang)
        state     running
        all done  in 1m 30s (at best 1m 20s)

        waits           a gang of 8
        why             a gang of 8 needs 3 more GPUs (5 of 8 places are free)
        would start if  3 tasks on a end

        SAVES  PRICE  WITH
        10 s   0.500  one more GPU in a
        ");
        assert_eq!(render(&view, Format::Name, 0, false).unwrap(), "gang");
    }
}
