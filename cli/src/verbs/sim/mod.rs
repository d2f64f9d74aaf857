//! `braid sim`: what was recorded, once more.

mod replay;

use crate::{console::Console, error::Result};

/// The word after `braid sim`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum SimVerb {
    Replay(replay::ReplayArgs),
}

pub(super) fn run(verb: SimVerb, console: &Console) -> Result {
    match verb {
        SimVerb::Replay(args) => replay::run(&args, console),
    }
}
