//! `braid node ls`: the machines whose workers are, or were lately, here.

use crate::{
    client::Client,
    console::Console,
    error::Result,
    output::{NodeList, ReadArgs, watch},
    wire::ReachArgs,
};

/// List nodes
#[derive(Debug, clap::Args)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    coordinator: ReachArgs,
}

pub(super) async fn run(args: LsArgs, console: &Console) -> Result {
    let client = Client::connect(&args.coordinator).await?;
    watch(console, args.read, async || Ok(NodeList::new(client.list_nodes().await?))).await
}
