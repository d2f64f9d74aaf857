//! What is done on GPUs: merges where `BRAID_MERGE_ON` says `gpu`, and gathers of gangs where `BRAID_EXCHANGE` says `nccl`.
//!
//! Variables and not flags: they change no result, and until figures say when a GPU is the faster place, nobody needs them.

use crate::error::{Error, Result};
use braid_gpu::Arithmetic;
use braid_workload::Join;
use std::sync::Arc;

const MERGES: &str = "BRAID_MERGE_ON";
const EXCHANGE: &str = "BRAID_EXCHANGE";

/// Whether a variable has the second of two values; unset and empty are the first.
fn is_second(variable: &str, [first, second]: [&str; 2]) -> Result<bool> {
    let value = std::env::var_os(variable).unwrap_or_default();
    match value.to_str() {
        Some("") => Ok(false),
        Some(value) if value == first => Ok(false),
        Some(value) if value == second => Ok(true),
        _ => Err(Error::usage(format!("{variable} is {value:?}, and may be {first} or {second}"))),
    }
}

/// What merges compute with, as far as this machine has it; the log says what it has not.
pub(crate) fn arithmetic() -> Result<Arc<Arithmetic>> {
    Ok(Arc::new(if is_second(MERGES, ["cpu", "gpu"])? { on_gpus() } else { Arithmetic::cpu() }))
}

/// How members of a gang meet: as by `join`, and with NCCL where it is asked for and every member has it.
pub(crate) fn exchange(join: Arc<dyn Join>) -> Result<Arc<dyn Join>> {
    Ok(if is_second(EXCHANGE, ["tcp", "nccl"])? { over_nccl(join) } else { join })
}

#[cfg(feature = "cuda")]
fn on_gpus() -> Arithmetic {
    use braid_gpu::{Accelerator, Device};
    let count = Device::count().unwrap_or_else(|error| {
        tracing::warn!("merges are computed on the CPU: {error}");
        0
    });
    let mut devices: Vec<Arc<dyn Accelerator>> = Vec::new();
    for ordinal in 0..count {
        match Device::open(ordinal) {
            Ok(device) => {
                tracing::info!("merges are computed on {} too", device.description().name);
                devices.push(Arc::new(device));
            }
            Err(error) => tracing::warn!("merges are computed without this GPU: {error}"),
        }
    }
    let (arithmetic, problems) = Arithmetic::on(devices);
    for problem in problems {
        tracing::warn!("merges are computed without this GPU: {problem}");
    }
    arithmetic
}

#[cfg(feature = "cuda")]
fn over_nccl(join: Arc<dyn Join>) -> Arc<dyn Join> {
    Arc::new(braid_worker::exchange::nccl::NcclJoin::new(join))
}

#[cfg(not(feature = "cuda"))]
fn on_gpus() -> Arithmetic {
    tracing::warn!("merges are computed on the CPU: this program was built without the feature cuda");
    Arithmetic::cpu()
}

#[cfg(not(feature = "cuda"))]
fn over_nccl(join: Arc<dyn Join>) -> Arc<dyn Join> {
    tracing::warn!("gathers go over TCP: this program was built without the feature cuda");
    join
}
