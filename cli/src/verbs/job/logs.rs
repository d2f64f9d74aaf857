//! `braid job logs`: what a job's tasks have to say.

use crate::{
    client::{Client, JobRef},
    console::{Console, harmless},
    error::Result,
    wire::ReachArgs,
};
use braid_workload::TaskId;

/// Print the log of a job
#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    /// The job's number, or `last`
    id: JobRef,
    /// Go on until the job ends
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    coordinator: ReachArgs,
}

pub(super) async fn run(args: LogsArgs, console: &Console) -> Result {
    let client = Client::connect(&args.coordinator).await?;
    let id = client.resolve(args.id).await?;
    let mut lines = client.logs(id, args.follow).await?;
    while let Some(line) = lines.next().await? {
        let task = TaskId::from(line.task.unwrap_or_default());
        console.data(&format!("{task}  {}", harmless(&line.text)))?;
    }
    Ok(())
}
