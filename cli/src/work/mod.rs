//! Work that ends with a folder: carried out in this process or on a fleet, and followed to its end.

pub(crate) mod gpus;
mod inside;
mod watch;

use crate::{
    address::Addresses,
    client::{Client, verdict},
    console::Console,
    error::{Error, Result},
    local::Limits,
    request_id,
    signals::Signals,
    trust::TrustArgs,
    verbs::LimitArgs,
    wire::ReachArgs,
};
use braid_proto::v1::Job;
use std::{num::NonZeroUsize, path::Path, time::Instant};

/// A job and what it leaves behind.
pub(crate) struct Work<'a> {
    /// The kind of job.
    pub(crate) kind: &'static str,
    /// Its spec, as JSON.
    pub(crate) spec: String,
    /// The folder that it writes.
    pub(crate) out: &'a Path,
    /// What a person sees while it runs.
    pub(crate) shows: Shows,
    /// Threads that it needs at once, where it runs in this process.
    pub(crate) threads: usize,
    /// GPUs that it needs at once, there.
    pub(crate) gpus: u32,
}

/// What a person sees while a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    /// How many bytes are done.
    Progress,
    /// What its tasks have to say.
    Lines,
}

/// Where work is carried out.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct WhereArgs {
    #[command(flatten)]
    limits: LimitArgs,
    /// Let the fleet of this coordinator do it; of several, name all, separated by commas
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

impl WhereArgs {
    /// Whether a fleet is to do it.
    pub(crate) fn is_fleet(&self) -> bool {
        self.coordinator.is_some()
    }

    /// Whether nobody waits for it.
    pub(crate) fn is_detached(&self) -> bool {
        self.detach
    }

    /// Whether somebody waits for it, where no fleet does it.
    pub(crate) fn stays(&self) -> Result {
        match self.detach && !self.is_fleet() {
            true => Err(Error::usage("--detach leaves the work to a fleet, but there is no --coordinator")),
            false => Ok(()),
        }
    }

    /// Threads that this process may compute on.
    pub(crate) fn threads(&self) -> NonZeroUsize {
        self.limits.resolve().0
    }
}

/// How a job stands among others of its fleet.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct PrecedenceArgs {
    /// Jobs of a higher priority go first, and may take the place of lower ones
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = priority, allow_negative_numbers = true)]
    pub(crate) priority: i32,
    /// In whose name the job runs [default: the project `default`]
    #[arg(long, value_name = "NAME", env = "BRAID_PROJECT")]
    pub(crate) project: Option<String>,
}

fn priority(text: &str) -> std::result::Result<i32, String> {
    text.parse().map_err(|_| "not a whole number such as 10 or -5".into())
}

/// Carries it out, and says where the result is.
pub(crate) async fn run(work: Work<'_>, place: WhereArgs, console: &Console, start: Instant) -> Result {
    let out = work.out;
    match ended(work, place, console).await? {
        Some(job) => watch::conclude(&job, out, start.elapsed(), console),
        None => Ok(()),
    }
}

/// Carries it out. The job, which is done; none where it was left to a fleet.
pub(crate) async fn ended(work: Work<'_>, place: WhereArgs, console: &Console) -> Result<Option<Job>> {
    // Large, and of every verb that works.
    Box::pin(carry_out(work, place, console)).await
}

async fn carry_out(work: Work<'_>, place: WhereArgs, console: &Console) -> Result<Option<Job>> {
    let Some(coordinator) = place.coordinator else {
        place.stays()?;
        let (threads, memory) = place.limits.resolve();
        let threads = NonZeroUsize::new(work.threads).map_or(threads, |needed| needed.max(threads));
        let gpus = if work.gpus > 0 { gpus::enough(work.gpus.into())? } else { 0 };
        return inside::run(&work, Limits { threads, memory, gpus }, console).await.map(Some);
    };
    if place.limits.is_given() {
        console.warn("--threads and --memory say what this process may use; on a fleet each worker has its own");
    }
    let client = Client::connect(&ReachArgs { coordinator: Some(coordinator), trust: place.trust }).await?;
    let job = client.submit_as(place.precedence, work.kind, work.spec, request_id::random()).await?;
    if place.detach {
        console.data(&job.id.to_string())?;
        return Ok(None);
    }
    console.note(&format!("job {}: {}", job.id, job.label));
    let mut signals = Signals::listen()?;
    let ended = watch::to_the_end(&client, job.id, work.shows, &mut signals, std::future::pending(), console).await?;
    verdict(&ended)?;
    Ok(Some(ended))
}
