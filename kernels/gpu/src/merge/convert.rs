//! A tensor in another type: [`braid_kernels::convert`].

use braid_kernels::{Slice, SliceMut};

use super::{
    Lane,
    operand::{kind, same_length},
};
use crate::{
    Argument::{U32, U64},
    GpuError, Kernel,
};

impl Lane {
    /// As [`braid_kernels::convert`].
    ///
    /// # Errors
    /// As there; those of the device.
    pub fn convert(&mut self, input: &Slice<'_>, out: &mut SliceMut<'_>) -> Result<(), GpuError> {
        const NAME: &str = "convert";
        same_length(NAME, out.len(), input.len())?;
        if input.dtype() == out.dtype() {
            out.bytes_mut().copy_from_slice(input.bytes());
            return Ok(());
        }
        let (length, to) = (input.len(), kind(NAME, out.dtype())?);
        if length == 0 {
            return Ok(());
        }
        self.call(|call| {
            let from = call.operand(NAME, input)?;
            let target = call.room(out.bytes().len())?;
            let arguments = [from.place.into(), U32(from.kind), target.into(), U32(to), U64(length as u64)];
            call.over(Kernel::Convert, length, &arguments)?;
            call.fetch(target, out.bytes_mut())
        })
    }
}
