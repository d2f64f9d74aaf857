//! Where the arithmetic of merges is done: on lanes of devices as far as there are any, and on the calling thread else.
//!
//! ```text
//!   a tile ──▶ large enough, and a lane is free? ──no──▶ CPU
//!                │ yes                                    ▲
//!                ▼                                        │ no memory, nothing for this operation;
//!              device ── done, or a result is no number   │ device failed: it is not asked again
//!                │                                        │
//!                └────────────────────────────────────────┘
//! ```
//!
//! Both give the same bytes, so nobody sees which it was. No thread waits for a lane: while all are in use, it computes itself.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use braid_kernels::{
    Buckets, Chances, Combine, Dots, Gram, Keep, KernelError, L1, MaskedPiece, Part, Pass, Slice, SliceMut, Source, TaskVector,
};

use crate::{Accelerator, GpuError, Lane, proof};

/// Lanes of a device: while one is copied to, one computes, and one is copied from; and one more whose tile is read.
const LANES: usize = 4;
/// Elements below which a tile is not worth the way.
const LEAST: usize = 1 << 16;

/// The arithmetic of merges, wherever it is done.
#[derive(Debug)]
pub struct Arithmetic {
    devices: Vec<Slot>,
    least: usize,
    done: AtomicU64,
}

/// A device that is in use, and its lanes.
struct Slot {
    device: Arc<dyn Accelerator>,
    free: Mutex<Vec<Lane>>,
    made: AtomicUsize,
    failed: AtomicBool,
}

impl Arithmetic {
    /// On the calling threads alone.
    pub const fn cpu() -> Self {
        Self { devices: Vec::new(), least: LEAST, done: AtomicU64::new(0) }
    }

    /// On these devices too, those of them that give the CPU's answers to a few questions; and what is wrong with the others.
    pub fn on(devices: Vec<Arc<dyn Accelerator>>) -> (Self, Vec<GpuError>) {
        let (mut slots, mut problems) = (Vec::new(), Vec::new());
        for device in devices {
            match Lane::new(&*device).and_then(|mut lane| proof::prove(&device.description().name, &mut lane).map(|()| lane)) {
                Ok(lane) => slots.push(Slot {
                    device,
                    free: Mutex::new(vec![lane]),
                    made: AtomicUsize::new(1),
                    failed: AtomicBool::new(false),
                }),
                Err(problem) => problems.push(problem),
            }
        }
        (Self { devices: slots, least: LEAST, done: AtomicU64::new(0) }, problems)
    }

    /// The same, with tiles of so many elements worth the way.
    pub fn with_least(self, elements: usize) -> Self {
        Self { least: elements, ..self }
    }

    /// How many calls a device has answered.
    pub fn answered_by_devices(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// As [`braid_kernels::linear`].
    ///
    /// # Errors
    /// As there.
    pub fn linear(&self, inputs: &[Slice<'_>], weights: &[f32], divisor: f32, out: &mut SliceMut<'_>) -> Result<(), KernelError> {
        let on_device = self.device(out.len(), |lane| lane.linear(inputs, weights, divisor, out));
        on_device.unwrap_or_else(|| braid_kernels::linear(inputs, weights, divisor, out))
    }

    /// As [`braid_kernels::task_vectors`].
    ///
    /// # Errors
    /// As there.
    pub fn task_vectors(
        &self,
        base: &Slice<'_>,
        experts: &[TaskVector<'_>],
        combine: &Combine,
        out: &mut SliceMut<'_>,
    ) -> Result<(), KernelError> {
        let on_device = self.device(out.len(), |lane| lane.task_vectors(base, experts, combine, out));
        on_device.unwrap_or_else(|| braid_kernels::task_vectors(base, experts, combine, out))
    }

    /// As [`braid_kernels::dots`].
    ///
    /// # Errors
    /// As there.
    pub fn dots(&self, a: &Slice<'_>, b: &Slice<'_>) -> Result<Vec<Dots>, KernelError> {
        self.device(a.len(), |lane| lane.dots(a, b)).unwrap_or_else(|| braid_kernels::dots(a, b))
    }

    /// As [`braid_kernels::gram`].
    ///
    /// # Errors
    /// As there.
    pub fn gram(&self, base: Option<&Slice<'_>>, inputs: &[Slice<'_>]) -> Result<Vec<Gram>, KernelError> {
        let length = inputs.first().map_or(0, Slice::len);
        self.device(length, |lane| lane.gram(base, inputs)).unwrap_or_else(|| braid_kernels::gram(base, inputs))
    }

    /// As [`braid_kernels::l1`].
    ///
    /// # Errors
    /// As there.
    pub fn l1(&self, base: &Slice<'_>, theta: &Slice<'_>, keep: Keep<'_>) -> Result<Vec<L1>, KernelError> {
        self.device(base.len(), |lane| lane.l1(base, theta, keep)).unwrap_or_else(|| braid_kernels::l1(base, theta, keep))
    }

    /// As [`braid_kernels::measure_sources`].
    ///
    /// # Errors
    /// As there.
    pub fn measure(&self, sources: &[(Source<'_>, Vec<&Pass>)], first: u64) -> Result<Vec<Part>, KernelError> {
        // a sample is small, whatever the tile
        let whole = sources.iter().flat_map(|(_, passes)| passes).all(|pass| pass.wanted().is_some());
        let length = sources.iter().map(|(source, _)| of_vector(source)).min().filter(|_| whole);
        self.device(length.unwrap_or(0), |lane| lane.measure(sources))
            .unwrap_or_else(|| braid_kernels::measure_sources(sources, first))
    }

    /// As [`braid_kernels::count_in_buckets`].
    ///
    /// # Errors
    /// As there.
    pub fn count_in_buckets(&self, source: &Source<'_>, buckets: &[Buckets], counts: &mut [Vec<u64>]) -> Result<(), KernelError> {
        let on_device = self.device(of_vector(source), |lane| lane.count_in_buckets(source, buckets, counts));
        on_device.unwrap_or_else(|| braid_kernels::count_in_buckets(source, buckets, counts))
    }

    /// As [`braid_kernels::ranked`].
    ///
    /// # Errors
    /// As there.
    pub fn ranked(
        &self,
        base: &Slice<'_>,
        theta: &Slice<'_>,
        row: usize,
        own: Range<usize>,
        chances: &Chances,
        piece: MaskedPiece,
    ) -> Result<Vec<u64>, KernelError> {
        let on_device = self.device(own.len(), |lane| lane.ranked(base, theta, row, own.clone(), chances, piece));
        on_device.unwrap_or_else(|| braid_kernels::ranked(base, theta, row, own, chances, piece))
    }

    /// The answer of a device; none where it must be computed here.
    fn device<R>(&self, elements: usize, work: impl FnOnce(&mut Lane) -> Result<R, GpuError>) -> Option<Result<R, KernelError>> {
        if elements < self.least {
            return None;
        }
        let (slot, mut lane) = self.devices.iter().find_map(|slot| Some((slot, slot.take()?)))?;
        let answer = work(&mut lane);
        let failed = matches!(answer, Err(GpuError::Lost { .. }));
        match answer {
            Ok(answer) => {
                slot.put(lane);
                self.done.fetch_add(1, Ordering::Relaxed);
                Some(Ok(answer))
            }
            Err(GpuError::Kernel(error)) => {
                slot.put(lane);
                Some(Err(error))
            }
            Err(error) => {
                if failed {
                    slot.retire(&error);
                } else {
                    tracing::debug!("computed on the CPU: {error}");
                    slot.put(lane);
                }
                None
            }
        }
    }
}

/// The elements of a task vector. What else is looked at, devices have no kernel for: it is not worth a lane.
fn of_vector(source: &Source<'_>) -> usize {
    match source {
        Source::Difference { base, .. } => base.len(),
        _ => 0,
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
        self.made.fetch_update(Ordering::AcqRel, Ordering::Acquire, |made| (made < LANES).then_some(made + 1)).ok()?;
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
            tracing::warn!("merges go on on the CPU: {error}");
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
