//! Following a job to its end, and saying how it ended. The first signal cancels it, the second ends this process.

use super::Shows;
use crate::{
    client::Client,
    console::Console,
    error::{Error, Result},
    progress::Progress,
    signals::{Signals, interrupted},
    units::show_duration,
};
use braid_proto::v1::{Job, JobState, LogLine, LogsRequest};
use std::{path::Path, pin::pin, time::Duration};

/// How long lines may take that were on their way when the job ended.
const LINES_WITHIN: Duration = Duration::from_secs(2);
/// How long a cancelled job may take to stop: a task looks at its flag ten times a second.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Returns the job when it has ended. `broken` resolves when the fleet it runs on cannot go on.
pub(super) async fn to_the_end(
    client: &Client,
    id: u64,
    shows: Shows,
    signals: &mut Signals,
    broken: impl Future<Output = Error>,
    console: &Console,
) -> Result<Job> {
    let mut progress = Progress::new(console);
    let ended = {
        let follow = client.follow(id, |job| match shows {
            Shows::Progress => progress.show(job),
            Shows::Lines => {}
        });
        let mut follow = pin!(with_lines(follow, lines(client, id, shows, console)));
        tokio::select! {
            ended = &mut follow => ended,
            error = broken => Err(error),
            () = signals.next() => {
                signals.next_ends_the_process();
                console.note("cancelling; once more to quit at once");
                match client.cancel(id).await {
                    // It may have ended by itself meanwhile; then that is how it ended.
                    Ok(_) => match tokio::time::timeout(STOP_WITHIN, follow).await {
                        Ok(Ok(job)) if job.state() != JobState::Cancelled => Ok(job),
                        _ => Err(stopped()),
                    },
                    Err(_) => Err(stopped()),
                }
            }
        }
    };
    progress.finish();
    ended
}

/// Follows a job while its lines are told; those that are on their way when it ends are still told.
async fn with_lines(follow: impl Future<Output = Result<Job>>, lines: impl Future<Output = Result>) -> Result<Job> {
    let (mut follow, mut lines) = (pin!(follow), pin!(lines));
    tokio::select! {
        ended = &mut follow => {
            // Whatever became of them: how the job ended is what counts.
            let _ = tokio::time::timeout(LINES_WITHIN, lines).await;
            ended
        }
        _ = &mut lines => follow.await,
    }
}

/// Ends with the lines, or with whoever follows the job beside it.
async fn lines(client: &Client, id: u64, shows: Shows, console: &Console) -> Result {
    if shows != Shows::Lines {
        return Ok(());
    }
    let request = LogsRequest { id, follow: true, ..LogsRequest::default() };
    let tell = |line: LogLine| {
        console.note(&line.text);
        Ok(())
    };
    client.tell_lines(request, tell).await
}

fn stopped() -> Error {
    interrupted().with_hint("what is done is kept: the same command goes on where this one stopped")
}

/// Says where the result is.
pub(super) fn conclude(job: &Job, out: &Path, took: Duration, console: &Console) -> Result {
    if console.is_quiet() {
        return Ok(());
    }
    console.data(&summary(job, out, took))
}

/// `merged 4 checkpoints into out (291 tensors, 514.3 MB), took 1.2 s`
fn summary(job: &Job, out: &Path, took: Duration) -> String {
    let what = job.summary.clone().unwrap_or_else(|| format!("merged into {}", out.display()));
    format!("{what}, took {}", show_duration(took))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_how_long_it_took() {
        let job = Job { summary: Some("merged 2 checkpoints into out".into()), ..Default::default() };
        let took = Duration::from_millis(1240);
        assert_eq!(summary(&job, Path::new("out"), took), "merged 2 checkpoints into out, took 1.2 s");
        assert_eq!(summary(&Job::default(), Path::new("/x/out"), took), "merged into /x/out, took 1.2 s");
    }
}
