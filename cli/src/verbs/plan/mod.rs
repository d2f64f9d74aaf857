//! `braid plan`: which ranks take which sequences of a step, how long that is predicted to take, and how much better any
//! other plan could be.

mod drawing;
mod inputs;

use crate::{
    console::Console,
    error::{Error, Result},
    output::{PlanFormat, PlanView},
    planning::{self, Question},
};
use braid_sequence::planner::{Cluster, Degrees, Effort, ModelProfile, PlanOptions, Tokens};
use drawing::Drawing;
use std::path::PathBuf;

/// Plan a training step over sequences of unequal length
///
/// Says which ranks take which sequences, how long the step is predicted to take, and a bound that no plan in the same
/// micro-batches can be faster than.
#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// Lengths in tokens, one a line; `-` reads standard input
    lengths: PathBuf,
    /// Cluster: a100x64, or a YAML file
    #[arg(long, value_name = "NAME|FILE", required_unless_present = "profile")]
    cluster: Option<String>,
    /// Model: gpt-7b, gpt-13b, gpt-30b, or a YAML file
    #[arg(long, value_name = "NAME|FILE", required_unless_present = "profile")]
    model: Option<String>,
    /// Both at once: what `braid profile` has measured
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cluster", "model"])]
    profile: Option<PathBuf>,
    /// Drop sequences that are longer; also sets the number of parameters [default: the longest sequence]
    #[arg(long, value_name = "TOKENS", value_parser = context)]
    context: Option<u64>,
    /// How hard to look for a better plan
    #[arg(long, value_enum, default_value = "fast")]
    effort: EffortArg,
    /// Which degrees a group may have: powers of two, or any part of a node and any number of nodes
    #[arg(long, value_enum, default_value = "powers")]
    degrees: DegreesArg,
    /// Ranks need not wait for each other between micro-batches
    #[arg(long)]
    no_barrier: bool,
    /// Draw the plan into a file: .svg or .png
    #[arg(long, value_name = "FILE")]
    gantt: Option<Drawing>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    output: PlanFormat,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum EffortArg {
    /// Tens of milliseconds for 512 sequences on 64 GPUs
    Fast,
    /// Up to about a second for the same
    Thorough,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum DegreesArg {
    Powers,
    Any,
}

fn context(text: &str) -> std::result::Result<u64, String> {
    match text.parse() {
        Ok(0) => Err("a context of 0 tokens leaves no sequence to plan".into()),
        Ok(tokens) => Ok(tokens),
        Err(_) => Err("not a number of tokens such as 384000".into()),
    }
}

pub(super) async fn run(args: PlanArgs, console: &Console) -> Result {
    let file = inputs::shown(&args.lengths);
    let (cluster, model) = match &args.profile {
        Some(path) => inputs::measured(path)?,
        None => (
            inputs::profile::<Cluster>(args.cluster.as_deref().unwrap_or_default())?,
            inputs::profile::<ModelProfile>(args.model.as_deref().unwrap_or_default())?,
        ),
    };
    let question = Question {
        cluster,
        model,
        lengths: inputs::lengths(&args.lengths)?,
        context: args.context.map(Tokens),
        degrees: match args.degrees {
            DegreesArg::Powers => Degrees::PowersOfTwo,
            DegreesArg::Any => Degrees::Any,
        },
        options: PlanOptions {
            effort: match args.effort {
                EffortArg::Fast => Effort::Fast,
                EffortArg::Thorough => Effort::Thorough,
            },
            barrier: !args.no_barrier,
            ..PlanOptions::default()
        },
    };
    let solve = move || {
        let answer = planning::answer(&question, &|| false).map_err(|error| inputs::refusal(&error, &question, &file))?;
        let baselines = answer.baselines();
        Ok((question, answer, baselines))
    };
    // On a thread of its own, so that Ctrl-C is heard meanwhile.
    let (question, answer, baselines) =
        tokio::task::spawn_blocking(solve).await.map_err(|error| Error::unavailable(format!("the planner broke: {error}")))??;
    if let Some(drawing) = &args.gantt {
        drawing.write(&question, &answer)?;
    }
    console.data(&PlanView::new(&question, &answer, &baselines).render(args.output)?)?;
    if let Some(drawing) = &args.gantt {
        console.note(&format!("drew {}", drawing.path().display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_a_number_of_tokens_above_zero() {
        assert_eq!(context("384000"), Ok(384_000));
        for text in ["0", "-1", "384K", "", "1.5"] {
            assert!(context(text).is_err(), "{text}");
        }
    }
}
