//! `braid token …`.

mod create;
mod ls;
mod revoke;

use crate::{console::Console, error::Result};

/// The word after `braid token`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum TokenVerb {
    Create(create::CreateArgs),
    Ls(ls::LsArgs),
    Revoke(revoke::RevokeArgs),
}

pub(super) async fn run(verb: TokenVerb, console: &Console) -> Result {
    match verb {
        TokenVerb::Create(args) => create::run(args, console).await,
        TokenVerb::Ls(args) => ls::run(args, console).await,
        TokenVerb::Revoke(args) => revoke::run(args, console).await,
    }
}
