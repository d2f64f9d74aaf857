//! `braid mix infer`: the proportions of text that a tokenizer was trained on.

use crate::{
    console::Console,
    error::{Error, Result},
    exit::Exit,
    output::{InferView, PlanFormat},
    units,
    verbs::absolute,
    work::{self, Shows, WhereArgs, Work},
};
use braid_mixture::infer::{
    Category, InferError, InferSpec, count,
    job::{InferJob, KIND},
};
use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// Infer on which proportions of text a BPE tokenizer was trained
///
/// Reads them from the order of its merges, given a sample of each category. Without --out everything happens in this process
/// and nothing is written; with --out it is a job that leaves proportions.json in that folder and goes on after an interruption.
#[derive(Debug, clap::Args)]
pub(crate) struct InferArgs {
    /// The tokenizer: a tokenizer.json of Hugging Face
    tokenizer: PathBuf,
    /// A category and a sample of it: a text file, a .jsonl, a .parquet, or a folder of them; also .gz and .zst; at least two
    #[arg(long = "data", value_name = "NAME=PATH", required = true, value_parser = category)]
    data: Vec<Category>,
    /// Look at the first merges only [default: all]
    #[arg(long, value_name = "N", value_parser = units::positive::<NonZeroUsize>)]
    merges: Option<NonZeroUsize>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT", conflicts_with = "out")]
    output: PlanFormat,
    /// Run as a job that leaves its answer in this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: WhereArgs,
}

fn category(text: &str) -> std::result::Result<Category, String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok(Category { name: name.into(), path: path.into() }),
        _ => Err("not a name and a path such as en=texts/english".into()),
    }
}

impl InferArgs {
    /// Whether it is left to a job.
    pub(super) fn is_job(&self) -> bool {
        self.out.is_some() || self.place.is_fleet()
    }

    fn spec(&self, place: impl Fn(&Path) -> Result<PathBuf>) -> Result<InferSpec> {
        let category = |category: &Category| Ok(Category { name: category.name.clone(), path: place(&category.path)? });
        let data = self.data.iter().map(category).collect::<Result<_>>()?;
        let spec = InferSpec { tokenizer: place(&self.tokenizer)?, data, merges: self.merges.map(NonZeroUsize::get) };
        spec.check().map_err(|error| infer_error(&error))?;
        Ok(spec)
    }
}

/// As a job.
pub(super) async fn job(args: InferArgs, console: &Console) -> Result {
    let start = Instant::now();
    let Some(out) = &args.out else {
        return Err(Error::usage("a fleet needs a folder that all its workers see, for what they count")
            .with_hint("name it: --out DIR; or leave out --coordinator, and this process counts"));
    };
    let job = InferJob { spec: args.spec(absolute)?, out: absolute(out)? };
    let spec = serde_json::to_string(&job).map_err(|error| Error::usage(format!("the spec cannot be sent: {error}")))?;
    work::run(Work { kind: KIND, spec, out: &job.out, shows: Shows::Progress, threads: 1, gpus: 0 }, args.place, console, start)
        .await
}

/// In this process.
pub(super) async fn here(args: InferArgs, console: &Console) -> Result {
    args.place.stays()?;
    let spec = args.spec(|path| Ok(path.to_owned()))?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.place.threads().get()).build();
    let pool = pool.map_err(|error| Error::unavailable(format!("cannot start threads: {error}")))?;
    let stopped = Stopped::default();
    let asked = Arc::clone(&stopped.0);
    let infer = move || {
        let stop = || asked.load(Ordering::Relaxed);
        let start = Instant::now();
        let counted = count(&spec, &stop)?;
        let count = start.elapsed();
        let answer = counted.answer(&spec, &stop)?;
        Ok((answer, count, start.elapsed() - count))
    };
    // On a thread of its own, so that Ctrl-C is heard meanwhile.
    let done = tokio::task::spawn_blocking(move || pool.install(infer)).await;
    let done = done.map_err(|error| Error::unavailable(format!("the inference broke: {error}")))?;
    let (answer, count, solve) = done.map_err(|error| infer_error(&error))?;
    console.data(&InferView::new(answer, count, solve).render(args.output)?)
}

/// Tells the threads to stop once nobody waits for them.
#[derive(Default)]
struct Stopped(Arc<AtomicBool>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn infer_error(error: &InferError) -> Error {
    let exit = match error {
        InferError::Unrelated { .. } | InferError::Solver { .. } => Exit::JobFailed,
        _ => Exit::Usage,
    };
    Error { exit, message: error.to_string(), hint: error.hint().map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_has_a_name_and_a_path() {
        let path = |text: &str| category(text).map(|category| category.path);
        assert_eq!(path("en=texts/a=b"), Ok("texts/a=b".into()));
        for text in ["en", "=texts", "en=", ""] {
            assert!(path(text).is_err(), "{text}");
        }
    }
}
