//! `braid job explain`: why a job waits, what would let it start, and what more nodes would change.

use crate::{
    client::{Client, JobRef},
    console::Console,
    error::Result,
    output::{ExplanationView, ReadArgs, watch},
    wire::ReachArgs,
};
use braid_coordinator::placement::MoreNodes;

/// Say why a job waits, and what would change that
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// The job's number, or `last`
    id: JobRef,
    /// As if there were so many more nodes, such as 4xH100 with the kind of their GPUs
    #[arg(long, value_name = "N[xKIND]")]
    with_nodes: Option<MoreNodes>,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    coordinator: ReachArgs,
}

pub(super) async fn run(args: ExplainArgs, console: &Console) -> Result {
    let client = Client::connect(&args.coordinator).await?;
    let id = client.resolve(args.id).await?;
    let more = args.with_nodes.map(|more| more.to_string());
    watch(console, args.read, async || {
        let explained = client.explain(id, more.clone().unwrap_or_default()).await?;
        Ok(ExplanationView::new(explained, more.clone()))
    })
    .await
}
