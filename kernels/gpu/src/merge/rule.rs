//! Which elements of a task vector stay, as `kernels/cuda/keep.cuh` knows it. What depends on the elements before becomes bits first.

use braid_kernels::{Keep, TileTrim};

use super::{
    STRETCH,
    call::{Call, Operand},
    operand::Table,
};
use crate::{
    Argument::{U32, U64},
    GpuError, Kernel, Place,
};

/// A rule on the device.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rule {
    number: u32,
    border: u32,
    key: [u32; 2],
    first: u64,
    bits: u64,
}

const FLOOR: u32 = 1;
const RANDOM: u32 = 2;
const BITS: u32 = 3;

impl Rule {
    /// The rule for a tile of the task vector `theta - base` of `length` elements, at least one.
    pub(super) fn of(
        keep: &Keep<'_>,
        (base, theta): (Operand, Operand),
        length: usize,
        call: &mut Call<'_>,
    ) -> Result<Self, GpuError> {
        let bits = |place: Place| Self { number: BITS, bits: place.address, ..Self::default() };
        Ok(match keep {
            Keep::All => Self::default(),
            Keep::Trim(TileTrim { threshold, ties: 0 }) => Self::floor(threshold.saturating_add(1)),
            Keep::Trim(TileTrim { threshold, ties: u64::MAX }) => Self::floor(*threshold),
            Keep::Trim(trim) => {
                let stay = call.room(length.div_ceil(8))?;
                call.trim((base, theta), length, *trim, false, stay)?;
                bits(stay)
            }
            Keep::Band { kept, outliers } => {
                let stay = call.room(length.div_ceil(8))?;
                call.trim((base, theta), length, *kept, false, stay)?;
                call.trim((base, theta), length, *outliers, true, stay)?;
                bits(stay)
            }
            // a chance of one or more drops nothing
            Keep::Bernoulli { mask, first } => match u32::try_from(mask.chance()) {
                Ok(border) => Self { number: RANDOM, border, key: mask.key().words(), first: *first, bits: 0 },
                Err(_) => Self::default(),
            },
            Keep::Chosen { bits: chosen, first } => bits(call.copy(&bytes(chosen, *first, length))?),
            other => return Err(GpuError::Unsupported { operation: "task_vectors", what: format!("{other:?}") }),
        })
    }

    fn floor(border: u32) -> Self {
        Self { number: FLOOR, border, ..Self::default() }
    }

    /// The struct `Term` of `keep.cuh`.
    pub(super) fn write(&self, theta: Operand, scale: f32, weight: f32, terms: &mut Table) {
        terms.u64(theta.place.address).u64(self.bits).u64(self.first).u32(theta.kind).u32(self.number);
        terms.u32(self.border).u32(self.key[0]).u32(self.key[1]).f32(scale).f32(weight).u32(0);
    }
}

impl Call<'_> {
    /// Sets the bits of what `trim` keeps, or clears them.
    fn trim(
        &mut self,
        (base, theta): (Operand, Operand),
        length: usize,
        trim: TileTrim,
        drop: bool,
        bits: Place,
    ) -> Result<(), GpuError> {
        let stretches = u32::try_from(length.div_ceil(STRETCH)).unwrap_or(u32::MAX);
        let counts = self.room(stretches as usize * 8)?;
        let of = [base.place.into(), U32(base.kind), theta.place.into(), U32(theta.kind), U64(length as u64)];
        let with = |more: &[crate::Argument]| of.iter().chain(more).cloned().collect::<Vec<_>>();
        self.launch(Kernel::CountTies, (stretches, 1), &with(&[U32(trim.threshold), counts.into()]))?;
        self.launch(Kernel::SumTies, (1, 1), &[counts.into(), U32(stretches)])?;
        let more = [U32(trim.threshold), U64(trim.ties), counts.into(), U32(u32::from(drop)), bits.into()];
        self.launch(Kernel::Trim, (stretches, 1), &with(&more))
    }
}

/// Bits `first .. first + length` as bytes, the lowest of a byte first.
fn bytes(bits: &[u64], first: usize, length: usize) -> Vec<u8> {
    let word = |place: usize| bits.get(place).copied().unwrap_or_default();
    let byte = |place: usize| {
        let (index, shift) = ((first + place) / 64, (first + place) % 64);
        let above = if shift == 0 { 0 } else { word(index + 1) << (64 - shift) };
        (word(index) >> shift | above) as u8
    };
    (0..length).step_by(8).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_taken_from_wherever_a_tile_begins() {
        let words = [0x8000_0000_0000_0001, 0b101];
        assert_eq!(bytes(&words, 0, 9), [1, 0]);
        assert_eq!(bytes(&words, 63, 4), [0b1011]);
        assert_eq!(bytes(&words, 120, 16), [0, 0]);
        assert_eq!(bytes(&words, 64, 1), [0b101]);
    }
}
