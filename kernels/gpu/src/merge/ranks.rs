//! Bits of della's pruning: [`braid_kernels::ranked`].

use std::ops::Range;

use braid_kernels::{Chances, KernelError, MaskedPiece, Slice};

use super::{Lane, operand::same_length};
use crate::{
    Argument::{F64, U32, U64},
    GpuError, Kernel,
};

/// Elements of a row that is seen whole, at most: as on the CPU.
const LONGEST: usize = 1 << 29;

impl Lane {
    /// As [`braid_kernels::ranked`].
    ///
    /// # Errors
    /// As there; those of the device.
    pub fn ranked(
        &mut self,
        base: &Slice<'_>,
        theta: &Slice<'_>,
        row: usize,
        own: Range<usize>,
        chances: &Chances,
        piece: MaskedPiece,
    ) -> Result<Vec<u64>, GpuError> {
        const NAME: &str = "ranks";
        same_length(NAME, base.len(), theta.len())?;
        let length = base.len();
        if row == 0 || !length.is_multiple_of(row) {
            return Err(KernelError::LengthMismatch { operation: NAME, expected: row, found: length }.into());
        }
        if own.start > own.end || own.end > length {
            return Err(KernelError::OutOfRange { first: own.start, end: own.end, length }.into());
        }
        if row > LONGEST {
            return Err(KernelError::OutOfRange { first: 0, end: row, length: LONGEST }.into());
        }
        if own.is_empty() {
            return Ok(Vec::new());
        }
        // the rows that are asked for; they begin before what is asked for of them
        let rows = own.start - own.start % row..own.end.next_multiple_of(row);
        let before = own.start - rows.start;
        let (base, theta, length) = (base.part(rows.clone())?, theta.part(rows.clone())?, rows.len());
        self.call(|call| {
            let (base, theta) = (call.operand(NAME, &base)?, call.operand(NAME, &theta)?);
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
                U64(piece.first.wrapping_sub(before as u64)),
                bits.into(),
            ];
            call.launch(Kernel::DrawRanked, (u32::try_from(length / row).unwrap_or(u32::MAX), 1), &arguments)?;
            Ok(from_bit(&call.counts(bits, words)?, before, own.len()))
        })
    }
}

/// So many bits from bit `first` on, as words whose first bit that is.
fn from_bit(bits: &[u64], first: usize, count: usize) -> Vec<u64> {
    let word = |place: usize| bits.get(place).copied().unwrap_or_default();
    let (skipped, shift) = (first / 64, first % 64);
    let shifted = |place: usize| match shift {
        0 => word(skipped + place),
        shift => word(skipped + place) >> shift | word(skipped + place + 1) << (64 - shift),
    };
    let mut found: Vec<u64> = (0..count.div_ceil(64)).map(shifted).collect();
    if let (Some(last), rest @ 1..) = (found.last_mut(), count % 64) {
        *last &= (1 << rest) - 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_taken_from_anywhere_and_no_more_of_them() {
        let bits = [0x8000_0000_0000_0001, 0b101, u64::MAX];
        assert_eq!(from_bit(&bits, 0, 64), bits[..1]);
        assert_eq!(from_bit(&bits, 63, 4), [0b1011]);
        assert_eq!(from_bit(&bits, 63, 2), [0b11]);
        assert_eq!(from_bit(&bits, 64, 70), [0b101, 0b11_1111]);
        assert_eq!(from_bit(&bits, 70, 0), [0; 0]);
        assert_eq!(from_bit(&bits, 129, 63), [u64::MAX >> 1]);
    }
}
