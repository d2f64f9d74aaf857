//! `braid run`: any program as a job; in this process, or on a fleet.

mod follow;
mod here;

use crate::{
    address::Addresses,
    client::Client,
    console::Console,
    error::{Error, Result},
    exit::Exit,
    request_id,
    signals::Signals,
    trust::TrustArgs,
    units,
    wire::ReachArgs,
    work::PrecedenceArgs,
};
use braid_command::{Array, CommandError, CommandSpec, KIND, SaveSignal};
use follow::Style;
use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

/// Run a program as a job: once, as an array, or as a gang
///
/// Without --coordinator it runs here, and ends with the program's exit code. What it prints is followed as it comes.
#[derive(Debug, clap::Args)]
#[command(override_usage = "braid run [OPTIONS] -- PROGRAM [ARGS]...\n       braid run [OPTIONS] <FILE>")]
pub(crate) struct RunArgs {
    /// A job file, in place of a program; flags change what it says
    file: Option<PathBuf>,
    /// The program and its arguments
    #[arg(last = true, value_name = "PROGRAM")]
    command: Vec<String>,
    /// Start N copies together, each told of the others as torch.distributed expects
    #[arg(long, value_name = "N", value_parser = units::whole::<u32>)]
    gang: Option<u32>,
    /// Run once for each of N numbers, or of those from A to B: BRAID_ARRAY_INDEX
    #[arg(long, value_name = "N|A-B")]
    array: Option<Array>,
    /// GPUs of each program
    #[arg(long, value_name = "N", value_parser = units::whole::<u32>)]
    gpus: Option<u32>,
    /// Threads of a worker that each program takes [default: 1]
    #[arg(long, value_name = "N", value_parser = units::whole::<u32>)]
    cpus: Option<u32>,
    /// Memory that each program may hold, with all that it starts
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    memory: Option<u64>,
    /// What must be free on the disk of the folder where each program starts
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    disk: Option<u64>,
    /// Set a variable, or pass on this one's value
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Folder to run in [default: this one]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// End each try after so long
    #[arg(long, value_name = "D", value_parser = units::duration)]
    timeout: Option<Duration>,
    /// From SIGTERM, at a timeout or a cancel, to SIGKILL [default: 10s]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    grace: Option<Duration>,
    /// Send a signal so long before the timeout: USR1@60s
    #[arg(long, value_name = "SIG@D")]
    save_signal: Option<SaveSignal>,
    /// Tries after the first that failed
    #[arg(long, value_name = "N", value_parser = units::whole::<u32>)]
    retries: Option<u32>,
    /// It goes on where it was stopped (BRAID_RESUME=1), so a job of a higher priority may take its place
    #[arg(long)]
    resumable: bool,
    /// What to call it in lists of jobs
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Programs that may run at once in this process [default: as many as it may use threads]
    #[arg(long, value_name = "N", value_parser = units::threads)]
    threads: Option<NonZeroUsize>,
    /// Let the fleet of this coordinator do it
    #[arg(long, value_name = "ADDR", env = "BRAID_COORDINATOR")]
    coordinator: Option<Addresses>,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    precedence: PrecedenceArgs,
    /// Do not wait: print the number of the job and return
    #[arg(long)]
    detach: bool,
}

pub(super) async fn run(args: RunArgs, console: &Console) -> Result {
    let spec = spec(&args)?;
    let text = serde_json::to_string(&spec).map_err(|error| Error::usage(format!("the job cannot be sent: {error}")))?;
    let style = Style::of(&spec);
    let Some(coordinator) = args.coordinator else {
        if args.detach {
            return Err(Error::usage("--detach leaves the work to a fleet, but there is no --coordinator"));
        }
        return here::run(&spec, text, args.threads, style, console).await;
    };
    if args.threads.is_some() {
        console.warn("--threads says what this process may use; on a fleet each worker has its own");
    }
    let client = Client::connect(&ReachArgs { coordinator: Some(coordinator), trust: args.trust }).await?;
    let job = client.submit_as(args.precedence, KIND, text, request_id::random()).await?;
    if args.detach {
        return console.data(&job.id.to_string());
    }
    console.note(&format!("job {}: {}", job.id, job.label));
    let mut signals = Signals::listen()?;
    let job = follow::to_the_end(&client, job.id, &style, &mut signals, std::future::pending(), console).await?;
    let prefix = format!("job {}: ", job.id);
    follow::conclude(job, &style, &prefix, console)
}

/// The job file with what the flags change, or what the flags alone say.
fn spec(args: &RunArgs) -> Result<CommandSpec> {
    let here = std::env::current_dir().map_err(|error| Error::usage(format!("this folder cannot be told: {error}")))?;
    let mut spec = match (&args.file, args.command.is_empty()) {
        (Some(file), true) => read(file, &here)?,
        (Some(file), false) => {
            return Err(Error::usage(format!("both the job file {} and a program are given: one of them runs", file.display()))
                .with_hint("a program and its arguments follow `--`; without it the first word is a job file"));
        }
        (None, false) => CommandSpec::new(args.command.iter().cloned(), &here),
        (None, true) => {
            return Err(Error::usage("there is nothing to run").with_hint("braid run -- PROGRAM ARGS, or braid run JOB.yml"));
        }
    };
    if let Some(dir) = &args.dir {
        spec.dir = std::path::absolute(dir).map_err(|error| Error::usage(format!("{} is no path: {error}", dir.display())))?;
    }
    for variable in &args.env {
        let (name, value) = variable_of(variable)?;
        spec.env.insert(name, value);
    }
    spec.gpus = args.gpus.unwrap_or(spec.gpus);
    spec.cpus = args.cpus.unwrap_or(spec.cpus);
    spec.retries = args.retries.unwrap_or(spec.retries);
    spec.gang = args.gang.or(spec.gang);
    spec.array = args.array.or(spec.array);
    spec.memory = args.memory.or(spec.memory);
    spec.disk = args.disk.or(spec.disk);
    spec.timeout = args.timeout.or(spec.timeout);
    spec.grace = args.grace.or(spec.grace);
    spec.save_signal = args.save_signal.or(spec.save_signal);
    spec.resumable |= args.resumable;
    spec.name = args.name.clone().or(spec.name);
    spec.check().map_err(|error| command_error(&error))?;
    Ok(spec)
}

fn read(file: &Path, here: &Path) -> Result<CommandSpec> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|error| {
        let error = Error::usage(format!("cannot read the job file {name}: {error}"));
        error.with_hint(format!("to run a program of this name: braid run -- {name}"))
    })?;
    CommandSpec::parse(&name, &text, here).map_err(|error| command_error(&error))
}

/// `NAME=VALUE`, or the value that NAME has here.
fn variable_of(text: &str) -> Result<(String, String)> {
    if let Some((name, value)) = text.split_once('=') {
        return Ok((name.to_owned(), value.to_owned()));
    }
    let value = std::env::var(text).map_err(|_| Error::usage(format!("--env {text}: there is no variable of this name here")))?;
    Ok((text.to_owned(), value))
}

fn command_error(error: &CommandError) -> Error {
    Error { exit: Exit::Usage, message: error.to_string(), hint: error.hint() }
}
