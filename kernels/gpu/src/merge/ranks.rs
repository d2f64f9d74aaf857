//! Bits of della's pruning: [`braid_kernels::ranked`].

use braid_kernels::{Chances, KernelError, MaskedPiece, Slice};

use super::{Lane, operand::same_length};
use crate::{
    Argument::{F64, U32, U64},
    GpuError, Kernel,
};

impl Lane {
    /// The bits of the elements that stay of whole rows of `row` elements, at least one, of the task vector `theta - base`: what
    /// [`braid_kernels::ranked`] gives of all of them.
    ///
    /// # Errors
    /// Operands of unequal length or without arithmetic, or that are no whole rows; those of the device.
    pub fn ranked(
        &mut self,
        base: &Slice<'_>,
        theta: &Slice<'_>,
        row: usize,
        chances: &Chances,
        piece: MaskedPiece,
    ) -> Result<Vec<u64>, GpuError> {
        const NAME: &str = "ranks";
        same_length(NAME, base.len(), theta.len())?;
        let length = base.len();
        if row == 0 || !length.is_multiple_of(row) {
            return Err(KernelError::LengthMismatch { operation: NAME, expected: row, found: length }.into());
        }
        if length == 0 {
            return Ok(Vec::new());
        }
        self.call(|call| {
            let (base, theta) = (call.operand(NAME, base)?, call.operand(NAME, theta)?);
            let words = length.div_ceil(64);
            let bits = call.filled(words * 8, 0)?;
            let [low, high] = piece.key.words();
            let arguments = [
                base.place.into(),
                U32(base.kind),
                theta.place.into(),
                U32(theta.kind),
                U64(length as u64),
                U64(row as u64),
                F64(chances.low),
                F64(chances.high),
                U32(low),
                U32(high),
                U64(piece.first),
                bits.into(),
            ];
            call.launch(Kernel::DrawRanked, (u32::try_from(length / row).unwrap_or(u32::MAX), 1), &arguments)?;
            let mut bytes = vec![0; words * 8];
            call.fetch(bits, &mut bytes)?;
            Ok(bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect())
        })
    }
}
