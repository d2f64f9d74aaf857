//! `braid node …`.

mod ls;

use crate::{console::Console, error::Result};

/// The word after `braid node`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum NodeVerb {
    Ls(ls::LsArgs),
}

pub(super) async fn run(verb: NodeVerb, console: &Console) -> Result {
    match verb {
        NodeVerb::Ls(args) => ls::run(args, console).await,
    }
}
