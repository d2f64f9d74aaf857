//! `braid token create`: something to hand to a machine that is to join, or to a person.

use crate::{client::Client, console::Console, error::Result, units, wire::ReachArgs};
use braid_proto::v1;
use std::time::Duration;

/// Make a token, for one machine to join or for a person; it is printed once
#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// How long it is good for, such as 1h or 30d
    #[arg(long, value_name = "D", default_value = "1h", value_parser = units::duration)]
    ttl: Duration,
    /// What it allows: node (one machine may join), or a person's viewer, operator or admin
    #[arg(long, value_enum, default_value = "node", value_name = "ROLE")]
    role: Role,
    /// Whose it is, as lists and the audit log show it
    #[arg(long, value_name = "NAME", default_value = "")]
    label: String,
    /// Of an operator: only jobs of this project may be submitted and cancelled with it; may be given again [default: any]
    #[arg(long = "project", value_name = "NAME")]
    projects: Vec<String>,
    #[command(flatten)]
    coordinator: ReachArgs,
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    Node,
    Viewer,
    Operator,
    Admin,
}

pub(super) async fn run(args: CreateArgs, console: &Console) -> Result {
    let role = match args.role {
        Role::Node => v1::Role::Node,
        Role::Viewer => v1::Role::Viewer,
        Role::Operator => v1::Role::Operator,
        Role::Admin => v1::Role::Admin,
    };
    // A part of a second lives on as a whole one.
    let ttl_seconds = args.ttl.as_secs() + u64::from(args.ttl.subsec_nanos() > 0);
    let request = v1::CreateTokenRequest { role: role.into(), ttl_seconds, label: args.label, projects: args.projects };
    let client = Client::connect(&args.coordinator).await?;
    let made = client.create_token(request).await?;
    let id = made.token.unwrap_or_default().id;
    let hint = match args.role {
        Role::Node => "a machine joins with: braid worker --join ADDR --data-dir DIR --token TOKEN",
        _ => "its holder sets BRAID_COORDINATOR and BRAID_TOKEN",
    };
    console.note(&format!("token {id}; {hint}"));
    console.data(&made.text)
}
