//! What is done on GPUs: merges where `BRAID_MERGE_ON` says `gpu`, or `gpudirect` where GPUs are to read files by themselves too; attention in
//! trainings where `BRAID_TRAIN_ON` says `gpu`, and gathers of gangs where `BRAID_EXCHANGE` says `nccl`.
//!
//! Variables and not flags: until figures say when a GPU is the faster place, nobody needs them.

use crate::error::{Error, Result};
use braid_gpu::{Arithmetic, Attending};
use braid_workload::Join;
use std::sync::Arc;

const MERGES: &str = "BRAID_MERGE_ON";
const TRAININGS: &str = "BRAID_TRAIN_ON";
const EXCHANGE: &str = "BRAID_EXCHANGE";

/// Which of some values a variable has; unset and empty are the first.
fn chosen(variable: &str, values: &[&str]) -> Result<usize> {
    let value = std::env::var_os(variable).unwrap_or_default();
    let found =
        value.to_str().and_then(|value| if value.is_empty() { Some(0) } else { values.iter().position(|of| *of == value) });
    found.ok_or_else(|| Error::usage(format!("{variable} is {value:?}, and may be {}", values.join(" or "))))
}

/// What jobs compute with beside threads.
#[derive(Debug, Default)]
pub(crate) struct Gpus {
    pub(crate) merges: Arc<Arithmetic>,
    pub(crate) trainings: Arc<Attending>,
}

/// What jobs compute with, as far as it is asked for and this machine has it; the log says what it has not.
pub(crate) fn gpus() -> Result<Gpus> {
    let (merges, trainings) = (chosen(MERGES, &["cpu", "gpu", "gpudirect"])?, chosen(TRAININGS, &["cpu", "gpu"])?);
    Ok(Gpus {
        merges: Arc::new(match merges {
            0 => Arithmetic::cpu(),
            1 => arithmetic(),
            _ => reading(arithmetic()),
        }),
        trainings: Arc::new(if trainings > 0 { attending() } else { Attending::cpu() }),
    })
}

/// How members of a gang meet: as by `join`, and with NCCL where it is asked for and every member has it.
pub(crate) fn exchange(join: Arc<dyn Join>) -> Result<Arc<dyn Join>> {
    Ok(if chosen(EXCHANGE, &["tcp", "nccl"])? > 0 { over_nccl(join) } else { join })
}

#[cfg(feature = "cuda")]
fn arithmetic() -> Arithmetic {
    let devices = devices("merges").into_iter().map(|device| -> Arc<dyn braid_gpu::Accelerator> { Arc::new(device) });
    let (arithmetic, problems) = Arithmetic::on(devices.collect());
    without("merges", &problems);
    arithmetic
}

/// The same, with GPUs that read files by themselves, if there is a way.
#[cfg(feature = "cuda")]
fn reading(arithmetic: Arithmetic) -> Arithmetic {
    match braid_gpu::Storage::cufile() {
        Ok(storage) => arithmetic.with_storage(storage),
        Err(error) => {
            tracing::warn!("{error}");
            arithmetic
        }
    }
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
fn reading(arithmetic: Arithmetic) -> Arithmetic {
    arithmetic
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
