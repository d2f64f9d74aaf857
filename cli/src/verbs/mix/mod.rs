//! `braid mix`: on which proportions of its data a model is trained; in this process, or by the workers of a fleet.

use crate::{
    console::Console,
    error::{Error, Result},
    exit::Exit,
    output::{MixFormat, MixView},
    trainers,
    work::{self, Shows, WhereArgs, Work},
};
use braid_mixture::job::{JobError, KIND, MixJob, MixSpec};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// Learn on which proportions of its data a model is trained
///
/// Runs every method of the spec with every seed, on the same sequences, and compares them pair by pair. Without --coordinator
/// everything happens inside this process. Run again after an interruption, it goes on where it stopped.
#[derive(Debug, clap::Args)]
pub(crate) struct MixArgs {
    /// What is mixed, who trains, and by which methods: a YAML file
    spec: PathBuf,
    /// The folder of the results
    out: PathBuf,
    #[command(flatten)]
    place: WhereArgs,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    output: MixFormat,
}

pub(super) async fn run(args: MixArgs, console: &Console) -> Result {
    let start = Instant::now();
    let job = read_job(&args.spec, super::absolute(&args.out)?)?;
    let spec = serde_json::to_string(&job).map_err(|error| Error::usage(format!("the spec cannot be sent: {error}")))?;
    let work = Work { kind: KIND, spec, out: &job.out, shows: Shows::Lines, threads: 1 };
    let Some(ended) = work::ended(work, args.place, console).await? else { return Ok(()) };
    if console.is_quiet() && matches!(args.output, MixFormat::Table) {
        return Ok(());
    }
    let details =
        ended.details.ok_or_else(|| Error::unavailable("the job is done, but its coordinator does not say what came out"))?;
    console.data(&MixView::read(&details)?.render(args.output, start.elapsed())?)
}

/// Reads a spec; paths in it begin from its folder.
fn read_job(path: &Path, out: PathBuf) -> Result<MixJob> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| Error::usage(format!("cannot read the spec {name}: {error}")))?;
    let spec = MixSpec::parse(&name, &text).map_err(|error| mix_error(&error))?;
    let folder = super::absolute(path)?.parent().map(Path::to_owned).unwrap_or_default();
    let spec = spec.beside(&folder, &trainers::all()).map_err(|error| mix_error(&error))?;
    Ok(MixJob { spec, out })
}

fn mix_error(error: &JobError) -> Error {
    Error { exit: Exit::Usage, message: error.to_string(), hint: error.hint().map(str::to_owned) }
}
