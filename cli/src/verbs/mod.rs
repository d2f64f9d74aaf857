//! What the command does, one file a verb: fetch, check, act, print.

mod audit;
mod barrier;
mod bench;
mod completions;
mod coordinator;
mod job;
mod lora;
mod merge;
mod mix;
mod node;
mod plan;
mod profile;
mod project;
mod run;
mod sim;
mod token;
#[cfg(feature = "tui")]
mod top;
mod train;
mod worker;

pub(crate) use coordinator::start_error;
pub(crate) use worker::{LimitArgs, worker_error};

use crate::{
    console::Console,
    error::{Error, Result},
    exit::Exit,
    logging::Role,
    signals::{Signals, interrupted},
};
use braid_merge::url;
use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};
use tracing::Span;

/// The first word after `braid`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    Merge(merge::MergeArgs),
    Barrier(barrier::BarrierArgs),
    Mix(mix::MixArgs),
    /// LoRA adapters: merge several, fold one into its base, extract one
    #[command(subcommand)]
    Lora(lora::LoraVerb),
    Train(train::TrainArgs),
    Profile(profile::ProfileArgs),
    Plan(plan::PlanArgs),
    Run(run::RunArgs),
    Coordinator(coordinator::CoordinatorArgs),
    Worker(worker::WorkerArgs),
    /// Jobs: list, look at, wait for, cancel
    #[command(subcommand)]
    Job(job::JobVerb),
    /// Nodes of the fleet
    #[command(subcommand)]
    Node(node::NodeVerb),
    /// Projects: share and quota
    #[command(subcommand)]
    Project(project::ProjectVerb),
    #[cfg(feature = "tui")]
    Top(top::TopArgs),
    /// Tokens, for machines to join and for people
    #[command(subcommand)]
    Token(token::TokenVerb),
    Audit(audit::AuditArgs),
    /// What a coordinator decided, decided again
    #[command(subcommand)]
    Sim(sim::SimVerb),
    Bench(bench::BenchArgs),
    Completions(completions::CompletionsArgs),
    /// End what a worker leaves behind; a worker starts it
    #[command(hide = true)]
    Guard {
        /// What the worker's programs carry
        mark: String,
    },
    /// Enter a cgroup and become a program; a worker starts it
    #[command(hide = true, disable_help_flag = true)]
    Enter {
        /// The folder of the cgroup
        group: PathBuf,
        /// The program's file
        program: PathBuf,
        /// Its name, as it is told
        #[arg(allow_hyphen_values = true)]
        name: OsString,
        /// What it is told besides
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

impl Verb {
    /// Who writes the log while this verb runs.
    pub(crate) fn role(&self) -> Role {
        match self {
            Self::Coordinator(_) => Role::Coordinator,
            Self::Worker(_) => Role::Worker,
            _ => Role::Client,
        }
    }

    /// The beginning of a trace, for a verb that makes a job. A coordinator and a worker are part of the traces of others.
    pub(crate) fn span(&self) -> Span {
        match self {
            Self::Merge(_) => tracing::info_span!("braid merge"),
            Self::Train(_) => tracing::info_span!("braid train"),
            Self::Profile(_) => tracing::info_span!("braid profile"),
            Self::Run(_) => tracing::info_span!("braid run"),
            Self::Bench(_) => tracing::info_span!("braid bench"),
            _ => Span::none(),
        }
    }

    /// Does it.
    pub(crate) async fn run(self, console: &Console) -> Result {
        match self {
            Self::Merge(args) => Box::pin(merge::run(args, console)).await,
            Self::Barrier(args) => Box::pin(barrier::run(args, console)).await,
            Self::Mix(args) => Box::pin(mix::run(args, console)).await,
            Self::Lora(verb) => Box::pin(lora::run(verb, console)).await,
            Self::Train(args) => Box::pin(train::run(args, console)).await,
            Self::Profile(args) => Box::pin(profile::run(args, console)).await,
            Self::Plan(args) => until_signal(Box::pin(plan::run(args, console))).await,
            Self::Coordinator(args) => Box::pin(coordinator::run(args, console)).await,
            Self::Worker(args) => Box::pin(worker::run(args, console)).await,
            Self::Job(verb) => until_signal(Box::pin(job::run(verb, console))).await,
            Self::Node(verb) => until_signal(Box::pin(node::run(verb, console))).await,
            Self::Project(verb) => until_signal(Box::pin(project::run(verb, console))).await,
            #[cfg(feature = "tui")]
            Self::Top(args) => until_signal(Box::pin(top::run(args, console))).await,
            Self::Token(verb) => until_signal(Box::pin(token::run(verb, console))).await,
            Self::Audit(args) => until_signal(Box::pin(audit::run(args, console))).await,
            Self::Sim(verb) => sim::run(verb, console),
            Self::Bench(args) => until_signal(Box::pin(bench::run(args, console))).await,
            Self::Run(args) => Box::pin(run::run(args, console)).await,
            Self::Completions(args) => completions::run(args, console),
            Self::Guard { mark } => {
                braid_command::serve_guard(std::io::stdin(), &mark);
                Ok(())
            }
            Self::Enter { group, program, name, arguments } => Err(enter(&group, &program, &name, &arguments)),
        }
    }
}

/// Becomes the program, or says why not.
fn enter(group: &Path, program: &Path, name: &OsStr, arguments: &[OsString]) -> Error {
    let error = braid_command::enter(group, program, name, arguments);
    Error::usage(format!("cannot start {} in its cgroup: {error}", program.display()))
}

/// Where the result of a merge goes, or that of an earlier one is: the same path from the root, or a URL as it is.
fn destination(out: &Path) -> Result<PathBuf> {
    match url(out) {
        Some(url) => Ok(url.trim_end_matches('/').into()),
        None => absolute(out),
    }
}

/// The same path from the root. In stores are the models and results of merges, and nothing else.
fn absolute(path: &Path) -> Result<PathBuf> {
    if url(path).is_some() {
        return Err(Error::usage(format!(
            "{} is in a store, where only models of a recipe and results of merges may be: give a folder",
            path.display()
        )));
    }
    if path.to_str().is_none() {
        return Err(Error::usage(format!("{} is not UTF-8, which the paths of jobs are", path.display())));
    }
    std::path::absolute(path).map_err(|error| Error::usage(format!("{} is no path: {error}", path.display())))
}

/// Does it for one after the other, also where one cannot be done: that one of several jobs is over keeps no other from being cancelled.
/// Ends with the first failure's exit code; whoever cannot be reached is not tried again.
async fn for_each<T>(items: Vec<T>, console: &Console, act: impl AsyncFn(T) -> Result) -> Result {
    let mut failed: Option<Error> = None;
    for item in items {
        let Err(error) = act(item).await else { continue };
        let exit = failed.as_ref().map_or(error.exit, |first| first.exit);
        let is_away = error.exit == Exit::Unavailable;
        if let Some(earlier) = failed.replace(Error { exit, ..error }) {
            console.error(&earlier);
        }
        if is_away {
            break;
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Most verbs change nothing while they wait: a signal simply ends them.
async fn until_signal(verb: impl Future<Output = Result>) -> Result {
    let mut signals = Signals::listen()?;
    tokio::select! {
        ended = verb => ended,
        () = signals.next() => Err(interrupted()),
    }
}
