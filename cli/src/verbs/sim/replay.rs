//! `braid sim replay`: decides again what a coordinator recorded, and says what comes out otherwise.

use crate::{
    console::Console,
    error::{Error, Result},
    exit::Exit,
    kinds,
    output::{Format, ReplayView, once},
};
use braid_coordinator::replay::{ReplayError, replay};
use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::PathBuf,
};

/// Decide again what a coordinator recorded; ends with 1 when something comes out otherwise
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// What `braid coordinator --record` wrote
    dump: PathBuf,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,
}

pub(super) fn run(args: &ReplayArgs, console: &Console) -> Result {
    let name = args.dump.display();
    let file = File::open(&args.dump)
        .map_err(|error| Error::new(Exit::NotFoundOrConflict, format!("cannot open the recording {name}: {error}")))?;
    let summary = replay(BufReader::new(file).lines(), &kinds::workloads()).map_err(|error| {
        let exit = if matches!(error, ReplayError::Io(_)) { Exit::Unavailable } else { Exit::Usage };
        Error { exit, message: format!("cannot replay {name}: {error}"), hint: error.hint() }
    })?;
    let count = summary.count();
    console.data(&once(&ReplayView::new(summary), args.output)?)?;
    match count {
        0 => Ok(()),
        1 => Err(Error::new(Exit::JobFailed, format!("{name}: one decision comes out otherwise"))),
        count => Err(Error::new(Exit::JobFailed, format!("{name}: {count} decisions come out otherwise"))),
    }
}
