//! Weighted sums: [`braid_kernels::linear`].

use braid_kernels::{Slice, SliceMut};

use super::{
    Lane,
    operand::{Table, kind, same_count, same_length},
};
use crate::{
    Argument::{F32, U32, U64},
    GpuError, Kernel,
};

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
        const NAME: &str = "linear";
        same_count(NAME, "weights", inputs.len(), weights.len())?;
        let (length, to) = (out.len(), kind(NAME, out.dtype())?);
        for input in inputs {
            same_length(NAME, length, input.len())?;
        }
        if length == 0 {
            return Ok(());
        }
        self.call(|call| {
            let mut terms = Table::default();
            for (input, weight) in inputs.iter().zip(weights) {
                let data = call.operand(NAME, input)?;
                terms.u64(data.place.address).u32(data.kind).f32(*weight);
            }
            let (terms, target, bad) = (call.copy(terms.bytes())?, call.room(out.bytes().len())?, call.filled(8, 0xff)?);
            let count = inputs.len() as u32;
            let arguments = [terms.into(), U32(count), F32(divisor), target.into(), U32(to), U64(length as u64), bad.into()];
            call.over(Kernel::Linear, length, &arguments)?;
            call.finish(target, bad, out)
        })
    }
}
