//! `braid job ls`: the jobs that the coordinator knows.

use crate::{
    client::Client,
    console::Console,
    error::Result,
    output::{JobList, ReadArgs, watch},
    wire::ReachArgs,
};

/// List jobs
#[derive(Debug, clap::Args)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    coordinator: ReachArgs,
}

pub(super) async fn run(args: LsArgs, console: &Console) -> Result {
    let client = Client::connect(&args.coordinator).await?;
    watch(console, args.read, async || Ok(JobList::new(client.list_jobs().await?))).await
}
