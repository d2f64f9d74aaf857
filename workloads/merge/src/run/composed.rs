//! The elements of a tensor that an earlier recipe of the file makes, computed as they are read instead of being written to a disk
//! first: see [`Elementwise`].
//!
//! They are rounded to the type that they would have had in a file, so that the result is the same to the last bit, and so are the digests
//! of what was read. A method that passes over its inputs twice has them computed twice.

use super::{
    Tile,
    origin::{Origin, Reader},
    tiles::Input,
};
use crate::{
    MergeError,
    methods::{Elementwise, MadeOf, Passthrough, TensorParameters, factor},
    plan::PlannedTensor,
};
use braid_kernels::{Dtype, Slice, SliceMut};
use std::fmt;

/// A tensor that is computed as it is read.
#[derive(Clone)]
pub struct Composed {
    name: String,
    /// Its type in a file, and as a method sees it.
    pub(super) dtype: Dtype,
    method: &'static dyn Elementwise,
    parameters: TensorParameters,
    inputs: Vec<Input<'static>>,
}

impl Composed {
    /// Where the elements of `tensor`, made of `inputs`, come from; `None` where it cannot be made tile by tile.
    pub fn origin(tensor: &PlannedTensor, mut inputs: Vec<Input<'static>>) -> Option<Origin> {
        let unchanged = tensor.is_merged_by(&Passthrough) && factor(&tensor.parameters) == 1.0;
        if let [input] = inputs.as_slice()
            && (unchanged || tensor.is_buffer())
            && input.origin.is_plain()
            && input.origin.seen() == tensor.dtype
        {
            return inputs.pop().map(|input| input.origin);
        }
        let (name, dtype, parameters) = (tensor.name.clone(), tensor.dtype, tensor.parameters.clone());
        let method = tensor.method.elementwise()?;
        Some(Origin::Composed(Box::new(Self { name, dtype, method, parameters, inputs })))
    }

    /// The bytes of an element in the spare memory of a read: all inputs side by side, and what reading one of them takes.
    pub(super) fn spare(&self) -> usize {
        self.held() + self.inputs.iter().map(|input| input.origin.spare()).max().unwrap_or(0)
    }

    fn held(&self) -> usize {
        self.inputs.iter().map(|input| input.origin.seen().size()).sum()
    }

    /// The bytes that reading so many elements takes.
    pub(super) fn moved(&self, elements: u64) -> u64 {
        self.inputs.iter().map(|input| input.origin.moved(elements)).sum()
    }

    pub(super) fn will_read(&self, elements: u64) {
        self.inputs.iter().for_each(|input| input.origin.will_read(elements));
    }

    /// Fills `buffer` with the elements from `first` on; `spare` may be written over.
    pub(super) fn read(&self, reader: Reader<'_>, first: u64, buffer: &mut [u8], spare: &mut [u8]) -> Result<(), MergeError> {
        let elements = buffer.len() / self.dtype.size();
        let (mut held, spare) = spare.split_at_mut(elements * self.held());
        let mut slices = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            let dtype = input.origin.seen();
            let (own, rest) = std::mem::take(&mut held).split_at_mut(elements * dtype.size());
            held = rest;
            let reader = Reader { model: &input.model, ..reader };
            input.origin.read(reader, first, own, spare)?;
            slices.push(Slice::new(dtype, own).map_err(|error| reader.explain(first, error))?);
        }
        let of = MadeOf { name: &self.name, parameters: &self.parameters, arithmetic: reader.passes.arithmetic };
        let tile = Tile { inputs: &slices, first, index: 0, elements };
        let made = SliceMut::new(self.dtype, buffer).and_then(|mut out| self.method.tile(&of, &tile, &mut out));
        made.map_err(|error| reader.explain(first, error))
    }
}

impl fmt::Debug for Composed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Composed").field("name", &self.name).field("dtype", &self.dtype).field("inputs", &self.inputs).finish()
    }
}
