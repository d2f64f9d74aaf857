//! Log lines that wait to be sent. Bounded: when the coordinator is away for long the oldest go, and are counted.

use crate::executor::Line;
use braid_workload::{LogSource, TaskId};
use std::collections::{BTreeMap, VecDeque};

/// Lines that are kept, and tasks whose lost lines are counted.
const KEPT: usize = 4096;
/// Lines that wait until a coordinator that is there is told no more of them: what the executor then hands over still fits.
const ENOUGH: usize = KEPT / 2;

/// Lines in their order, each with its place among all that happened.
#[derive(Debug, Default)]
pub(super) struct Lines {
    waiting: VecDeque<(u64, Line)>,
    lost: BTreeMap<TaskId, Lost>,
}

#[derive(Debug)]
struct Lost {
    count: u64,
    last_millis: u64,
}

impl Lines {
    /// Adds a line as the `place`-th thing that happened.
    pub(super) fn push(&mut self, place: u64, line: Line) {
        self.waiting.push_back((place, line));
        while self.waiting.len() > KEPT {
            let Some((_, line)) = self.waiting.pop_front() else { break };
            let lost = self.lost.entry(line.task).or_insert(Lost { count: 0, last_millis: 0 });
            lost.count = lost.count.saturating_add(1);
            lost.last_millis = line.unix_millis;
        }
        while self.lost.len() > KEPT {
            self.lost.pop_first();
        }
    }

    /// Whether more lines would only pile up.
    pub(super) fn is_enough(&self) -> bool {
        self.waiting.len() >= ENOUGH
    }

    /// The place of the next line; what stands for lost lines comes before all others.
    pub(super) fn place(&self) -> Option<u64> {
        if self.lost.is_empty() { self.waiting.front().map(|(place, _)| *place) } else { Some(0) }
    }

    /// Takes the next line out.
    pub(super) fn pop(&mut self) -> Option<Line> {
        if let Some((task, Lost { count, last_millis })) = self.lost.pop_first() {
            let text = format!("[lines lost while the coordinator was out of reach: {count}]");
            return Some(Line { task, text, unix_millis: last_millis, source: LogSource::Task });
        }
        self.waiting.pop_front().map(|(_, line)| line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_workload::JobId;

    #[test]
    fn the_newest_lines_stay_and_the_rest_is_counted_by_task() {
        let mut lines = Lines::default();
        let line = |index: u32, unix_millis| Line {
            task: JobId(1).task(index),
            text: "x".into(),
            unix_millis,
            source: LogSource::Stdout,
        };
        for place in 0..KEPT as u64 + 5 {
            lines.push(place, line(u32::from(place >= 3), place));
        }
        assert_eq!(lines.place(), Some(0));
        let lost = |lines: &mut Lines| lines.pop().map(|line| (line.task.index, line.text, line.unix_millis));
        assert_eq!(lost(&mut lines), Some((0, "[lines lost while the coordinator was out of reach: 3]".into(), 2)));
        assert_eq!(lost(&mut lines), Some((1, "[lines lost while the coordinator was out of reach: 2]".into(), 4)));
        assert_eq!(lines.place(), Some(5));
        for place in 5..KEPT as u64 + 5 {
            assert_eq!(lines.pop(), Some(line(1, place)));
        }
        assert_eq!((lines.pop(), lines.place()), (None, None));
    }

    #[test]
    fn neither_lines_nor_counts_grow_without_bound() {
        let mut lines = Lines::default();
        for index in 0..5 * KEPT as u32 {
            lines.push(
                index.into(),
                Line { task: JobId(1).task(index), text: String::new(), unix_millis: 0, source: LogSource::Task },
            );
        }
        assert_eq!(std::iter::from_fn(|| lines.pop()).count(), 2 * KEPT);
    }
}
