//! `braid token ls`: the tokens that are good for something, never what they are.

use crate::{
    client::Client,
    console::Console,
    error::Result,
    output::{ReadArgs, TokenList, watch},
    wire::ReachArgs,
};

/// List tokens
#[derive(Debug, clap::Args)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    coordinator: ReachArgs,
}

pub(super) async fn run(args: LsArgs, console: &Console) -> Result {
    let client = Client::connect(&args.coordinator).await?;
    watch(console, args.read, async || Ok(TokenList::new(client.list_tokens().await?))).await
}
