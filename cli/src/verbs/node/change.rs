//! `braid node cordon`, `uncordon`, `drain`: whether nodes are given tasks.

use crate::{client::Client, console::Console, error::Result, units, verbs::for_each, wire::ReachArgs};
use braid_proto::v1::change_node_request::{Change, Cordon, Drain, Uncordon};
use std::time::Duration;

/// Which nodes.
#[derive(Debug, clap::Args)]
struct Nodes {
    /// Names of nodes, as `braid node ls` prints them
    #[arg(value_name = "NODE", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    coordinator: ReachArgs,
}

/// Give nodes nothing new; what they run goes on
#[derive(Debug, clap::Args)]
pub(crate) struct CordonArgs {
    #[command(flatten)]
    nodes: Nodes,
}

/// Give nodes tasks again
#[derive(Debug, clap::Args)]
pub(crate) struct UncordonArgs {
    #[command(flatten)]
    nodes: Nodes,
}

/// Give nodes nothing new, and after a deadline give what they still run to others
#[derive(Debug, clap::Args)]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    nodes: Nodes,
    /// How long what runs may go on, such as 10m [default: as long as it takes]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    deadline: Option<Duration>,
}

pub(super) async fn cordon(args: CordonArgs, console: &Console) -> Result {
    change(args.nodes, &Change::Cordon(Cordon {}), "is cordoned", console).await
}

pub(super) async fn uncordon(args: UncordonArgs, console: &Console) -> Result {
    change(args.nodes, &Change::Uncordon(Uncordon {}), "is given tasks again", console).await
}

pub(super) async fn drain(args: DrainArgs, console: &Console) -> Result {
    let within_millis = args.deadline.map(|deadline| u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX));
    change(args.nodes, &Change::Drain(Drain { within_millis }), "drains", console).await
}

async fn change(nodes: Nodes, change: &Change, done: &str, console: &Console) -> Result {
    let client = Client::connect(&nodes.coordinator).await?;
    for_each(nodes.names, console, async |name| {
        let node = client.change_node(&name, change.clone()).await?;
        let running = match node.tasks_running {
            0 => String::new(),
            1 => "; it still has 1 task".to_owned(),
            count => format!("; it still has {count} tasks"),
        };
        console.note(&format!("node {name} {done}{running}"));
        Ok(())
    })
    .await
}
