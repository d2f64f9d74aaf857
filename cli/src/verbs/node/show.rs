//! `braid node show`: one machine, as its worker and operators describe it.

use crate::{
    client::Client,
    console::Console,
    error::Result,
    output::{NodeShow, ReadArgs, watch},
    wire::ReachArgs,
};

/// Show one node
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Name of the node, as `braid node ls` prints it
    #[arg(value_name = "NODE")]
    name: String,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    coordinator: ReachArgs,
}

pub(super) async fn run(args: ShowArgs, console: &Console) -> Result {
    let client = Client::connect(&args.coordinator).await?;
    watch(console, args.read, async || Ok(NodeShow::new(client.node(&args.name).await?))).await
}
