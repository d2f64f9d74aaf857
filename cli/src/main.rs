//! `braid`: merge checkpoints on a laptop, or run a fleet. This crate is the command line alone: it parses, asks a
//! coordinator (its own or another's), and prints. What is decided and computed lives in the crates below it.
//!
//! ```text
//! main ─▶ verbs/* ─▶ client ──── gRPC ───▶ a coordinator
//!            │          ▲
//!            └─▶ local ─┘  one inside this process, over a pipe in memory
//! ```

mod address;
mod client;
mod console;
mod error;
mod exit;
mod kinds;
mod leader;
mod local;
mod logging;
mod on_gpus;
mod output;
mod planner_service;
mod planning;
mod progress;
mod request_id;
mod serving;
mod signals;
mod status;
mod trainers;
mod trust;
mod units;
mod verbs;
mod wire;
mod work;

use clap::Parser;
use console::Console;
use error::Error;
use exit::Exit;
use logging::Tone;
use std::{process::ExitCode, time::Duration};
use tracing::Instrument;
use verbs::Verb;

/// Threads for the network, timers and signals; computing has its own.
const IO_THREADS: usize = 2;

/// Merge checkpoints, learn mixtures, plan and run training: on this machine, or on a fleet
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Print data and errors only
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Say more of what happens; twice for even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// No colour (as the environment variable NO_COLOR)
    #[arg(long, global = true)]
    no_color: bool,
}

const AFTER_HELP: &str = "\
Exit codes: 0 ok, 1 the job failed, 2 usage or recipe, 3 not found or conflict,
            4 unavailable, 124 wait timed out, 130 interrupted";

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help for a reader that went away is still help.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    let console = Console::new(cli.quiet, cli.no_color);
    let tone = Tone { verbose: cli.verbose, quiet: cli.quiet, color: console.is_colored() };
    match run(cli.verb, tone, &console) {
        Ok(()) => Exit::Ok.into(),
        Err(error) => {
            if error.exit != Exit::Ok {
                console.error(&error);
            }
            error.exit.into()
        }
    }
}

fn run(verb: Verb, tone: Tone, console: &Console) -> error::Result {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .thread_name("braid-io")
        .enable_all()
        .build()
        .map_err(|error| Error::unavailable(format!("cannot start the runtime: {error}")))?;
    // What sends traces lives on the runtime.
    let seen = runtime.block_on(async { logging::start(verb.role(), tone) });
    let span = verb.span();
    let ended = runtime.block_on(verb.run(console).instrument(span));
    seen.finish();
    // What still blocks now (a read of a dead mount) must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(500));
    ended
}
