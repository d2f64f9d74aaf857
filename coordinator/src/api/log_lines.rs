//! The lines of a job's log for one client: those so far, and, where it follows, those to come.

use super::jobs::{is_over, look};
use crate::{logs::Logs, runtime::Handle};
use braid_proto::v1::LogLine;
use braid_workload::JobId;
use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};
use tokio::sync::mpsc;
use tonic::Status;

/// How often a followed log is looked at.
const LOG_PACE: Duration = Duration::from_millis(100);
/// The least pause between two looks, when the job changes often.
const LOG_REST: Duration = Duration::from_millis(20);

/// Which lines a client wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Of these tasks; of all where there is none.
    tasks: BTreeSet<u32>,
    /// Of the lines so far only the last; `None` once they have been sent.
    tail: Option<usize>,
    kept: VecDeque<LogLine>,
}

impl Wanted {
    pub(super) fn new(tasks: impl IntoIterator<Item = u32>, tail: Option<u64>) -> Self {
        let tail = tail.map(|tail| usize::try_from(tail).unwrap_or(usize::MAX));
        Self { tasks: tasks.into_iter().collect(), tail, kept: VecDeque::new() }
    }

    /// What of these lines is to be sent now; `caught_up`: they are the last so far.
    ///
    /// Holds no more than a file of a log does.
    fn take(&mut self, lines: Vec<LogLine>, caught_up: bool) -> Vec<LogLine> {
        let of_task = |line: &LogLine| line.task.is_some_and(|task| self.tasks.contains(&task.index));
        let lines = lines.into_iter().filter(|line| self.tasks.is_empty() || of_task(line));
        let Some(tail) = self.tail else { return lines.collect() };
        self.kept.extend(lines);
        self.kept.drain(..self.kept.len().saturating_sub(tail));
        if !caught_up {
            return Vec::new();
        }
        self.tail = None;
        std::mem::take(&mut self.kept).into()
    }
}

/// Sends them, until the job is over, nobody listens or, without `follow`, all so far are sent.
pub(super) async fn send(
    handle: &Handle,
    logs: &Logs,
    job: JobId,
    follow: bool,
    mut wanted: Wanted,
    send: &mpsc::Sender<Result<LogLine, Status>>,
) {
    let (mut at, mut changes) = (0, handle.changes());
    loop {
        // Whether it is over is asked before reading, so that what was written until then is read.
        let last = !follow || !matches!(look(handle, job).await, Ok(Ok(view)) if !is_over(&view));
        let (lines, next) = match logs.read(job, at).await {
            Ok(read) => read,
            Err(error) => {
                // Nobody may listen any more; then there is nobody to tell.
                let _ = send.send(Err(Status::internal(format!("the log of job {job} cannot be read: {error}")))).await;
                return;
            }
        };
        at = next;
        let more = !lines.is_empty();
        for line in wanted.take(lines, !more) {
            if send.send(Ok(line)).await.is_err() {
                return;
            }
        }
        match (more, last) {
            (true, _) => {}
            (false, true) => return,
            (false, false) => {
                tokio::time::sleep(LOG_REST).await;
                // A job that ends does not wait for the clock; a driver that is gone shows at the next look.
                let _ = tokio::time::timeout(LOG_PACE, changes.changed()).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(of: &[(u32, &str)]) -> Vec<LogLine> {
        let line = |(index, text): &(u32, &str)| LogLine {
            task: Some(JobId(1).task(*index).into()),
            text: (*text).to_owned(),
            ..LogLine::default()
        };
        of.iter().map(line).collect()
    }

    /// What is sent of two pieces read, then nothing, then one more.
    fn sent(tasks: &[u32], tail: Option<u64>) -> Vec<Vec<String>> {
        let mut wanted = Wanted::new(tasks.iter().copied(), tail);
        let reads: [&[(u32, &str)]; 4] = [&[(0, "a"), (1, "b"), (0, "c")], &[(1, "d"), (2, "e")], &[], &[(0, "f"), (1, "g")]];
        let take = |read: &[(u32, &str)]| wanted.take(lines(read), read.is_empty());
        reads.map(take).map(|lines| lines.into_iter().map(|line| line.text).collect()).into()
    }

    #[test]
    fn a_client_gets_the_lines_it_wants() {
        assert_eq!(sent(&[], None), [vec!["a", "b", "c"], vec!["d", "e"], vec![], vec!["f", "g"]]);
        assert_eq!(sent(&[1, 2], None), [vec!["b"], vec!["d", "e"], vec![], vec!["g"]]);
        assert_eq!(sent(&[], Some(3)), [vec![], vec![], vec!["c", "d", "e"], vec!["f", "g"]]);
        assert_eq!(sent(&[0], Some(1)), [vec![], vec![], vec!["c"], vec!["f"]]);
        assert_eq!(sent(&[], Some(0)), [vec![], vec![], vec![], vec!["f", "g"]]);
        assert_eq!(sent(&[1], Some(u64::MAX)), [vec![], vec![], vec!["b", "d"], vec!["g"]]);
        assert_eq!(sent(&[9], Some(5)), [vec![""; 0], vec![], vec![], vec![]]);
    }
}
