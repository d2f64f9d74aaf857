//! `braid node …`.

mod change;
mod label;
mod ls;
mod revoke;
mod show;

use crate::{console::Console, error::Result};

/// The word after `braid node`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum NodeVerb {
    Ls(ls::LsArgs),
    Revoke(revoke::RevokeArgs),
    Show(show::ShowArgs),
    Cordon(change::CordonArgs),
    Uncordon(change::UncordonArgs),
    Drain(change::DrainArgs),
    Label(label::LabelArgs),
}

pub(super) async fn run(verb: NodeVerb, console: &Console) -> Result {
    match verb {
        NodeVerb::Ls(args) => ls::run(args, console).await,
        NodeVerb::Revoke(args) => revoke::run(args, console).await,
        NodeVerb::Show(args) => show::run(args, console).await,
        NodeVerb::Cordon(args) => change::cordon(args, console).await,
        NodeVerb::Uncordon(args) => change::uncordon(args, console).await,
        NodeVerb::Drain(args) => change::drain(args, console).await,
        NodeVerb::Label(args) => label::run(args, console).await,
    }
}
