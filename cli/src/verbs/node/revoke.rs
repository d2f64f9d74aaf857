//! `braid node revoke`: puts a machine out of the fleet.

use crate::{client::Client, console::Console, error::Result, wire::ReachArgs};

/// Put a node out: its certificate is worth nothing any more
///
/// Its session ends, and what it runs goes to others when its lease is over. It can join again with a new token.
#[derive(Debug, clap::Args)]
pub(crate) struct RevokeArgs {
    /// The node, as `braid node ls` names it
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    coordinator: ReachArgs,
}

pub(super) async fn run(args: RevokeArgs, console: &Console) -> Result {
    let client = Client::connect(&args.coordinator).await?;
    let revoked = client.revoke_node(args.name).await?;
    console.note(&format!("node {} is revoked", revoked.node));
    Ok(())
}
