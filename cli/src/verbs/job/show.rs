//! `braid job show`: one job, and its tasks where wanted.

use crate::{
    client::{Client, JobRef},
    console::Console,
    error::Result,
    output::{JobShow, ReadArgs, watch},
    wire::ReachArgs,
};

/// Show a job
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// The job's number, or `last`
    id: JobRef,
    /// Show its tasks as well
    #[arg(long)]
    tasks: bool,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    coordinator: ReachArgs,
}

pub(super) async fn run(args: ShowArgs, console: &Console) -> Result {
    let client = Client::connect(&args.coordinator).await?;
    // `last` means the newest now: a watch stays with it.
    let id = JobRef::Id(client.resolve(args.id).await?);
    watch(console, args.read, async || {
        let job = client.job(id).await?;
        let tasks = if args.tasks { Some(client.tasks(job.id).await?) } else { None };
        Ok(JobShow::new(job, tasks))
    })
    .await
}
