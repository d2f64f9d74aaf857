//! `braid mix fit`: a law of runs that were made elsewhere, and the mixture that it proposes.

use crate::{
    console::Console,
    error::{Error, Result},
    exit::Exit,
    output::{FitView, PlanFormat},
    units,
};
use braid_mixture::{
    MixtureError,
    files::{
        olmix, regmix,
        wandb::{self, Pick, Table},
    },
    swarm::{LawKind, Swarm, study},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Fit a law to the runs of a swarm, and propose a mixture
///
/// Reads the tables of Olmix or RegMix, or the table of runs that Weights & Biases exports. Every run is predicted by a law of other
/// runs, so that what is shown of the fit is not what it was fitted to.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("tables").required(true).args(["olmix", "regmix", "wandb"])))]
pub(crate) struct FitArgs {
    /// Olmix's tables of mixtures and metrics
    #[arg(long, num_args = 2, value_names = ["RATIOS", "METRICS"])]
    olmix: Option<Vec<PathBuf>>,
    /// RegMix's tables of mixtures and losses
    #[arg(long, num_args = 2, value_names = ["MIXTURES", "LOSSES"])]
    regmix: Option<Vec<PathBuf>>,
    /// A table of runs as Weights & Biases exports it
    #[arg(long, value_name = "RUNS", requires_all = ["proportions", "metrics"])]
    wandb: Option<PathBuf>,
    /// How the names of the columns of proportions begin, in an export of Weights & Biases
    #[arg(long, value_name = "PREFIX", requires = "wandb")]
    proportions: Option<String>,
    /// How the names of the columns of metrics begin, in an export of Weights & Biases
    #[arg(long, value_name = "PREFIX", requires = "wandb")]
    metrics: Option<String>,
    /// A metric that is to be low; each has the same weight [default: all]
    #[arg(long, value_name = "METRIC")]
    aim: Vec<String>,
    /// The form of the law
    #[arg(long, value_enum, default_value = "log-linear", value_name = "LAW")]
    law: Form,
    /// How much it costs to leave the mean of all mixtures
    #[arg(long, value_name = "LAMBDA", default_value_t = 0.05, value_parser = units::number, allow_negative_numbers = true)]
    closeness: f64,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    output: PlanFormat,
}

/// The laws by name.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Form {
    /// A constant, and an exponential of a weighted sum of shares
    LogLinear,
    /// A weighted sum of shares
    Linear,
    /// Gradient-boosted trees
    Trees,
}

impl From<Form> for LawKind {
    fn from(form: Form) -> Self {
        match form {
            Form::LogLinear => Self::LogLinear,
            Form::Linear => Self::Linear,
            Form::Trees => Self::Trees,
        }
    }
}

pub(super) fn run(args: &FitArgs, console: &Console) -> Result {
    let swarm = args.swarm()?;
    let study = study(&swarm, &args.aim, args.law.into(), args.closeness).map_err(|error| wrong(&error))?;
    let view = FitView::new(study);
    console.data(&view.render(args.output)?)?;
    view.warnings().for_each(|warning| console.warn(warning));
    Ok(())
}

/// Makes a swarm of two tables, each with its name and its text.
type Join = fn((&str, &str), (&str, &str)) -> std::result::Result<Swarm, MixtureError>;

impl FitArgs {
    fn swarm(&self) -> Result<Swarm> {
        let read = |path: &Path| {
            let name = path.display().to_string();
            let text = fs::read_to_string(path).map_err(|error| Error::usage(format!("cannot read {name}: {error}")))?;
            Ok::<_, Error>((name, text))
        };
        let both = |paths: &[PathBuf], join: Join| {
            let [mixtures, metrics] = paths else { return Err(Error::usage("give two tables")) };
            let (mixtures, metrics) = (read(mixtures)?, read(metrics)?);
            join((&mixtures.0, &mixtures.1), (&metrics.0, &metrics.1)).map_err(|error| wrong(&error))
        };
        if let Some(paths) = &self.olmix {
            return both(paths, olmix::read);
        }
        if let Some(paths) = &self.regmix {
            return both(paths, regmix::read);
        }
        let (Some(path), Some(proportions), Some(metrics)) = (&self.wandb, &self.proportions, &self.metrics) else {
            return Err(Error::usage("give the tables of a swarm"));
        };
        let (name, text) = read(path)?;
        let table = Table { proportions: Pick::Prefix(proportions), metrics: Pick::Prefix(metrics), finished_alone: true };
        wandb::read(&name, &text, &table).map_err(|error| wrong(&error))
    }
}

fn wrong(error: &MixtureError) -> Error {
    Error { exit: Exit::Usage, message: error.to_string(), hint: error.hint().map(str::to_owned) }
}
