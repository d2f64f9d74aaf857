//! `braid job …`.

mod cancel;
mod explain;
mod logs;
mod ls;
mod show;
mod wait;

use crate::{console::Console, error::Result};

/// The word after `braid job`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum JobVerb {
    Ls(ls::LsArgs),
    Show(show::ShowArgs),
    Explain(explain::ExplainArgs),
    Logs(logs::LogsArgs),
    Wait(wait::WaitArgs),
    Cancel(cancel::CancelArgs),
}

pub(super) async fn run(verb: JobVerb, console: &Console) -> Result {
    match verb {
        JobVerb::Ls(args) => ls::run(args, console).await,
        JobVerb::Show(args) => show::run(args, console).await,
        JobVerb::Explain(args) => explain::run(args, console).await,
        JobVerb::Logs(args) => logs::run(args, console).await,
        JobVerb::Wait(args) => wait::run(args, console).await,
        JobVerb::Cancel(args) => cancel::run(args, console).await,
    }
}
