//! Lanes of some devices, lent for one call each. No thread waits for one, and a device that fails is asked no more. Not what is asked.

use std::{
    fmt,
    mem::{Discriminant, discriminant},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use braid_kernels::KernelError;

use crate::{Accelerator, GpuError, Lane};

/// Lanes of a device: while one is copied to, one computes, and one is copied from; and one more whose operands are read.
const LANES: usize = 4;
/// Lanes of one that reads files by itself: disks are at their best with many reads under way, and each lane has one.
const READING: usize = 16;

/// The lanes of all devices in use.
#[derive(Debug)]
pub(crate) struct Lanes {
    devices: Vec<Slot>,
    answered: AtomicU64,
    told: Told,
}

/// Kinds of errors that the log has already.
#[derive(Debug)]
struct Told(Mutex<Vec<Discriminant<GpuError>>>);

/// A device that is in use, and its lanes.
struct Slot {
    /// What goes on on the CPU where it fails.
    work: &'static str,
    device: Arc<dyn Accelerator>,
    free: Mutex<Vec<Lane>>,
    made: AtomicUsize,
    most: usize,
    failed: AtomicBool,
}

impl Lanes {
    pub(crate) const fn none() -> Self {
        Self { devices: Vec::new(), answered: AtomicU64::new(0), told: Told::nothing() }
    }

    /// Those of the devices that pass `prove`, which has the name of each; and what is wrong with the others.
    pub(crate) fn of(
        work: &'static str,
        devices: Vec<Arc<dyn Accelerator>>,
        mut prove: impl FnMut(&str, &mut Lane) -> Result<(), GpuError>,
    ) -> (Self, Vec<GpuError>) {
        let (mut slots, mut problems) = (Vec::new(), Vec::new());
        for device in devices {
            match Lane::new(&*device).and_then(|mut lane| prove(&device.description().name, &mut lane).map(|()| lane)) {
                Ok(lane) => slots.push(Slot {
                    work,
                    device,
                    free: Mutex::new(vec![lane]),
                    made: AtomicUsize::new(1),
                    most: LANES,
                    failed: AtomicBool::new(false),
                }),
                Err(problem) => problems.push(problem),
            }
        }
        (Self { devices: slots, answered: AtomicU64::new(0), told: Told::nothing() }, problems)
    }

    /// The same, of devices that read files by themselves.
    pub(crate) fn reading(mut self) -> Self {
        self.devices.iter_mut().for_each(|slot| slot.most = READING);
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// How many calls a device has answered.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// The answer of a device, or what is wrong with the question; none where no lane is free or the device cannot answer.
    pub(crate) fn ask<R>(&self, work: impl FnOnce(&mut Lane) -> Result<R, GpuError>) -> Option<Result<R, KernelError>> {
        let (slot, mut lane) = self.devices.iter().find_map(|slot| Some((slot, slot.take()?)))?;
        match work(&mut lane) {
            Ok(answer) => {
                slot.put(lane);
                self.answered.fetch_add(1, Ordering::Relaxed);
                Some(Ok(answer))
            }
            Err(GpuError::Kernel(error)) => {
                slot.put(lane);
                Some(Err(error))
            }
            Err(error @ GpuError::Lost { .. }) => {
                slot.retire(&error);
                None
            }
            Err(error @ GpuError::Storage { .. }) => {
                self.tell("some files are read by the CPU", &error);
                slot.put(lane);
                None
            }
            Err(error) => {
                self.tell(format_args!("some of the {} are computed on the CPU", slot.work), &error);
                slot.put(lane);
                None
            }
        }
    }

    /// Says in the log what is done instead of what went wrong, once for each kind of error.
    pub(crate) fn tell(&self, instead: impl fmt::Display, error: &GpuError) {
        if self.told.is_news(error) {
            tracing::warn!("{instead}: {error}");
        } else {
            tracing::debug!("{instead}: {error}");
        }
    }
}

impl Told {
    const fn nothing() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Whether the log should have it: the first of its kind. What there is no kernel for is none.
    fn is_news(&self, error: &GpuError) -> bool {
        if matches!(error, GpuError::Unsupported { .. }) {
            return false;
        }
        // a thread that died holding the lock left a list of kinds
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = !kinds.contains(&discriminant(error));
        if fresh {
            kinds.push(discriminant(error));
        }
        fresh
    }
}

impl Slot {
    /// A lane that nobody uses, or a further one.
    fn take(&self) -> Option<Lane> {
        if self.failed.load(Ordering::Acquire) {
            return None;
        }
        if let Some(lane) = self.lock().pop() {
            return Some(lane);
        }
        self.made.fetch_update(Ordering::AcqRel, Ordering::Acquire, |made| (made < self.most).then_some(made + 1)).ok()?;
        match Lane::new(&*self.device) {
            Ok(lane) => Some(lane),
            // It stays counted as made: a device without room for a lane is not asked for one at every tile.
            Err(error @ GpuError::Lost { .. }) => {
                self.retire(&error);
                None
            }
            Err(error) => {
                tracing::debug!("no further lane: {error}");
                None
            }
        }
    }

    fn put(&self, lane: Lane) {
        if !self.failed.load(Ordering::Acquire) {
            self.lock().push(lane);
        }
    }

    /// Asks it no more. Its lanes go with it.
    fn retire(&self, error: &GpuError) {
        if !self.failed.swap(true, Ordering::AcqRel) {
            tracing::warn!("{} go on on the CPU: {error}", self.work);
        }
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Lane>> {
        // a thread that died holding the lock left a list of lanes that nobody uses
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.device.description().name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_each_kind_of_error_once() {
        let (told, device) = (Told::nothing(), || "a device".to_owned());
        let short = |bytes| GpuError::OutOfMemory { device: device(), bytes };
        let products = GpuError::Blas { device: device(), problem: "no handle".into() };
        let no_kernel = GpuError::Unsupported { operation: "products", what: "such".into() };
        let news =
            [&short(5), &no_kernel, &short(7), &products, &no_kernel, &products, &short(5)].map(|error| told.is_news(error));
        assert_eq!(news, [true, false, false, true, false, false, false]);
    }
}
