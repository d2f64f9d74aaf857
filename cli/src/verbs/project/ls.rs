//! `braid project ls`: projects, their share and quota, and what they use.

use crate::{
    client::Client,
    console::Console,
    error::Result,
    output::{ProjectList, ReadArgs, watch},
    wire::ReachArgs,
};

/// List projects
#[derive(Debug, clap::Args)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    coordinator: ReachArgs,
}

pub(super) async fn run(args: LsArgs, console: &Console) -> Result {
    let client = Client::connect(&args.coordinator).await?;
    watch(console, args.read, async || Ok(ProjectList::new(client.list_projects().await?))).await
}
