//! `braid node …`.

mod ls;
mod revoke;

use crate::{console::Console, error::Result};

/// The word after `braid node`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum NodeVerb {
    Ls(ls::LsArgs),
    Revoke(revoke::RevokeArgs),
}

pub(super) async fn run(verb: NodeVerb, console: &Console) -> Result {
    match verb {
        NodeVerb::Ls(args) => ls::run(args, console).await,
        NodeVerb::Revoke(args) => revoke::run(args, console).await,
    }
}
