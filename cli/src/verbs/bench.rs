//! `braid bench`: how many empty tasks a second the coordinator and its workers get through. Not for users: the
//! figures in docs/performance.md come from here.

use crate::{
    client::{Client, verdict},
    console::Console,
    error::{Error, Result},
    output::SCHEMA,
    request_id,
    wire::ReachArgs,
};
use serde::Serialize;
use std::time::Instant;

/// Measure the rate of empty tasks
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct BenchArgs {
    /// How many tasks
    #[arg(long, default_value_t = 10_000)]
    tasks: u32,
    /// How long each sleeps, in milliseconds
    #[arg(long, default_value_t = 0)]
    millis: u64,
    #[command(flatten)]
    coordinator: ReachArgs,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Figures {
    schema: &'static str,
    job: u64,
    tasks: u32,
    submit_seconds: f64,
    seconds: f64,
    tasks_per_second: f64,
}

pub(super) async fn run(args: BenchArgs, console: &Console) -> Result {
    let client = Client::connect(&args.coordinator).await?;
    let spec = serde_json::json!({"tasks": args.tasks, "millis": args.millis}).to_string();
    let start = Instant::now();
    let job = client.submit(braid_noop::KIND, spec, request_id::random()).await?;
    let submitted = start.elapsed();
    let job = client.follow(job.id, |_| {}).await?;
    let seconds = start.elapsed().as_secs_f64();
    verdict(&job)?;
    let figures = Figures {
        schema: SCHEMA,
        job: job.id,
        tasks: args.tasks,
        submit_seconds: submitted.as_secs_f64(),
        seconds,
        tasks_per_second: f64::from(args.tasks) / seconds,
    };
    let line =
        serde_json::to_string(&figures).map_err(|error| Error::unavailable(format!("cannot write the figures: {error}")))?;
    console.data(&line)
}
