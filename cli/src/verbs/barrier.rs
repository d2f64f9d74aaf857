//! `braid barrier`: the checkpoints on the straight line between two, what an evaluator says of each, and how high it rises above its ends.
//!
//! The barrier between θ₁ and θ₂ is the largest L((1 − α)θ₁ + αθ₂) − ((1 − α)L(θ₁) + αL(θ₂)) over α in 0 ..= 1, here over evenly spaced points
//! ("Landscaping Linear Mode Connectivity", arXiv 2406.16300). Every point is a merge by `linear`; what a loss is, a program of the user
//! knows.

mod chart;
mod path;

use super::{absolute, merge::encode};
use crate::{
    console::Console,
    error::{Error, Result},
    exit::Exit,
    output::fields,
    signals::{Signals, interrupted},
    work::{self, Shows, WhereArgs, Work},
};
use braid_merge::{DEFAULT_MAX_SHARD, KIND, MergeSpec};
use path::{Barrier, Point, alphas, barrier};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Checkpoints on the line between two, and how much worse they are than its ends
///
/// Writes OUT/alpha-0.00 … OUT/alpha-1.00, mixtures with so much of the second checkpoint. With --evaluator also barrier.json and
/// barrier.svg. Run again after an interruption, it keeps the checkpoints that are there.
#[derive(Debug, clap::Args)]
pub(crate) struct BarrierArgs {
    /// The folder of the checkpoint at alpha 0
    first: PathBuf,
    /// The folder of the checkpoint at alpha 1
    second: PathBuf,
    /// The folder for the checkpoints
    out: PathBuf,
    /// How many, the two ends among them
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u16).range(2..=1001))]
    points: u16,
    /// A command for the shell, to which the folder of a checkpoint is given as the last word; the last line that it writes is the loss
    #[arg(long, value_name = "COMMAND")]
    evaluator: Option<String>,
    /// Type of the checkpoints: float32, float16 or bfloat16
    #[arg(long, value_name = "DTYPE")]
    dtype: Option<String>,
    #[command(flatten)]
    place: WhereArgs,
}

pub(super) async fn run(args: BarrierArgs, console: &Console) -> Result {
    if args.place.is_detached() {
        return Err(Error::usage("a barrier is measured when its merges are done: leave --detach out"));
    }
    let is_new = !args.out.exists();
    let found = measure(&args, console).await;
    if is_new && found.is_err() {
        // One that holds a checkpoint by now is not empty and stays.
        let _ = std::fs::remove_dir(&args.out);
    }
    let points = found?;
    let Some(found) = barrier(&points) else {
        return console.data(&format!("{} checkpoints in {}", points.len(), args.out.display()));
    };
    keep(&args.out, &points, found)?;
    console.data(&fields(&[
        ("barrier", Some(format!("{:.6}", found.height))),
        ("at alpha", Some(format!("{:.3}", found.alpha))),
        ("losses", Some(args.out.join(JSON).display().to_string())),
        ("plot", Some(args.out.join(SVG).display().to_string())),
    ]))
}

/// Makes the checkpoints, one after the other, and has each evaluated.
async fn measure(args: &BarrierArgs, console: &Console) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    for alpha in alphas(args.points.into()) {
        let folder = args.out.join(path::folder(alpha, args.points.into()));
        merge_at(args, alpha, &folder, console).await?;
        let loss = match &args.evaluator {
            Some(command) => Some(evaluate(command, &folder).await?),
            None => None,
        };
        console.note(&match loss {
            Some(loss) => format!("alpha {alpha:.3}  loss {loss}"),
            None => format!("alpha {alpha:.3}  {}", folder.display()),
        });
        points.push(Point { alpha, folder, loss });
    }
    Ok(points)
}

const JSON: &str = "barrier.json";
const SVG: &str = "barrier.svg";

/// Merges one point, or finds it merged.
async fn merge_at(args: &BarrierArgs, alpha: f64, folder: &Path, console: &Console) -> Result {
    let input = |path: &Path, weight: f64| {
        let text = path.to_str().ok_or_else(|| Error::usage(format!("{} is not UTF-8, as recipes are", path.display())))?;
        Ok::<_, Error>(json!({"model": {"model": {"path": text}}, "parameters": {"weight": weight}}))
    };
    let models = [input(&args.first, 1.0 - alpha)?, input(&args.second, alpha)?];
    let mut recipe = json!({"merge_method": "linear", "models": models});
    if let Some(dtype) = &args.dtype {
        recipe["dtype"] = dtype.as_str().into();
    }
    let spec = MergeSpec {
        // JSON is YAML
        recipe: format!("{recipe:#}\n"),
        recipe_file: "braid barrier".into(),
        directory: absolute(Path::new("."))?,
        out: absolute(folder)?,
        max_shard_size: DEFAULT_MAX_SHARD,
        seed: 0,
        reuse: None,
    };
    super::merge::check(&spec)?;
    std::fs::create_dir_all(&args.out)
        .map_err(|error| Error::new(Exit::JobFailed, format!("cannot create {}: {error}", args.out.display())))?;
    let work = Work { kind: KIND, spec: encode(&spec)?, out: &spec.out, shows: Shows::Progress, threads: 1, gpus: 0 };
    work::ended(work, args.place.clone(), console).await.map(drop)
}

/// What the evaluator says of a checkpoint.
async fn evaluate(command: &str, folder: &Path) -> Result<f64> {
    let failed = |problem: String| Error::new(Exit::JobFailed, format!("the evaluator of {}: {problem}", folder.display()));
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("{command} \"$@\""), "sh"]).arg(folder).stdin(Stdio::null()).stdout(Stdio::piped());
    let child = shell.spawn().map_err(|error| failed(format!("cannot be started: {error}")))?;
    let id = Pid::from_child(&child);
    let mut waiting = tokio::task::spawn_blocking(move || child.wait_with_output());
    let mut signals = Signals::listen()?;
    let output = tokio::select! {
        output = &mut waiting => output,
        () = signals.next() => {
            // it may have ended by itself a moment ago
            let _ = kill_process(id, Signal::TERM);
            let _ = waiting.await;
            return Err(interrupted());
        }
    };
    let output = output.map_err(|error| failed(error.to_string()))?;
    let ended = output.map_err(|error| failed(format!("cannot be waited for: {error}")))?;
    if !ended.status.success() {
        return Err(failed(format!("ended with {}", ended.status)));
    }
    let text = String::from_utf8_lossy(&ended.stdout);
    let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("").trim();
    match last.parse::<f64>() {
        Ok(loss) if loss.is_finite() => Ok(loss),
        _ => {
            Err(failed(format!("its last line is {last:?}, and not a number")).with_hint("print the loss, and nothing after it"))
        }
    }
}

/// Writes what was found.
fn keep(out: &Path, points: &[Point], found: Barrier) -> Result {
    let write = |name: &str, text: String| {
        let path = out.join(name);
        std::fs::write(&path, text)
            .map_err(|error| Error::new(Exit::JobFailed, format!("cannot write {}: {error}", path.display())))
    };
    let one = |point: &Point| json!({"alpha": point.alpha, "checkpoint": point.folder, "loss": point.loss});
    let all: Vec<_> = points.iter().map(one).collect();
    let text = json!({"barrier": found.height, "alpha": found.alpha, "points": all});
    write(JSON, format!("{text:#}\n"))?;
    write(SVG, braid_drawing::svg(&chart::draw(points, found)))
}
