//! `braid audit`: who did what, as the coordinator that is asked has noted it.

use crate::{
    client::Client,
    console::Console,
    error::Result,
    output::{AuditList, ReadArgs, watch},
    units,
    wire::ReachArgs,
};
use std::num::NonZeroU32;

/// Show who did what
#[derive(Debug, clap::Args)]
pub(crate) struct AuditArgs {
    /// How many of the newest entries
    #[arg(long, value_name = "N", default_value = "50", value_parser = units::positive::<NonZeroU32>)]
    last: NonZeroU32,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    coordinator: ReachArgs,
}

pub(super) async fn run(args: AuditArgs, console: &Console) -> Result {
    let client = Client::connect(&args.coordinator).await?;
    watch(console, args.read, async || Ok(AuditList::new(client.audit(args.last.get()).await?))).await
}
