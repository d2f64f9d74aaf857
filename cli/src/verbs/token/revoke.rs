//! `braid token revoke`: what was handed out is worth nothing any more.

use crate::{client::Client, console::Console, error::Result, verbs::for_each, wire::ReachArgs};

/// End tokens before their time
#[derive(Debug, clap::Args)]
pub(crate) struct RevokeArgs {
    /// Tokens as `braid token ls` names them
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    coordinator: ReachArgs,
}

pub(super) async fn run(args: RevokeArgs, console: &Console) -> Result {
    let client = Client::connect(&args.coordinator).await?;
    for_each(args.ids, console, async |id| {
        let token = client.revoke_token(id).await?;
        console.note(&format!("token {} is revoked", token.id));
        Ok(())
    })
    .await
}
