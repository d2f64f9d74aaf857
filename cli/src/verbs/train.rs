//! `braid train`: a small language model on documents of unequal length; in this process, or by a gang of a fleet's workers.

use crate::{
    console::Console,
    error::{Error, Result},
    exit::Exit,
    work::{self, Shows, WhereArgs, Work},
};
use braid_sequence::train::{KIND, TrainError, TrainJob, TrainSpec};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// Train a small language model on documents of unequal length
///
/// Each step is planned: which sequences go to which group of ranks. Without --coordinator all ranks are threads of this
/// process. Run again after an interruption, it goes on from its last checkpoint.
#[derive(Debug, clap::Args)]
pub(crate) struct TrainArgs {
    /// What to train, on what: a YAML file
    spec: PathBuf,
    /// The folder of the checkpoints
    out: PathBuf,
    #[command(flatten)]
    place: WhereArgs,
}

pub(super) async fn run(args: TrainArgs, console: &Console) -> Result {
    let start = Instant::now();
    let job = read_job(&args.spec, super::absolute(&args.out)?)?;
    let spec = serde_json::to_string(&job).map_err(|error| Error::usage(format!("the spec cannot be sent: {error}")))?;
    let threads = threads(&job.spec);
    work::run(Work { kind: KIND, spec, out: &job.out, shows: Shows::Lines, threads, gpus: 0 }, args.place, console, start).await
}

/// Reads a spec and its tokenizer; paths in it begin from its folder.
pub(super) fn read_job(path: &Path, out: PathBuf) -> Result<TrainJob> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| Error::usage(format!("cannot read the spec {name}: {error}")))?;
    let spec = TrainSpec::parse(&name, &text).map_err(|error| train_error(&error))?;
    let folder = super::absolute(path)?.parent().map(Path::to_owned).unwrap_or_default();
    TrainJob::new(spec.beside(&folder), out).map_err(|error| train_error(&error))
}

/// Threads that the ranks of a spec need at once in one process.
pub(super) fn threads(spec: &TrainSpec) -> usize {
    if spec.whole_workers { 1 } else { spec.ranks as usize }
}

fn train_error(error: &TrainError) -> Error {
    Error { exit: Exit::Usage, message: error.to_string(), hint: error.hint().map(str::to_owned) }
}
