//! `braid completions`: what a shell needs to complete the command line.

use crate::{console::Console, error::Result};
use clap::CommandFactory;
use clap_complete::Shell;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell that will read them
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: CompletionsArgs, console: &Console) -> Result {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "braid", &mut text);
    console.data(&String::from_utf8_lossy(&text))
}
