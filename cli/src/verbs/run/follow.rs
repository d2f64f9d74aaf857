//! Following programs to their end: what they print goes where they would have printed it, and how they ended is how this
//! command ends. The first signal cancels the job, the second ends this process.

use crate::{
    client::{Client, verdict},
    console::Console,
    error::{Error, Result},
    exit::Exit,
    signals::{Signals, interrupted},
};
use braid_command::CommandSpec;
use braid_proto::v1::{Job, JobState, LogLine, LogSource, LogsRequest};
use std::{pin::pin, time::Duration};

/// How long lines may take that were on their way when the job ended.
const LINES_WITHIN: Duration = Duration::from_secs(60);
/// How long a cancelled job may take to stop beyond the grace of its programs.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// How lines are shown, and what an end means.
#[derive(Debug)]
pub(super) struct Style {
    /// Programs that start together; none for those on their own.
    gang: Option<u32>,
    /// The first number of an array.
    array: Option<u32>,
    grace: Duration,
}

impl Style {
    pub(super) fn of(spec: &CommandSpec) -> Self {
        Self { gang: spec.gang, array: spec.array.map(|array| *array.indices().start()), grace: spec.stops_within() }
    }

    /// Who says a line, where there are several: the number in the array, the rank in the gang.
    fn label(&self, line: &LogLine) -> String {
        let index = line.task.as_ref().map_or(0, |task| task.index);
        match (self.array, self.gang) {
            (None, None) => String::new(),
            (None, Some(_)) => format!("[{index}] "),
            (Some(first), None) => format!("[{}] ", first.saturating_add(index)),
            (Some(first), Some(size)) => {
                let size = size.max(1);
                format!("[{}.{}] ", first.saturating_add(index / size), index % size)
            }
        }
    }
}

/// Returns the job when it has ended. `broken` resolves when the fleet it runs on cannot go on.
pub(super) async fn to_the_end(
    client: &Client,
    id: u64,
    style: &Style,
    signals: &mut Signals,
    broken: impl Future<Output = Error>,
    console: &Console,
) -> Result<Job> {
    let mut work = pin!(with_lines(client.follow(id, |_| {}), lines(client, id, style, console)));
    tokio::select! {
        ended = &mut work => {
            if ended.is_err() {
                // Nobody reads what it prints, or nobody will know how it ended: what can be done is asked for.
                let _ = client.cancel(id).await;
            }
            ended
        }
        error = broken => Err(error),
        () = signals.next() => {
            signals.next_ends_the_process();
            console.note("cancelling; once more to quit at once");
            client.cancel(id).await.map_err(|_| interrupted())?;
            // It may have ended by itself meanwhile; then that is how it ended.
            match tokio::time::timeout(style.grace + STOP_WITHIN, work).await {
                Ok(Ok(job)) if job.state() != JobState::Cancelled => Ok(job),
                _ => Err(interrupted()),
            }
        }
    }
}

/// Follows a job while its lines are told; those that are on their way when it ends are still told. A reader that has gone ends
/// it.
async fn with_lines(follow: impl Future<Output = Result<Job>>, lines: impl Future<Output = Result>) -> Result<Job> {
    let (mut follow, mut lines) = (pin!(follow), pin!(lines));
    tokio::select! {
        ended = &mut follow => {
            if let Ok(told) = tokio::time::timeout(LINES_WITHIN, lines).await {
                told?;
            }
            ended
        }
        told = &mut lines => match told {
            Err(gone) if gone.exit == Exit::Ok => Err(gone),
            // A log that cannot be read: how the job ends is what counts.
            _ => follow.await,
        }
    }
}

async fn lines(client: &Client, id: u64, style: &Style, console: &Console) -> Result {
    let tell = |line: LogLine| {
        let text = format!("{}{}", style.label(&line), line.text);
        match line.source() {
            LogSource::Task => console.note(&text),
            LogSource::Stdout => console.line_out(&text)?,
            LogSource::Stderr => console.line_err(&text),
        }
        Ok(())
    };
    client.tell_lines(LogsRequest { id, follow: true, ..LogsRequest::default() }, tell).await
}

/// Ends as the program did, where there is one.
pub(super) fn conclude(job: Job, style: &Style, prefix: &str, console: &Console) -> Result {
    let single = style.gang.is_none() && style.array.is_none();
    if let Some(failure) = &job.failure {
        let code = failure.exit.and_then(|code| u8::try_from(code).ok()).filter(|code| single && *code > 0);
        let exit = code.map_or(Exit::JobFailed, Exit::Program);
        return Err(Error { exit, message: format!("{prefix}{}", failure.message), hint: failure.hint.clone() });
    }
    verdict(&job)?;
    if !single {
        console.note(&format!("{prefix}{}", job.summary.unwrap_or_default()));
    }
    Ok(())
}
