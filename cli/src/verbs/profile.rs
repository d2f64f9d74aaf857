//! `braid profile`: measures what a training's planner needs, on the ranks that will train.

use super::train;
use crate::{
    console::Console,
    error::{Error, Result},
    work::{self, Shows, WhereArgs, Work},
};
use braid_sequence::{
    profile::{KIND, ProfileJob},
    train::TrainJob,
};
use std::{path::PathBuf, time::Instant};

/// Measure compute and exchange of a training's ranks, for its planner
///
/// Times the model of a training spec on groups of every size, fits the planner's cost model to it and says how well it fits.
/// Name the file that it writes in the spec: `profile: FILE`.
#[derive(Debug, clap::Args)]
pub(crate) struct ProfileArgs {
    /// The spec of the training
    spec: PathBuf,
    /// The file that becomes the profile
    out: PathBuf,
    #[command(flatten)]
    place: WhereArgs,
}

pub(super) async fn run(args: ProfileArgs, console: &Console) -> Result {
    let start = Instant::now();
    let TrainJob { spec, out, vocabulary } = train::read_job(&args.spec, super::absolute(&args.out)?)?;
    let job = ProfileJob { spec, out, vocabulary };
    let spec = serde_json::to_string(&job).map_err(|error| Error::usage(format!("the spec cannot be sent: {error}")))?;
    let threads = train::threads(&job.spec);
    work::run(Work { kind: KIND, spec, out: &job.out, shows: Shows::Lines, threads, gpus: 0 }, args.place, console, start).await
}
