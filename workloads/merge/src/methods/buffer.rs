//! What every method does with a tensor that is not of floats: check that all inputs agree, and copy it.
//!
//! Such buffers (position ids, masks, quantised weights) have no mean. No recipe names this method; the plan picks it.

use super::{BaseRule, Class, Contract, Method, MethodError, Parameter, Reads, TensorParameters};
use crate::{MergeError, plan::PlannedTensor, run::Tiles};
use braid_kernels::Slice;

/// The method that the plan gives tensors that are not of floats.
pub(crate) struct Buffer;

impl Method for Buffer {
    fn name(&self) -> &'static str {
        "buffer"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Input, min: 1, max: None }
    }

    fn class(&self) -> Class {
        Class::Elementwise
    }

    fn reads(&self, tensor: &PlannedTensor) -> Reads {
        Reads::passes(if tensor.sources.len() > 1 { 2 } else { 1 })
    }

    fn run(&self, _: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        if tiles.inputs().len() > 1 {
            let size = tiles.dtype().size();
            let differences = tiles.measure(|tile| {
                let first_difference = |(input, slice): (usize, &Slice<'_>)| {
                    let bytes = slice.bytes().iter().zip(tile.inputs[0].bytes());
                    let byte = bytes.enumerate().find(|(_, (a, b))| a != b)?.0;
                    Some((input, tile.first + (byte / size) as u64))
                };
                Ok(tile.inputs.iter().enumerate().skip(1).find_map(first_difference))
            })?;
            if let Some((input, element)) = differences.into_iter().flatten().next() {
                let model = |input| tiles.model(input).to_owned();
                let models = (model(0), model(input));
                return Err(MethodError::BuffersDiffer {
                    tensor: tiles.name().to_owned(),
                    dtype: tiles.dtype(),
                    element,
                    models,
                }
                .into());
            }
        }
        tiles.copy(0)
    }
}
