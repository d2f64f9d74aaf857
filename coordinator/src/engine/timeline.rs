//! Which node ran which attempt, and when: the past that a chart shows. Bounded, not stored, and nothing depends on it.

use super::AttemptEnd;
use crate::model::Millis;
use braid_workload::{AttemptId, NodeId, TaskId};
use std::collections::{BTreeMap, VecDeque};

/// Attempts that have ended and are remembered.
const REMEMBERED: usize = 4096;

/// One attempt on its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Of which task.
    pub task: TaskId,
    /// Which try.
    pub attempt: AttemptId,
    /// Where.
    pub node: NodeId,
    /// When it was given to the node.
    pub start: Millis,
    /// When and how it ended; `None` while it runs.
    pub end: Option<(Millis, AttemptEnd)>,
}

/// The attempts that run, and the latest that have ended.
#[derive(Debug, Default)]
pub struct Timeline {
    running: BTreeMap<TaskId, Span>,
    ended: VecDeque<Span>,
}

impl Timeline {
    /// A node was given an attempt. An earlier one of the same task has ended then, however that came.
    pub(super) fn begin(&mut self, task: TaskId, attempt: AttemptId, node: NodeId, now: Millis) {
        self.end(task, AttemptEnd::Cancelled, now);
        self.running.insert(task, Span { task, attempt, node, start: now, end: None });
    }

    /// The attempt of a task that runs has ended.
    pub(super) fn end(&mut self, task: TaskId, end: AttemptEnd, now: Millis) {
        let Some(span) = self.running.remove(&task) else { return };
        if self.ended.len() == REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back(Span { end: Some((now, end)), ..span });
    }

    /// The attempts that are remembered, those that run last.
    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        self.ended.iter().chain(self.running.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_workload::JobId;

    fn spans(timeline: &Timeline) -> Vec<(u32, u32, Option<AttemptEnd>)> {
        timeline.spans().map(|span| (span.task.index, span.attempt.0, span.end.map(|(_, end)| end))).collect()
    }

    #[test]
    fn an_attempt_runs_until_it_ends_or_the_next_one_begins() {
        let (mut timeline, node) = (Timeline::default(), NodeId("a".into()));
        let task = |index| JobId(1).task(index);
        timeline.begin(task(0), AttemptId(1), node.clone(), Millis(0));
        timeline.begin(task(1), AttemptId(1), node.clone(), Millis(1));
        timeline.end(task(0), AttemptEnd::Done, Millis(5));
        timeline.end(task(0), AttemptEnd::Lost, Millis(6));
        timeline.begin(task(1), AttemptId(2), node, Millis(7));
        assert_eq!(spans(&timeline), [(0, 1, Some(AttemptEnd::Done)), (1, 1, Some(AttemptEnd::Cancelled)), (1, 2, None)]);
    }

    #[test]
    fn what_ended_long_ago_is_forgotten() {
        let mut timeline = Timeline::default();
        for index in 0..REMEMBERED as u32 + 10 {
            timeline.begin(JobId(1).task(index), AttemptId(1), NodeId("a".into()), Millis(0));
            timeline.end(JobId(1).task(index), AttemptEnd::Done, Millis(1));
        }
        assert_eq!((timeline.spans().count(), spans(&timeline)[0].0), (REMEMBERED, 10));
    }
}
