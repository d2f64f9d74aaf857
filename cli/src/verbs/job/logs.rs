//! `braid job logs`: what a job's tasks have to say.

use crate::{
    client::{Client, JobRef},
    console::{Console, harmless},
    error::{Error, Result},
    output::SCHEMA,
    units,
    wire::ReachArgs,
};
use braid_proto::v1::{self, LogLine};
use braid_workload::{LogSource, TaskId};
use serde::Serialize;
use std::time::{Duration, UNIX_EPOCH};

/// Print the log of a job
#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    /// The job's number, or `last`
    id: JobRef,
    /// Go on until the job ends
    #[arg(short, long)]
    follow: bool,
    /// Only the lines of this task, by its number within the job; may be given again
    #[arg(short, long = "task", value_name = "N", value_parser = units::whole::<u32>)]
    tasks: Vec<u32>,
    /// Of the lines so far only the last
    #[arg(short = 'n', long, value_name = "N", value_parser = units::whole::<u64>)]
    tail: Option<u64>,
    /// Begin each line with its time (UTC)
    #[arg(long)]
    timestamps: bool,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: Form,
    #[command(flatten)]
    coordinator: ReachArgs,
}

/// How a line is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// The task and its words.
    Text,
    /// A JSON document a line.
    Json,
}

/// A line in the stable schema.
#[derive(Debug, Serialize)]
struct Line<'a> {
    schema: &'static str,
    task: String,
    unix_millis: u64,
    source: LogSource,
    text: &'a str,
}

pub(super) async fn run(args: LogsArgs, console: &Console) -> Result {
    let client = Client::connect(&args.coordinator).await?;
    let id = client.resolve(args.id).await?;
    let request = v1::LogsRequest { id, follow: args.follow, tasks: args.tasks, tail: args.tail };
    let tell = |line: LogLine| {
        console.data(&match args.output {
            Form::Text => text(&line, args.timestamps),
            Form::Json => json(&line)?,
        })
    };
    client.tell_lines(request, tell).await
}

fn text(line: &LogLine, timestamps: bool) -> String {
    let task = TaskId::from(line.task.unwrap_or_default());
    let words = harmless(&line.text);
    if timestamps { format!("{}  {task}  {words}", time(line.unix_millis)) } else { format!("{task}  {words}") }
}

fn json(line: &LogLine) -> Result<String> {
    let view = Line {
        schema: SCHEMA,
        task: TaskId::from(line.task.unwrap_or_default()).to_string(),
        unix_millis: line.unix_millis,
        source: line.source().into(),
        text: &line.text,
    };
    serde_json::to_string(&view).map_err(|error| Error::unavailable(format!("cannot write the output: {error}")))
}

/// A peer's clock may say anything: what no calendar holds is shown as a number.
fn time(unix_millis: u64) -> String {
    const YEAR_9999: u64 = 253_402_300_800_000;
    if unix_millis >= YEAR_9999 {
        return unix_millis.to_string();
    }
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(unix_millis)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_workload::JobId;

    #[test]
    fn a_line_is_shown_for_people_and_for_programs() {
        let line = |unix_millis| LogLine {
            task: Some(JobId(7).task(3).into()),
            text: "step 1\u{1b}[2J \"x\"".into(),
            unix_millis,
            source: v1::LogSource::Stdout.into(),
        };
        let shown = text(&line(1_700_000_000_123), true);
        assert!(shown.starts_with("2023-11-14T22:13:20.123Z  7.3  step 1"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        assert!(text(&line(0), false).starts_with("7.3  step 1"));
        assert!(text(&line(u64::MAX), true).starts_with("18446744073709551615  7.3"));
        let document: serde_json::Value = serde_json::from_str(&json(&line(5)).unwrap()).unwrap();
        let expected = serde_json::json!({
            "schema": "braid/v1", "task": "7.3", "unix_millis": 5, "source": "stdout", "text": "step 1\u{1b}[2J \"x\""
        });
        assert_eq!(document, expected);
    }
}
