//! `braid merge`: one recipe, one merged checkpoint; in this process, or on a fleet.

mod dry_run;

use super::{absolute, destination};
use crate::{
    console::Console,
    error::{Error, Result},
    exit::Exit,
    units,
    work::{self, Shows, WhereArgs, Work},
};
use braid_merge::{KIND, MergeError, MergeSpec};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

/// No recipe is longer; a checkpoint given by mistake is.
const LONGEST_RECIPE: u64 = 1 << 20;

/// Merge checkpoints as a recipe says
///
/// Without --coordinator everything happens inside this process. Run again after an interruption, it goes on where it
/// stopped.
#[derive(Debug, clap::Args)]
pub(crate) struct MergeArgs {
    /// The recipe: YAML as mergekit reads it, or several that use each other, as mergekit-multi reads them
    recipe: PathBuf,
    /// The folder that becomes the merged checkpoint, or its URL in a store; must not exist or be empty
    out: PathBuf,
    #[command(flatten)]
    place: WhereArgs,
    /// Largest file of the result
    #[arg(long, value_name = "SIZE", default_value = "5GB", value_parser = units::size)]
    max_shard_size: u64,
    /// Seed of the random masks that some methods draw
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = units::whole::<u64>, allow_negative_numbers = true)]
    random_seed: u64,
    /// Result of an earlier merge, or its URL in a store: tensors that would come out the same are taken from it instead of computed
    #[arg(long, value_name = "FOLDER")]
    reuse: Option<PathBuf>,
    /// Check everything and say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: MergeArgs, console: &Console) -> Result {
    let start = Instant::now();
    let spec = spec(&args)?;
    if args.dry_run {
        return dry_run::run(&spec, console);
    }
    submit(&spec, args.place, console, start).await
}

/// What is wrong in itself never reaches a coordinator: a recipe that does not parse, a result where none can be.
pub(super) fn check(spec: &MergeSpec) -> Result {
    spec.stages().and_then(|_| spec.check_out()).map_err(|error| merge_error(Exit::Usage, &error))
}

/// Has it done, here or on a fleet.
pub(super) async fn submit(spec: &MergeSpec, place: WhereArgs, console: &Console, start: Instant) -> Result {
    let work = Work { kind: KIND, spec: encode(spec)?, out: &spec.out, shows: Shows::Progress, threads: 1, gpus: 0 };
    work::run(work, place, console, start).await
}

/// Reads the recipe and makes the job of it.
fn spec(args: &MergeArgs) -> Result<MergeSpec> {
    let file = args.recipe.display().to_string();
    let spec = MergeSpec {
        recipe: read(&args.recipe).map_err(|error| Error::usage(format!("cannot read the recipe {file}: {error}")))?,
        recipe_file: file,
        directory: absolute(Path::new("."))?,
        out: destination(&args.out)?,
        max_shard_size: args.max_shard_size,
        seed: args.random_seed,
        reuse: args.reuse.as_deref().map(destination).transpose()?,
    };
    check(&spec)?;
    Ok(spec)
}

fn read(path: &Path) -> io::Result<String> {
    use io::Read;
    let mut text = String::new();
    fs::File::open(path)?.take(LONGEST_RECIPE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST_RECIPE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is longer than any recipe"));
    }
    Ok(text)
}

pub(super) fn encode(spec: &MergeSpec) -> Result<String> {
    serde_json::to_string(spec).map_err(|error| Error::usage(format!("the recipe cannot be sent: {error}")))
}

fn merge_error(exit: Exit, error: &MergeError) -> Error {
    Error { exit, message: error.to_string(), hint: error.hint() }
}
