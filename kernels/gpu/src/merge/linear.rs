//! Weighted sums: [`braid_kernels::linear`].

use braid_kernels::{Slice, SliceMut};

use super::{
    Call, Lane,
    call::Operand,
    operand::{Table, kind, same_count, same_length},
};
use crate::{
    Argument::{F32, U32, U64},
    GpuError, Kernel,
};

const NAME: &str = "linear";

impl Lane {
    /// As [`braid_kernels::linear`].
    ///
    /// # Errors
    /// As there; those of the device.
    pub fn linear(
        &mut self,
        inputs: &[Slice<'_>],
        weights: &[f32],
        divisor: f32,
        out: &mut SliceMut<'_>,
    ) -> Result<(), GpuError> {
        self.call(|call| {
            let inputs = call.operands(NAME, inputs)?;
            call.linear(&inputs, weights, divisor, out)
        })
    }
}

impl Call<'_> {
    /// As [`Lane::linear`], of what is on the device.
    pub(crate) fn linear(
        &mut self,
        inputs: &[Operand],
        weights: &[f32],
        divisor: f32,
        out: &mut SliceMut<'_>,
    ) -> Result<(), GpuError> {
        same_count(NAME, "weights", inputs.len(), weights.len())?;
        let (length, to) = (out.len(), kind(NAME, out.dtype())?);
        for input in inputs {
            same_length(NAME, length, input.length)?;
        }
        if length == 0 {
            return Ok(());
        }
        let mut terms = Table::default();
        for (input, weight) in inputs.iter().zip(weights) {
            terms.u64(input.place.address).u32(input.kind).f32(*weight);
        }
        let (terms, target, bad) = (self.copy(terms.bytes())?, self.room(out.bytes().len())?, self.filled(8, 0xff)?);
        let count = inputs.len() as u32;
        let arguments = [terms.into(), U32(count), F32(divisor), target.into(), U32(to), U64(length as u64), bad.into()];
        self.over(Kernel::Linear, length, &arguments)?;
        self.finish(target, bad, out)
    }
}
