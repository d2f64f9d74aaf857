//! What a method sees of one output tensor: parallel passes over it, tile by tile.
//!
//! A tile is a run of elements, the same run of every input and of the output. Its length is a power of two of at least
//! [`GRANULE`] elements and is chosen from the memory at hand: a result must not depend on it, so whatever is summed is
//! summed granule by granule, and granules in order.
//!
//! Each pass reads every input once. The first pass hashes the inputs while their bytes are in the cache; the last one
//! ([`Tiles::write`], [`Tiles::write_anywhere`] or [`Tiles::copy`]) hashes the output. No bytes stay in memory between passes. A pass
//! whose arithmetic takes inputs by number may have its tiles read, hashed and computed by a GPU (`anywhere`).

mod anywhere;
mod fold;
mod glance;
mod rows;

pub use rows::Rows;

use super::{
    buffers::Buffers,
    digest::{TensorDigests, Tree},
    failure::FirstFailure,
    origin::{Origin, Reader},
    phases::Phases,
};
use crate::{MergeError, output::ShardFile, survey::Answer};
use blake3::{Hash, hazmat::ChainingValue};
use braid_gpu::Arithmetic;
use braid_kernels::{Combine, Dtype, GRANULE, Keep, KernelError, Slice, SliceMut, TaskVector, convert, task_vectors};
use braid_workload::TaskContext;
use rayon::prelude::*;
use std::{
    borrow::Cow,
    sync::{Arc, OnceLock, atomic::AtomicU64},
};

/// The largest tile: beyond it nothing is won, and the buffers leave the cache.
const MAX_TILE: usize = 1 << 18;

/// What the buffers of one thread may take of its second-level cache.
const CACHE: u64 = 1 << 20;

/// Where a tile lies in its tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first element of the tile, counted in the tensor.
    pub first: u64,
    /// The number of the tile, from 0.
    pub index: usize,
    /// How many elements the tile has: that of every tile but the last is the same.
    pub elements: usize,
}

/// One tile of the inputs of an output tensor.
#[derive(Debug, Clone, Copy)]
pub struct Tile<'a> {
    /// The same elements of every input, in the order of the planned tensor's sources.
    pub inputs: &'a [Slice<'a>],
    /// The first element of the tile, counted in the tensor.
    pub first: u64,
    /// The number of the tile, from 0.
    pub index: usize,
    /// How many elements the tile has: that of every tile but the last is the same.
    pub elements: usize,
}

impl<'a> Tile<'a> {
    /// Where it lies.
    pub fn extent(&self) -> Extent {
        let Self { first, index, elements, .. } = *self;
        Extent { first, index, elements }
    }

    /// All inputs but one, in order.
    pub fn others(&self, input: usize) -> Vec<Slice<'a>> {
        self.inputs.iter().enumerate().filter(|(index, _)| *index != input).map(|(_, slice)| *slice).collect()
    }
}

/// What a pass reads for each tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Its elements.
    Tile,
    /// Every row that it reaches into, whole.
    Rows,
}

/// What the passes of a task share.
pub struct Passes<'a> {
    /// Says when to stop, and is told how far the task is.
    pub context: &'a TaskContext,
    /// The memory to work in.
    pub buffers: Buffers,
    /// The bytes that all buffers in use at a time may take.
    pub memory: u64,
    /// Where the time goes, for those who trace.
    pub phases: Phases,
    /// Does the arithmetic that GPUs may do.
    pub arithmetic: &'a Arithmetic,
    /// What is known about whole models.
    pub answers: &'a [Answer],
    /// The bytes of inputs that have been read.
    pub read: AtomicU64,
}

/// One input of an output tensor.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// How messages name the model that it is part of.
    pub model: Cow<'a, str>,
    /// Where its elements come from.
    pub origin: Origin,
}

/// An output tensor and where it goes.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its element type.
    pub dtype: Dtype,
    /// Its shape, which every input shares.
    pub shape: &'a [u64],
    /// The file that it goes into.
    pub file: Arc<ShardFile>,
    /// Where it begins in the file.
    pub offset: u64,
    /// How much of what is added to the base stays.
    pub scaling: Option<Scaling>,
}

/// A factor on the difference between what a method makes and one of its inputs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    /// The input.
    pub base: usize,
    /// The factor.
    pub factor: f32,
}

/// Passes over one output tensor.
pub struct Tiles<'a> {
    target: Target<'a>,
    inputs: Vec<Input<'a>>,
    passes: &'a Passes<'a>,
    elements: u64,
    tile: usize,
    input_digests: OnceLock<Vec<Hash>>,
    output_digest: OnceLock<Hash>,
}

/// The elements of a full tile of a tensor whose inputs and output take `bytes` an element together.
///
/// Such that the buffers of a thread stay in its cache, and those of all `threads` within `memory`; but never less than
/// [`GRANULE`], so that the result does not depend on it.
pub fn tile_elements(bytes: u64, threads: usize, memory: u64) -> usize {
    let share = CACHE.min(memory / (threads.max(1) as u64));
    let mut tile = GRANULE;
    while tile < MAX_TILE && bytes.saturating_mul(2 * tile as u64) <= share {
        tile *= 2;
    }
    tile
}

impl<'a> Tiles<'a> {
    /// Passes over `target`, made of `inputs`.
    ///
    /// # Errors
    /// A shape with more elements or bytes than a file can hold.
    pub fn new(target: Target<'a>, inputs: Vec<Input<'a>>, passes: &'a Passes<'a>) -> Result<Self, MergeError> {
        let spare = inputs.iter().map(|input| input.origin.spare()).max().unwrap_or(0).max(target.dtype.size());
        let per_element: u64 = inputs.iter().map(|input| input.origin.seen().size() as u64).sum::<u64>() + spare as u64;
        let elements = target.shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n));
        let Some(elements) = elements.filter(|n| n.checked_mul(per_element).is_some_and(|bytes| bytes <= i64::MAX as u64)) else {
            return Err(MergeError::Task(format!(
                "tensor {:?} of shape {:?} is larger than any file",
                target.name, target.shape
            )));
        };
        let threads = passes.context.pool.current_num_threads();
        let tile = tile_elements(per_element, threads, passes.memory);
        for input in &inputs {
            input.origin.will_read(elements);
        }
        let (input_digests, output_digest) = (OnceLock::new(), OnceLock::new());
        let tiles = Self { target, inputs, passes, elements, tile, input_digests, output_digest };
        Ok(Self { tile: tiles.tile_of_gpu(per_element, threads).unwrap_or(tile), ..tiles })
    }

    /// The name of the output tensor.
    pub fn name(&self) -> &str {
        self.target.name
    }

    /// The shape of the output tensor and of all its inputs.
    pub fn shape(&self) -> &[u64] {
        self.target.shape
    }

    /// The dtype that the output is rounded to.
    pub fn dtype(&self) -> Dtype {
        self.target.dtype
    }

    /// The number of elements.
    pub fn elements(&self) -> u64 {
        self.elements
    }

    /// The dtypes of the inputs, in order.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = Dtype> + '_ {
        self.inputs.iter().map(|input| input.origin.seen())
    }

    /// The most spare memory that reading an element of an input takes.
    fn spare(&self) -> usize {
        self.inputs.iter().map(|input| input.origin.spare()).max().unwrap_or(0)
    }

    /// Does the arithmetic that GPUs may do.
    pub fn arithmetic(&self) -> &Arithmetic {
        self.passes.arithmetic
    }

    /// What is known about whole models, for a method that has asked.
    pub fn answers(&self) -> &'a [Answer] {
        self.passes.answers
    }

    /// How messages name the model of input `input`.
    pub fn model(&self, input: usize) -> &str {
        self.inputs.get(input).map_or("", |input| &input.model)
    }

    /// One parallel pass that writes nothing: the results of `f` in the order of the tiles.
    ///
    /// `f` runs on a compute thread with the buffers of that thread: it must not hand work to other threads.
    ///
    /// # Errors
    /// A read that failed, or [`MergeError::Cancelled`], or what `f` returns.
    pub fn measure<R: Send>(&self, f: impl Fn(&Tile<'_>) -> Result<R, KernelError> + Sync) -> Result<Vec<R>, MergeError> {
        self.each_tile(|index, hash| self.measured(index, hash, &f))
    }

    fn measured<R>(
        &self,
        index: usize,
        hash: bool,
        f: &impl Fn(&Tile<'_>) -> Result<R, KernelError>,
    ) -> Result<(R, Vec<ChainingValue>), MergeError> {
        let measured = |tile: &Tile<'_>| self.passes.phases.kernel.of(|| f(tile)).map_err(|error| self.explain(tile, error));
        self.tile(index, hash, Reach::Tile, &|tile, _, _| measured(tile))
    }

    /// The last pass: `f` fills the bytes of each output tile, which are written at their place and hashed.
    ///
    /// `f` must fill all of its output: the buffer holds whatever an earlier tile left there.
    ///
    /// # Errors
    /// As [`Tiles::measure`]; a write that failed; [`MergeError::NotANumber`], naming the input that holds one.
    pub fn write(&self, f: impl Fn(&Tile<'_>, SliceMut<'_>) -> Result<(), KernelError> + Sync) -> Result<(), MergeError> {
        self.write_reaching(Reach::Tile, |tile, _, out| f(tile, out))
    }

    fn write_reaching(
        &self,
        reach: Reach,
        f: impl Fn(&Tile<'_>, &Rows<'_>, SliceMut<'_>) -> Result<(), KernelError> + Sync,
    ) -> Result<(), MergeError> {
        let leaves = self.each_tile(|index, hash| self.made(index, hash, reach, &f))?;
        self.written(self.tree(self.target.dtype).root(|i| &leaves[i]))
    }

    /// A tile of the output, at its place: its value for the digest, and those of the inputs.
    fn made(
        &self,
        index: usize,
        hash: bool,
        reach: Reach,
        f: &impl Fn(&Tile<'_>, &Rows<'_>, SliceMut<'_>) -> Result<(), KernelError>,
    ) -> Result<(ChainingValue, Vec<ChainingValue>), MergeError> {
        self.tile(index, hash, reach, &|tile, rows, output| {
            let fill = |output: &mut [u8]| self.scaled(tile, rows, SliceMut::new(self.target.dtype, output)?, f);
            self.passes.phases.kernel.of(|| fill(output)).map_err(|error| self.explain(tile, error))?;
            self.emit(&tile.extent(), output)
        })
    }

    /// Hashes a tile of the output and writes it at its place.
    fn emit(&self, extent: &Extent, output: &[u8]) -> Result<ChainingValue, MergeError> {
        let (phases, offset) = (&self.passes.phases, extent.first * self.target.dtype.size() as u64);
        let leaf = phases.kernel.of(|| self.tree(self.target.dtype).leaf(offset, output));
        phases.write.of(|| self.target.file.write_at(output, self.target.offset + offset))?;
        self.count(extent);
        Ok(leaf)
    }

    /// Fills an output tile by `f`, or with the share of what `f` adds to the base that stays.
    fn scaled(
        &self,
        tile: &Tile<'_>,
        rows: &Rows<'_>,
        mut out: SliceMut<'_>,
        f: &impl Fn(&Tile<'_>, &Rows<'_>, SliceMut<'_>) -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        let Some(Scaling { base, factor }) = self.target.scaling else { return f(tile, rows, out) };
        let base = tile.inputs.get(base).ok_or(KernelError::Changed)?;
        let mut merged = vec![0; tile.elements * size_of::<f32>()];
        f(tile, rows, SliceMut::new(Dtype::F32, &mut merged)?)?;
        let theta = Slice::new(Dtype::F32, &merged)?;
        let change = TaskVector { theta, keep: Keep::All, scale: 1.0, weight: factor };
        task_vectors(base, &[change], &Combine { elect_sign: false, normalize: false, lambda: 1.0 }, &mut out)
    }

    /// The last pass of a tensor that is input `input` unchanged: its bytes as they are, whatever they mean.
    ///
    /// # Errors
    /// As [`Tiles::write`]; there is no such input, or it has another dtype.
    pub fn copy(&self, input: usize) -> Result<(), MergeError> {
        // an input that was computed as it was read has another type than the one that it is stored in
        let origin = self.inputs.get(input).map(|source| &source.origin);
        let floats = origin.is_some_and(|origin| {
            !origin.is_plain() || (origin.seen() != self.target.dtype && !matches!(origin, Origin::Stored(_)))
        });
        if self.target.scaling.is_some() || floats {
            return self.write(|tile, mut out| convert(&tile.inputs[input], &mut out));
        }
        if origin.is_none_or(|origin| origin.seen() != self.target.dtype) {
            return Err(MergeError::Task(format!("input {input} of tensor {:?} cannot be copied", self.target.name)));
        }
        self.pass(Reach::Tile, |tile, _, _| {
            let offset = tile.first * self.target.dtype.size() as u64;
            let write = || self.target.file.write_at(tile.inputs[input].bytes(), self.target.offset + offset);
            self.passes.phases.write.of(write)?;
            self.count(&tile.extent());
            Ok(())
        })?;
        match self.input_digests.get().and_then(|digests| digests.get(input)) {
            Some(&digest) => self.written(digest),
            None => Ok(()),
        }
    }

    /// The digests of the inputs, once a pass has read them.
    pub(super) fn seen(&self) -> Vec<Hash> {
        self.input_digests.get().cloned().unwrap_or_default()
    }

    /// The digests of what was read and written.
    ///
    /// # Errors
    /// Nothing was written.
    pub fn finish(self) -> Result<TensorDigests, MergeError> {
        match (self.output_digest.into_inner(), self.input_digests.into_inner()) {
            (Some(output), Some(inputs)) => Ok(TensorDigests { output, inputs }),
            _ => Err(MergeError::Task(format!("the method wrote nothing for tensor {:?}", self.target.name))),
        }
    }

    fn pass<R: Send>(
        &self,
        reach: Reach,
        f: impl Fn(&Tile<'_>, &Rows<'_>, &mut [u8]) -> Result<R, MergeError> + Sync,
    ) -> Result<Vec<R>, MergeError> {
        self.each_tile(|index, hash| self.tile(index, hash, reach, &f))
    }

    /// What `one` makes of each tile, in order. It is handed the number of the tile, and whether its inputs are to be hashed, as they are
    /// on the first pass: their values are then the second half of its answer.
    fn each_tile<R: Send>(
        &self,
        one: impl Fn(usize, bool) -> Result<(R, Vec<ChainingValue>), MergeError> + Sync,
    ) -> Result<Vec<R>, MergeError> {
        let first_pass = self.input_digests.get().is_none();
        let failure = FirstFailure::new();
        let guarded = |index: usize| {
            failure.guard(index, || {
                if self.passes.context.is_cancelled() { Err(MergeError::Cancelled) } else { one(index, first_pass) }
            })
        };
        // `None` only beside a failure, which is returned first.
        let done: Vec<Option<(R, Vec<ChainingValue>)>> =
            (0..self.elements.div_ceil(self.tile as u64) as usize).into_par_iter().map(guarded).collect();
        failure.into_result()?;
        let (results, leaves): (Vec<R>, Vec<Vec<ChainingValue>>) = done.into_iter().flatten().unzip();
        if first_pass {
            let root = |(i, input): (usize, &Input<'_>)| self.tree(input.origin.dtype()).root(|tile| &leaves[tile][i]);
            let digests = self.inputs.iter().enumerate().map(root).collect();
            self.input_digests.set(digests).unwrap_or_default();
        }
        Ok(results)
    }

    /// Where a tile lies.
    fn extent(&self, index: usize) -> Extent {
        let first = index as u64 * self.tile as u64;
        Extent { first, index, elements: (self.elements - first).min(self.tile as u64) as usize }
    }

    fn tile<R>(
        &self,
        index: usize,
        hash: bool,
        reach: Reach,
        f: &impl Fn(&Tile<'_>, &Rows<'_>, &mut [u8]) -> Result<R, MergeError>,
    ) -> Result<(R, Vec<ChainingValue>), MergeError> {
        let Extent { first, elements, .. } = self.extent(index);
        let (read, before) = self.reached(reach, first, elements);
        let mut scratch = self.passes.buffers.take();
        let raw = (read * self.spare()).max(elements * self.target.dtype.size());
        let (buffers, output) = scratch.split(self.inputs().map(|dtype| read * dtype.size()), raw);
        let mut whole = Vec::with_capacity(buffers.len());
        let mut own = Vec::with_capacity(buffers.len());
        let mut leaves = Vec::new();
        for (input, buffer) in self.inputs.iter().zip(buffers) {
            let dtype = input.origin.dtype();
            let size = dtype.size();
            let leaf = |bytes: &[u8]| self.tree(dtype).leaf(first * size as u64, &bytes[before * size..][..elements * size]);
            leaves.extend(self.read(input, first - before as u64, buffer, output, hash.then_some(leaf))?);
            let slice = Slice::new(input.origin.seen(), buffer).map_err(|source| self.kernel(source))?;
            own.push(slice.part(before..before + elements).map_err(|source| self.kernel(source))?);
            whole.push(slice);
        }
        let output = &mut output[..elements * self.target.dtype.size()];
        let rows = Rows { inputs: &whole, before };
        Ok((f(&Tile { inputs: &own, first, index, elements }, &rows, output)?, leaves))
    }

    /// Fills `buffer` with the elements of an input from `first` on, as a method sees them; `spare` may be written over. What
    /// was read is handed to `look`.
    fn read<T>(
        &self,
        input: &Input<'_>,
        first: u64,
        buffer: &mut [u8],
        spare: &mut [u8],
        look: Option<impl FnOnce(&[u8]) -> T>,
    ) -> Result<Option<T>, MergeError> {
        let reader = Reader { passes: self.passes, tensor: self.target.name, model: &input.model };
        let read = input.origin.read(reader, first, buffer, spare)?;
        Ok(look.map(|look| look(read)))
    }

    fn tree(&self, dtype: Dtype) -> Tree {
        let size = dtype.size() as u64;
        Tree { bytes: self.elements * size, tile: self.tile as u64 * size }
    }

    fn count(&self, extent: &Extent) {
        let read: u64 = self.inputs.iter().map(|input| input.origin.moved(extent.elements as u64)).sum();
        self.passes.context.progress.add(read + (extent.elements * self.target.dtype.size()) as u64);
    }

    fn written(&self, digest: Hash) -> Result<(), MergeError> {
        let twice = |_| MergeError::Task(format!("the method wrote tensor {:?} twice", self.target.name));
        self.output_digest.set(digest).map_err(twice)
    }

    fn kernel(&self, source: KernelError) -> MergeError {
        MergeError::Kernel { tensor: self.target.name.to_owned(), source }
    }

    /// Says which input the trouble of a tile comes from.
    fn explain(&self, tile: &Tile<'_>, error: KernelError) -> MergeError {
        let KernelError::NotANumber { element } = error else { return self.kernel(error) };
        let model = self
            .inputs
            .iter()
            .zip(tile.inputs)
            .find(|(_, slice)| is_nan(slice, element))
            .map(|(input, _)| input.model.clone().into_owned());
        MergeError::NotANumber { tensor: self.target.name.to_owned(), element: tile.first + element as u64, model }
    }
}

fn is_nan(slice: &Slice<'_>, element: usize) -> bool {
    let mut bytes = [0; 4];
    let decoded = slice.part(element..element + 1).and_then(|one| convert(&one, &mut SliceMut::new(Dtype::F32, &mut bytes)?));
    decoded.is_ok() && f32::from_le_bytes(bytes).is_nan()
}

#[cfg(test)]
mod tests;
