//! What is done on GPUs: merges where `BRAID_MERGE_ON` says `gpu`, attention in trainings where `BRAID_TRAIN_ON` does, and gathers of gangs
//! where `BRAID_EXCHANGE` says `nccl`.
//!
//! Variables and not flags: until figures say when a GPU is the faster place, nobody needs them.

use crate::error::{Error, Result};
use braid_gpu::{Arithmetic, Attending};
use braid_workload::Join;
use std::sync::Arc;

const MERGES: &str = "BRAID_MERGE_ON";
const TRAININGS: &str = "BRAID_TRAIN_ON";
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

/// What jobs compute with beside threads.
#[derive(Debug, Default)]
pub(crate) struct Gpus {
    pub(crate) merges: Arc<Arithmetic>,
    pub(crate) trainings: Arc<Attending>,
}

/// What jobs compute with, as far as it is asked for and this machine has it; the log says what it has not.
pub(crate) fn gpus() -> Result<Gpus> {
    let on_gpus = |variable| is_second(variable, ["cpu", "gpu"]);
    let (merges, trainings) = (on_gpus(MERGES)?, on_gpus(TRAININGS)?);
    Ok(Gpus {
        merges: Arc::new(if merges { arithmetic() } else { Arithmetic::cpu() }),
        trainings: Arc::new(if trainings { attending() } else { Attending::cpu() }),
    })
}

/// How members of a gang meet: as by `join`, and with NCCL where it is asked for and every member has it.
pub(crate) fn exchange(join: Arc<dyn Join>) -> Result<Arc<dyn Join>> {
    Ok(if is_second(EXCHANGE, ["tcp", "nccl"])? { over_nccl(join) } else { join })
}

#[cfg(feature = "cuda")]
fn arithmetic() -> Arithmetic {
    let devices = devices("merges").into_iter().map(|device| -> Arc<dyn braid_gpu::Accelerator> { Arc::new(device) });
    let (arithmetic, problems) = Arithmetic::on(devices.collect());
    without("merges", &problems);
    arithmetic
}

#[cfg(feature = "cuda")]
fn attending() -> Attending {
    let devices = devices("trainings");
    let products = devices.first().is_some_and(|device| {
        let products = device.has_products();
        products.inspect_err(|error| tracing::warn!("softmax attention of trainings is computed on the CPU: {error}")).is_ok()
    });
    let devices = devices.into_iter().map(|device| -> Arc<dyn braid_gpu::Accelerator> { Arc::new(device) });
    let (attending, problems) = Attending::on(devices.collect(), products);
    without("trainings", &problems);
    attending
}

/// The GPUs of this machine that can be opened.
#[cfg(feature = "cuda")]
fn devices(work: &str) -> Vec<braid_gpu::Device> {
    use braid_gpu::{Accelerator, Device};
    let count = Device::count().unwrap_or_else(|error| {
        tracing::warn!("{work} are computed on the CPU: {error}");
        0
    });
    let mut devices = Vec::new();
    for ordinal in 0..count {
        match Device::open(ordinal) {
            Ok(device) => {
                tracing::info!("{work} are computed on {} too", device.description().name);
                devices.push(device);
            }
            Err(error) => tracing::warn!("{work} are computed without this GPU: {error}"),
        }
    }
    devices
}

#[cfg(feature = "cuda")]
fn without(work: &str, problems: &[braid_gpu::GpuError]) {
    for problem in problems {
        match problem {
            braid_gpu::GpuError::NoSoftmax { .. } => tracing::warn!("{problem}"),
            _ => tracing::warn!("{work} are computed without this GPU: {problem}"),
        }
    }
}

#[cfg(feature = "cuda")]
fn over_nccl(join: Arc<dyn Join>) -> Arc<dyn Join> {
    Arc::new(braid_worker::exchange::nccl::NcclJoin::new(join))
}

#[cfg(not(feature = "cuda"))]
fn arithmetic() -> Arithmetic {
    tracing::warn!("merges are computed on the CPU: this program was built without the feature cuda");
    Arithmetic::cpu()
}

#[cfg(not(feature = "cuda"))]
fn attending() -> Attending {
    tracing::warn!("trainings are computed on the CPU: this program was built without the feature cuda");
    Attending::cpu()
}

#[cfg(not(feature = "cuda"))]
fn over_nccl(join: Arc<dyn Join>) -> Arc<dyn Join> {
    tracing::warn!("gathers go over TCP: this program was built without the feature cuda");
    join
}
