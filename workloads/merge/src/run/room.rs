//! What a piece of work sees: whole tensors to read, whole tensors to write.

use super::digest::TensorDigests;
use super::tiles::{Input, Passes, Scaling, Target, Tiles};
use crate::{MergeError, survey::Answer};
use blake3::Hash;
use braid_kernels::{Dtype, Slice, SliceMut, decode, scale};
use std::sync::OnceLock;

/// A source of a piece, with its shape.
#[derive(Debug, Clone)]
pub struct Whole<'a> {
    /// Where it lies.
    pub input: Input<'a>,
    /// Its name.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a [u64],
}

/// The tensors of a piece.
pub struct Room<'a> {
    sources: Vec<Whole<'a>>,
    targets: Vec<Target<'a>>,
    passes: &'a Passes<'a>,
    read: Vec<OnceLock<Hash>>,
    written: Vec<OnceLock<Hash>>,
}

impl<'a> Room<'a> {
    /// A room for work that reads `sources` and writes `targets`, at least one.
    ///
    /// # Errors
    /// There is no target.
    pub fn new(sources: Vec<Whole<'a>>, targets: Vec<Target<'a>>, passes: &'a Passes<'a>) -> Result<Self, MergeError> {
        if targets.is_empty() {
            return Err(MergeError::Task("a piece of work makes no tensor".into()));
        }
        let read = sources.iter().map(|_| OnceLock::new()).collect();
        let written = targets.iter().map(|_| OnceLock::new()).collect();
        Ok(Self { sources, targets, passes, read, written })
    }

    /// The name of the first tensor that is written.
    pub fn name(&self) -> &str {
        self.targets.first().map_or("", |target| target.name)
    }

    /// What is known about whole models, for a method that has asked.
    pub fn answers(&self) -> &'a [Answer] {
        self.passes.answers
    }

    /// The shape of a source.
    pub fn shape(&self, source: usize) -> &[u64] {
        self.sources.get(source).map_or(&[], |source| source.shape)
    }

    /// All elements of a source, as f32.
    ///
    /// # Errors
    /// A read that failed; [`MergeError::NotANumber`] for an element that is not finite, which no matrix can hold.
    pub fn read(&self, source: usize) -> Result<Vec<f32>, MergeError> {
        let (Some(whole), Some(digest)) = (self.sources.get(source), self.read.get(source)) else {
            return Err(MergeError::Task(format!("there is no source {source} of tensor {:?}", self.name())));
        };
        let tiles = self.pass(whole)?;
        let pieces = tiles.measure(|tile| decode(&tile.inputs[0]))?;
        let data = pieces.concat();
        if let Some(element) = data.iter().position(|value| !value.is_finite()) {
            let (tensor, model) = (whole.name.to_owned(), Some(whole.input.model.clone().into_owned()));
            return Err(MergeError::NotANumber { tensor, element: element as u64, model });
        }
        // The work may read a source again: its digest is the same then, or the file has changed and its stamp says so.
        tiles.seen().into_iter().for_each(|hash| digest.set(hash).unwrap_or_default());
        let bytes = whole.shape.iter().product::<u64>() * whole.input.origin.dtype().size() as u64;
        self.passes.context.progress.add(bytes);
        Ok(data)
    }

    /// Writes target `target`, rounded to its type.
    ///
    /// # Errors
    /// A write that failed; a wrong number of elements; one that is not a number.
    pub fn write(&self, target: usize, values: &[f32]) -> Result<(), MergeError> {
        let (Some(of), Some(digest)) = (self.targets.get(target), self.written.get(target)) else {
            return Err(MergeError::Task(format!("there is no tensor {target} beside {:?}", self.name())));
        };
        let base = of.scaling.and_then(|scaling| self.sources.get(scaling.base));
        let scaling = base.and(of.scaling).map(|scaling| Scaling { base: 0, ..scaling });
        let inputs = base.map(|whole| whole.input.clone()).into_iter().collect();
        let tiles = Tiles::new(Target { scaling, ..of.clone() }, inputs, self.passes)?;
        if tiles.elements() != values.len() as u64 {
            let (name, found, expected) = (of.name, values.len(), tiles.elements());
            return Err(MergeError::Task(format!("{found} elements were made for tensor {name:?}, which has {expected}")));
        }
        tiles.write(|tile, mut out| {
            let part = &values[tile.first as usize..][..tile.elements];
            let bytes: Vec<u8> = part.iter().flat_map(|value| value.to_le_bytes()).collect();
            scale(&Slice::new(Dtype::F32, &bytes)?, 1.0, &mut out)
        })?;
        digest.set(tiles.finish()?.output).map_err(|_| MergeError::Task(format!("tensor {:?} was made twice", of.name)))
    }

    /// What a reader of target `target` will find, where these values are written.
    ///
    /// # Errors
    /// There is no such target; a value that is not a number.
    pub fn rounded(&self, target: usize, values: &[f32]) -> Result<Vec<f32>, MergeError> {
        let of = self.targets.get(target).ok_or_else(|| MergeError::Task(format!("there is no tensor {target}")))?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut out = vec![0; values.len() * of.dtype.size()];
        let rounded = Slice::new(Dtype::F32, &bytes)
            .and_then(|slice| scale(&slice, 1.0, &mut SliceMut::new(of.dtype, &mut out)?))
            .and_then(|()| decode(&Slice::new(of.dtype, &out)?));
        rounded.map_err(|source| MergeError::Kernel { tensor: of.name.to_owned(), source })
    }

    /// The digests of each target, with those of all sources.
    ///
    /// # Errors
    /// A target was not written. A source that the work had no need of is read now.
    pub fn finish(self) -> Result<Vec<TensorDigests>, MergeError> {
        for (index, digest) in self.read.iter().enumerate() {
            if digest.get().is_none() {
                self.read(index)?;
            }
        }
        let inputs: Vec<Hash> = self.read.iter().filter_map(|digest| digest.get().copied()).collect();
        let one = |(target, digest): (&Target<'_>, &OnceLock<Hash>)| {
            let output = digest.get().copied();
            let output = output.ok_or_else(|| MergeError::Task(format!("nothing was made of tensor {:?}", target.name)))?;
            Ok(TensorDigests { output, inputs: inputs.clone() })
        };
        self.targets.iter().zip(&self.written).map(one).collect()
    }

    fn pass(&self, whole: &Whole<'a>) -> Result<Tiles<'a>, MergeError> {
        let target = self.targets.first().ok_or_else(|| MergeError::Task("a piece of work makes no tensor".into()))?;
        let target = Target { name: whole.name, shape: whole.shape, scaling: None, ..target.clone() };
        Tiles::new(target, vec![whole.input.clone()], self.passes)
    }
}
