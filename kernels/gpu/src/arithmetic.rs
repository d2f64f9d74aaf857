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

use std::{fs::File, ops::Range, path::Path, sync::Arc};

use braid_kernels::{
    Buckets, Chances, Combine, Dots, Gram, Keep, KernelError, L1, MaskedPiece, Part, Pass, Slice, SliceMut, Source, TaskVector,
};

use crate::{Accelerator, GpuError, Inputs, Lane, Storage, Stored, StoredFile, lanes::Lanes, proof};

/// Elements below which a tile is not worth the way.
const LEAST: usize = 1 << 16;

/// The arithmetic of merges, wherever it is done.
#[derive(Debug)]
pub struct Arithmetic {
    lanes: Lanes,
    least: usize,
    storage: Option<Storage>,
}

impl Default for Arithmetic {
    fn default() -> Self {
        Self::cpu()
    }
}

impl Arithmetic {
    /// On the calling threads alone.
    pub const fn cpu() -> Self {
        Self { lanes: Lanes::none(), least: LEAST, storage: None }
    }

    /// On these devices too, those of them that give the CPU's answers to a few questions; and what is wrong with the others.
    pub fn on(devices: Vec<Arc<dyn Accelerator>>) -> (Self, Vec<GpuError>) {
        let (lanes, problems) = Lanes::of("merges", devices, proof::of_merges);
        (Self { lanes, least: LEAST, storage: None }, problems)
    }

    /// The same, with tiles of so many elements worth the way.
    pub fn with_least(self, elements: usize) -> Self {
        Self { least: elements, ..self }
    }

    /// The same, with devices that read files by themselves where there is a way.
    pub fn with_storage(self, storage: Storage) -> Self {
        Self { storage: Some(storage), lanes: self.lanes.reading(), ..self }
    }

    /// Whether devices read files by themselves.
    pub fn reads_files(&self) -> bool {
        self.storage.is_some() && !self.lanes.is_empty()
    }

    /// A file as devices read it by themselves; none where they cannot, which is said in the log.
    pub fn stored_file(&self, file: &File, path: &Path) -> Option<StoredFile> {
        let storage = self.storage.as_ref().filter(|_| self.reads_files())?;
        storage.register(file, path).inspect_err(|error| self.lanes.tell("files are read by the CPU", error)).ok()
    }

    /// Has a device read `inputs` by itself, and does `work` with them there; none where it cannot, which costs nothing but time: whoever
    /// asks reads them and does the same with [`Inputs::here`], and learns what is wrong with them, if anything is.
    pub fn stored<R>(&self, inputs: &[Stored<'_>], work: impl FnOnce(&Inputs<'_>) -> Result<R, KernelError>) -> Option<R> {
        let sound = inputs.iter().all(|input| input.file.is_sound());
        if !sound || !self.reads_files() { None } else { self.lanes.ask(|lane| lane.stored(inputs, work))?.ok() }
    }

    /// How many calls a device has answered.
    pub fn answered_by_devices(&self) -> u64 {
        self.lanes.answered()
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
        if elements < self.least { None } else { self.lanes.ask(work) }
    }
}

/// The elements of a task vector. What else is looked at, devices have no kernel for: it is not worth a lane.
fn of_vector(source: &Source<'_>) -> usize {
    match source {
        Source::Difference { base, .. } => base.len(),
        _ => 0,
    }
}
