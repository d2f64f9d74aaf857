//! Decoding floats to f32 and encoding f32, in integer arithmetic alone so that every machine gives the same bits and every
//! loop vectorises. Rounding is to nearest, ties to even, subnormals included; infinities stay; NaN stays NaN.
//!
//! Not here: eight-bit floats, which mean nothing without their scales ([`crate::BlockScales`]), and integers.

use crate::Dtype;

/// A [`Dtype`] that has arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Float {
    F64,
    F32,
    F16,
    BF16,
}

impl Float {
    pub(crate) fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F64 => Some(Self::F64),
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::BF16),
            _ => None,
        }
    }

    #[inline(always)]
    pub(crate) const fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    /// Decodes as many elements as `out` holds.
    #[inline(always)]
    pub(crate) fn decode(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Self::F64 => decode_each::<8>(bytes, out, |b| f64::from_le_bytes(b) as f32),
            Self::F32 => decode_each::<4>(bytes, out, f32::from_le_bytes),
            Self::F16 => decode_each::<2>(bytes, out, |b| f32_from_f16(u16::from_le_bytes(b))),
            Self::BF16 => decode_each::<2>(bytes, out, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)),
        }
    }

    /// Encodes all of `values`; `bytes` has room for exactly these.
    #[inline(always)]
    pub(crate) fn encode(self, values: &[f32], bytes: &mut [u8]) {
        match self {
            Self::F64 => encode_each::<8>(values, bytes, |v| f64::from(v).to_le_bytes()),
            Self::F32 => encode_each::<4>(values, bytes, f32::to_le_bytes),
            Self::F16 => encode_each::<2>(values, bytes, |v| f16_from_f32(v).to_le_bytes()),
            Self::BF16 => encode_each::<2>(values, bytes, |v| bf16_from_f32(v).to_le_bytes()),
        }
    }
}

#[inline(always)]
fn decode_each<const N: usize>(bytes: &[u8], out: &mut [f32], one: impl Fn([u8; N]) -> f32) {
    for (value, source) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *value = one(*source);
    }
}

#[inline(always)]
fn encode_each<const N: usize>(values: &[f32], bytes: &mut [u8], one: impl Fn(f32) -> [u8; N]) {
    for (target, value) in bytes.as_chunks_mut::<N>().0.iter_mut().zip(values) {
        *target = one(*value);
    }
}

const MAGNITUDE: u32 = 0x7fff_ffff;
const INFINITY: u32 = 0x7f80_0000;

#[inline(always)]
fn f32_from_f16(half: u16) -> f32 {
    let bits = u32::from(half);
    let sign = (bits & 0x8000) << 16;
    let exponent = bits & 0x7c00;
    let shifted = (bits & 0x7fff) << 13;
    // Both branches are computed for every lane; a subnormal goes through an integer conversion because an f32 subnormal
    // as an intermediate value costs hundreds of cycles on some processors.
    let rebias = if exponent == 0x7c00 { 224 << 23 } else { 112 << 23 };
    let normal = shifted + rebias;
    let subnormal = ((bits & 0x3ff) as i32 as f32 * f32::from_bits((127 - 24) << 23)).to_bits();
    f32::from_bits(sign | if exponent == 0 { subnormal } else { normal })
}

#[inline(always)]
fn f16_from_f32(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) & 0x8000;
    let magnitude = bits & MAGNITUDE;
    let normal = {
        let rounded = magnitude.wrapping_add(0xfff + ((magnitude >> 13) & 1)).wrapping_sub(112 << 23) >> 13;
        if magnitude >= 0x4780_0000 { 0x7c00 } else { rounded }
    };
    // Adding one half puts the last bit of an f16 subnormal in the last bit of the sum: the addition itself rounds.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let nan = 0x7e00 | ((magnitude >> 13) & 0x3ff);
    let number = if magnitude < 0x3880_0000 { subnormal } else { normal };
    (sign | if magnitude > INFINITY { nan } else { number }) as u16
}

#[inline(always)]
fn bf16_from_f32(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    let nan = (bits >> 16) | 0x40;
    (if bits & MAGNITUDE > INFINITY { nan } else { rounded }) as u16
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    fn same(a: f32, b: f32) -> bool {
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
    }

    #[test]
    fn every_half_and_bfloat_decodes_as_the_reference() {
        for bits in 0..=u16::MAX {
            assert!(same(f32_from_f16(bits), f16::from_bits(bits).to_f32()), "f16 {bits:#x}");
            let mut out = [0.0];
            Float::BF16.decode(&bits.to_le_bytes(), &mut out);
            assert!(same(out[0], bf16::from_bits(bits).to_f32()), "bf16 {bits:#x}");
        }
    }

    /// Every f32 whose low bits can decide a rounding: all upper halves with each kind of tail, at both cuts.
    fn edges() -> impl Iterator<Item = f32> {
        let tails = [0u32, 1, 0x0fff, 0x1000, 0x1001, 0x1fff, 0x2000, 0x3000, 0x7fff, 0x8000, 0x8001, 0xffff];
        (0..=u16::MAX).flat_map(move |top| tails.map(|tail| f32::from_bits(u32::from(top) << 16 | tail)))
    }

    #[test]
    fn rounding_is_to_nearest_even_as_the_reference() {
        for value in edges() {
            let (ours, theirs) = (f16::from_bits(f16_from_f32(value)), f16::from_f32(value));
            assert!(ours.to_bits() == theirs.to_bits() || (ours.is_nan() && value.is_nan()), "f16 of {:#x}", value.to_bits());
            let (ours, theirs) = (bf16::from_bits(bf16_from_f32(value)), bf16::from_f32(value));
            assert!(ours.to_bits() == theirs.to_bits() || (ours.is_nan() && value.is_nan()), "bf16 of {:#x}", value.to_bits());
        }
    }

    #[test]
    fn what_was_decoded_encodes_to_the_same_bytes() {
        let values: Vec<f32> = edges().filter(|v| !v.is_nan()).collect();
        for kind in [Float::F64, Float::F32, Float::F16, Float::BF16] {
            let mut bytes = vec![0; values.len() * kind.size()];
            kind.encode(&values, &mut bytes);
            let mut decoded = vec![0.0; values.len()];
            kind.decode(&bytes, &mut decoded);
            let mut again = vec![0; bytes.len()];
            kind.encode(&decoded, &mut again);
            assert_eq!(bytes, again, "{kind:?}");
            if kind.size() >= 4 {
                assert_eq!(decoded, values, "{kind:?} loses nothing");
            }
        }
    }
}
