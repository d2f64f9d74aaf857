//! `braid mix`: on which proportions of its data a model is trained; in this process, or by the workers of a fleet.

mod export;
mod fit;
mod infer;

use super::until_signal;
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
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct MixArgs {
    #[command(subcommand)]
    verb: Option<MixVerb>,
    /// What is mixed, who trains, and by which methods: a YAML file
    #[arg(required = true)]
    spec: Option<PathBuf>,
    /// The folder of the results
    #[arg(required = true)]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: WhereArgs,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    output: MixFormat,
}

/// What else there is to do with mixtures.
#[derive(Debug, clap::Subcommand)]
enum MixVerb {
    Infer(infer::InferArgs),
    Export(export::ExportArgs),
    Fit(fit::FitArgs),
}

pub(super) async fn run(args: MixArgs, console: &Console) -> Result {
    match args.verb {
        Some(MixVerb::Infer(args)) if args.is_job() => Box::pin(infer::job(args, console)).await,
        Some(MixVerb::Infer(args)) => until_signal(Box::pin(infer::here(args, console))).await,
        Some(MixVerb::Fit(args)) => fit::run(&args, console),
        Some(MixVerb::Export(args)) => export::run(&args, console),
        None => Box::pin(learn(args, console)).await,
    }
}

async fn learn(args: MixArgs, console: &Console) -> Result {
    let start = Instant::now();
    let (Some(spec), Some(out)) = (&args.spec, &args.out) else {
        return Err(Error::usage("a spec and a folder for its results are needed"));
    };
    let job = read_job(spec, super::absolute(out)?)?;
    let spec = serde_json::to_string(&job).map_err(|error| Error::usage(format!("the spec cannot be sent: {error}")))?;
    let (threads, gpus) = needs(&job.spec)?;
    let work = Work { kind: KIND, spec, out: &job.out, shows: Shows::Lines, threads, gpus };
    let Some(ended) = work::ended(work, args.place, console).await? else { return Ok(()) };
    if console.is_quiet() && matches!(args.output, MixFormat::Table) {
        return Ok(());
    }
    let details =
        ended.details.ok_or_else(|| Error::unavailable("the job is done, but its coordinator does not say what came out"))?;
    let view = MixView::read(&details)?;
    console.data(&view.render(args.output, start.elapsed())?)?;
    view.warnings().iter().for_each(|warning| console.warn(warning));
    Ok(())
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

/// Threads and GPUs that must be there at once: those of all ranks of a trainer that asks.
fn needs(spec: &MixSpec) -> Result<(usize, u32)> {
    let shape = spec.shape(&trainers::all()).map_err(|error| mix_error(&error))?;
    Ok(shape.map_or((1, 0), |shape| {
        let ranks = shape.gang.unwrap_or(1);
        let threads = ranks.saturating_mul(shape.demand.threads.max(1));
        (usize::try_from(threads).unwrap_or(usize::MAX), ranks.saturating_mul(shape.demand.gpus))
    }))
}

fn mix_error(error: &JobError) -> Error {
    Error { exit: Exit::Usage, message: error.to_string(), hint: error.hint().map(str::to_owned) }
}
