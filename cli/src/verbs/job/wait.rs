//! `braid job wait`: until a job ends, with its end as the exit code.

use crate::{
    client::{Client, JobRef, has_ended, verdict},
    console::Console,
    error::{Error, Result},
    exit::Exit,
    progress::Progress,
    units,
    wire::ReachArgs,
};
use std::time::Duration;

/// Wait until a job ends; fails when the job does
#[derive(Debug, clap::Args)]
pub(crate) struct WaitArgs {
    /// The job's number, or `last`
    id: JobRef,
    /// Give up after so long
    #[arg(long, value_name = "D", value_parser = units::duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    coordinator: ReachArgs,
}

pub(super) async fn run(args: WaitArgs, console: &Console) -> Result {
    let client = Client::connect(&args.coordinator).await?;
    let job = client.job(args.id).await?;
    let id = job.id;
    if !has_ended(&job) {
        console.note(&format!("job {id}: {}", job.label));
    }
    let mut progress = Progress::new(console);
    let end = {
        let follow = client.follow(id, |job| progress.show(job));
        match args.timeout {
            None => Some(follow.await),
            Some(timeout) => tokio::time::timeout(timeout, follow).await.ok(),
        }
    };
    progress.finish();
    match (end, args.timeout) {
        (Some(job), _) => {
            let job = job?;
            verdict(&job)?;
            console.note(&format!("job {id} is done: {}", job.summary.as_deref().unwrap_or(&job.label)));
            Ok(())
        }
        (None, timeout) => {
            let waited = humantime::format_duration(timeout.unwrap_or_default());
            Err(Error::new(Exit::TimedOut, format!("job {id} has not ended within {waited}"))
                .with_hint(format!("it goes on; `braid job show {id}` says how far it is")))
        }
    }
}
