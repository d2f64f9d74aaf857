//! Programs inside this process: a fleet of one is started for them, with its state in a temporary folder.

use super::follow::{self, Style};
use crate::{
    console::Console,
    error::{Error, Result},
    local::{Limits, Local},
    request_id,
    signals::Signals,
    units::show_bytes,
    work::gpus,
};
use braid_command::{CommandSpec, KIND};
use braid_worker::Machine;
use rustix::fs::statvfs;
use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

pub(super) async fn run(
    spec: &CommandSpec,
    text: String,
    threads: Option<NonZeroUsize>,
    style: Style,
    console: &Console,
) -> Result {
    let mut signals = Signals::listen()?;
    let state = StateFolder::make()?;
    let mut local = Local::start(&state.0, limits(spec, threads)?).await?;
    let client = local.client().clone();
    let ended = async {
        let job = client.submit(KIND, text, request_id::random()).await?;
        follow::to_the_end(&client, job.id, &style, &mut signals, local.broken(), console).await
    }
    .await;
    local.stop().await;
    drop(state);
    // Its number is of no use to anyone: the job ends with the process.
    follow::conclude(ended?, &style, "", console)
}

/// Threads for a whole gang at once, and for as many programs as there are processors.
fn limits(spec: &CommandSpec, threads: Option<NonZeroUsize>) -> Result<Limits> {
    let machine = Machine::detect();
    let together = u64::from(spec.gang.unwrap_or(1));
    let needed = together.saturating_mul(u64::from(spec.cpus));
    let threads = threads.unwrap_or(machine.threads);
    let threads = usize::try_from(needed).ok().and_then(NonZeroUsize::new).map_or(threads, |needed| needed.max(threads));
    let bytes = spec.memory.unwrap_or(0).saturating_mul(together);
    if bytes > machine.memory {
        let (asked, has) = (show_bytes(bytes), show_bytes(machine.memory));
        return Err(Error::usage(format!("the job asks for {asked} of memory at once, and this machine has {has}")));
    }
    if let Some((asked, free)) = spec.disk.zip(free(&spec.dir)).filter(|(asked, free)| asked > free) {
        let (asked, free, dir) = (show_bytes(asked), show_bytes(free), spec.dir.display());
        return Err(Error::usage(format!("the job asks for {asked} of disk in {dir}, where {free} are free")));
    }
    let gpus = gpus::enough(u64::from(spec.gpus).saturating_mul(together))?;
    Ok(Limits { threads, memory: machine.memory, gpus })
}

/// Bytes that this user may still write to the disk of a folder; none where that cannot be told.
fn free(folder: &Path) -> Option<u64> {
    let disk = statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The folder of the store; removed when dropped.
struct StateFolder(PathBuf);

impl StateFolder {
    fn make() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("braid-run-{}", request_id::random()));
        let cannot = |error| Error::unavailable(format!("cannot create {}: {error}", path.display()));
        fs::create_dir(&path).map_err(cannot)?;
        Ok(Self(path))
    }
}

impl Drop for StateFolder {
    fn drop(&mut self) {
        // What cannot be removed now is a temporary file.
        let _ = fs::remove_dir_all(&self.0);
    }
}
