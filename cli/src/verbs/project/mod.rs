//! `braid project …`: in whose name jobs run, and how much that may be.

mod ls;
mod set;

use crate::{console::Console, error::Result};

/// The word after `braid project`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ProjectVerb {
    Ls(ls::LsArgs),
    Set(set::SetArgs),
}

pub(super) async fn run(verb: ProjectVerb, console: &Console) -> Result {
    match verb {
        ProjectVerb::Ls(args) => ls::run(args, console).await,
        ProjectVerb::Set(args) => set::run(args, console).await,
    }
}
