//! Log lines as they come, told once each although a coordinator that restarts sends them again from the first.

use super::{AWAY, Client, RETRY, has_ended};
use crate::{error::Result, status};
use braid_proto::v1::{GetJobRequest, LogLine, LogsRequest};
use std::{cmp::Ordering, collections::HashMap};
use tokio::time::Instant;
use tonic::Status;

/// Which lines were told, by task: those of one task come in the order of its worker's clock, and clocks differ.
#[derive(Debug, Default)]
struct Told {
    tasks: HashMap<u32, Place>,
    /// Where only the last were wanted: the time of the first of them. Nothing before it is wanted when all come again.
    since: Option<u64>,
    again: bool,
}

/// How far the lines of a task were told.
#[derive(Debug, Default)]
struct Place {
    /// The newest time of a line, and how many lines of that time there were.
    newest: u64,
    count: u64,
    /// Lines come again: so many of the newest time have.
    again: Option<u64>,
}

impl Told {
    /// From here on lines come again.
    fn start_over(&mut self) {
        self.again = true;
        self.tasks.values_mut().for_each(|place| place.again = Some(0));
    }

    /// Whether a line was not told yet; then it is from now on.
    fn is_new(&mut self, line: &LogLine) -> bool {
        let at = line.unix_millis;
        if self.again && self.since.is_some_and(|since| at < since) {
            return false;
        }
        self.tasks.entry(line.task.unwrap_or_default().index).or_default().pass(at)
    }
}

impl Place {
    fn pass(&mut self, at: u64) -> bool {
        if let Some(again) = &mut self.again {
            *again += u64::from(at == self.newest);
            if at < self.newest || (at == self.newest && *again <= self.count) {
                return false;
            }
            // From here on lines are new, also those of another worker whose clock is behind.
            self.again = None;
        }
        match at.cmp(&self.newest) {
            Ordering::Less => {}
            Ordering::Equal => self.count += 1,
            Ordering::Greater => (self.newest, self.count) = (at, 1),
        }
        true
    }
}

impl Client {
    /// Tells the lines of a job's log, each once; with `follow` in the request also those to come, until the job has ended or
    /// `seen` fails. Outlives restarts of the coordinator, as the job does.
    pub(crate) async fn tell_lines(&self, mut request: LogsRequest, mut seen: impl FnMut(LogLine) -> Result) -> Result {
        let mut told = Told::default();
        let mut away: Option<Instant> = None;
        loop {
            let status = match self.call(async || self.jobs().logs(request.clone()).await).await {
                Err(status) => status,
                Ok(mut lines) => loop {
                    match lines.message().await {
                        Ok(Some(line)) => {
                            away = None;
                            if request.tail.is_some() {
                                told.since.get_or_insert(line.unix_millis);
                            }
                            if told.is_new(&line) {
                                seen(line)?;
                            }
                        }
                        // A coordinator that is stopped ends the stream as one whose job has ended does.
                        Ok(None) if !request.follow || self.is_over(request.id).await => return Ok(()),
                        Ok(None) => break Status::unavailable("the coordinator ended the stream"),
                        Err(status) => break status,
                    }
                },
            };
            let since = away.unwrap_or_else(Instant::now);
            if !request.follow || !status::is_passing(status.code()) || since.elapsed() > AWAY {
                return Err(status::error(&self.at, &status));
            }
            if away.replace(since).is_none() {
                tracing::debug!("lost the log at {} ({}), trying again", self.at, status.message());
            }
            told.start_over();
            if told.since.is_some() {
                request.tail = None;
            }
            tokio::time::sleep(RETRY).await;
            self.look_again().await;
        }
    }

    /// Whether the job has ended, as far as anybody says.
    async fn is_over(&self, id: u64) -> bool {
        self.ask(async || self.jobs().get(GetJobRequest { id }).await).await.is_ok_and(|job| has_ended(&job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_workload::JobId;

    fn line(index: u32, unix_millis: u64) -> LogLine {
        LogLine { task: Some(JobId(1).task(index).into()), unix_millis, ..LogLine::default() }
    }

    #[test]
    fn lines_of_a_clock_that_is_behind_are_told_as_they_come() {
        let mut told = Told::default();
        assert!([9, 3, 9, 4].into_iter().all(|at| told.is_new(&line(0, at))));
        told.start_over();
        let again = [9, 3, 9, 4, 10, 5].map(|at| told.is_new(&line(0, at)));
        assert_eq!(again, [false, false, false, false, true, true]);
    }

    #[test]
    fn lines_that_come_again_are_told_once() {
        // Two clocks, and lines of one moment.
        let all = [line(0, 5), line(1, 2), line(0, 5), line(0, 5), line(1, 3), line(0, 9), line(1, 3)];
        for broken in 0..=all.len() {
            for again in 0..=broken {
                let mut told = Told::default();
                let mut count = 0;
                for part in [&all[..broken], &all[..again], &all[..]] {
                    told.start_over();
                    count += part.iter().filter(|line| told.is_new(line)).count();
                }
                assert_eq!(count, all.len(), "broken after {broken}, then after {again}");
            }
        }
    }
}
