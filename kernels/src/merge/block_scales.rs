//! Eight-bit floats with a scale for each block of a matrix: what a quantised checkpoint holds in place of a tensor.
//!
//! The formats are those of Micikevicius et al., "FP8 formats for deep learning" (arXiv 2209.05433): E4M3 has no infinities and one NaN for each
//! sign, E5M2 is the upper half of an IEEE half.

use crate::{Dtype, KernelError, Slice, SliceMut, slice::same_length};

/// What the elements of a matrix are multiplied by: one number for each block of rows and columns, the last of which may be smaller.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BlockScales {
    scales: Vec<f32>,
    rows: usize,
    cols: usize,
    /// Rows and columns of a block.
    block: [usize; 2],
}

impl BlockScales {
    /// Scales in row-major order of a matrix of `rows` × `cols` elements in blocks of `block` rows and columns.
    ///
    /// # Errors
    /// [`KernelError::CountMismatch`] where there are not as many scales as blocks.
    pub fn new(scales: Vec<f32>, [rows, cols]: [usize; 2], block: [usize; 2]) -> Result<Self, KernelError> {
        let block = block.map(|length| length.max(1));
        let (expected, found) = (rows.div_ceil(block[0]).saturating_mul(cols.div_ceil(block[1])), scales.len());
        if expected != found {
            return Err(KernelError::CountMismatch { operation: "block scales", what: "scales", expected, found });
        }
        Ok(Self { scales, rows, cols, block })
    }

    /// `out = code · scale` in f32, for the elements of the matrix from `first` on.
    ///
    /// # Errors
    /// Codes that are not eight-bit floats; elements that the matrix does not have; [`KernelError::NotANumber`].
    pub fn apply(&self, codes: &Slice<'_>, first: u64, out: &mut SliceMut<'_>) -> Result<(), KernelError> {
        const NAME: &str = "block scales";
        let dtype = codes.dtype();
        let table = match dtype {
            Dtype::F8E4M3 => &E4M3,
            Dtype::F8E5M2 => &E5M2,
            _ => return Err(KernelError::NotFloat { operation: NAME, dtype }),
        };
        let mut out = out.floats_mut(NAME)?;
        same_length(NAME, out.len(), codes.len())?;
        let length = self.rows.saturating_mul(self.cols);
        let start = usize::try_from(first).unwrap_or(usize::MAX);
        if start.checked_add(codes.len()).is_none_or(|end| end > length) {
            return Err(KernelError::OutOfRange { first: start, end: start.saturating_add(codes.len()), length });
        }
        let mut values = [0.0f32; crate::block::BLOCK];
        let mut done = 0;
        while done < codes.len() {
            let (row, col) = ((start + done) / self.cols, (start + done) % self.cols);
            // a run within one row and one block
            let in_block = self.block[1] - col % self.block[1];
            let run = in_block.min(self.cols - col).min(codes.len() - done).min(values.len());
            let scale = self.scales[row / self.block[0] * self.cols.div_ceil(self.block[1]) + col / self.block[1]];
            let values = &mut values[..run];
            for (value, code) in values.iter_mut().zip(&codes.bytes()[done..done + run]) {
                *value = table[usize::from(*code)] * scale;
            }
            crate::block::finish(&mut out, &(done..done + run), values).map_err(|element| KernelError::NotANumber { element })?;
            done += run;
        }
        Ok(())
    }
}

/// A format of eight bits.
#[derive(Clone, Copy)]
struct Format {
    /// Bits of the mantissa.
    mantissa: u32,
    /// Of the exponent.
    bias: u32,
    /// Whether the largest exponent is kept for infinities and NaN.
    infinities: bool,
}

/// The values of all codes.
static E4M3: [f32; 256] = table(Format { mantissa: 3, bias: 7, infinities: false });
static E5M2: [f32; 256] = table(Format { mantissa: 2, bias: 15, infinities: true });

const fn table(format: Format) -> [f32; 256] {
    let mut table = [0.0; 256];
    let mut code = 0;
    while code < table.len() {
        table[code] = value(code as u8, format);
        code += 1;
    }
    table
}

const fn value(code: u8, format: Format) -> f32 {
    let Format { mantissa, bias, infinities } = format;
    let bits = (code & 0x7f) as u32;
    let (exponent, fraction) = (bits >> mantissa, bits & ((1 << mantissa) - 1));
    let top = 0x7f >> mantissa;
    let magnitude = if exponent == top && infinities {
        if fraction == 0 { f32::INFINITY } else { f32::NAN }
    } else if bits == 0x7f {
        f32::NAN
    } else if exponent == 0 {
        // a subnormal: fraction · 2^(1 − bias − mantissa)
        fraction as f32 * f32::from_bits((127 + 1 - bias - mantissa) << 23)
    } else {
        f32::from_bits(((exponent + 127 - bias) << 23) | (fraction << (23 - mantissa)))
    };
    if code & 0x80 != 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_numbers_of_the_formats() {
        for (code, expected) in [
            (0x00, 0.0),
            (0x80, -0.0),
            (0x01, 0.001953125), // the smallest subnormal, 2^-9
            (0x07, 0.013671875),
            (0x08, 0.015625),
            (0x38, 1.0),
            (0xb8, -1.0),
            (0x3c, 1.5),
            (0x7e, 448.0),
            (0xfe, -448.0),
        ] {
            assert_eq!(E4M3[code].to_bits(), f32::to_bits(expected), "{code:#x}");
        }
        assert!(E4M3[0x7f].is_nan() && E4M3[0xff].is_nan());
        for code in 0..=u8::MAX {
            let half = half::f16::from_bits(u16::from(code) << 8).to_f32();
            let found = E5M2[usize::from(code)];
            assert!(found.to_bits() == half.to_bits() || (found.is_nan() && half.is_nan()), "{code:#x}");
        }
        let finite = E4M3.iter().filter(|value| value.is_finite()).count();
        assert_eq!(finite, 254, "no infinities");
    }

    fn decode(scales: &BlockScales, dtype: Dtype, codes: &[u8], first: u64) -> Result<Vec<f32>, KernelError> {
        let mut out = vec![0; codes.len() * 4];
        scales.apply(&Slice::new(dtype, codes)?, first, &mut SliceMut::new(Dtype::F32, &mut out)?)?;
        Ok(out.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    #[test]
    fn every_element_has_the_scale_of_its_block_wherever_a_tile_begins() {
        for (rows, cols, block) in
            [(7usize, 300usize, [3usize, 128usize]), (4, 5, [1, 5]), (4, 5, [4, 5]), (3, 700, [2, 512]), (5, 1, [2, 2])]
        {
            let count = rows.div_ceil(block[0]) * cols.div_ceil(block[1]);
            let list: Vec<f32> = (0..count).map(|i| 0.37 + i as f32 / 3.0).collect();
            let scales = BlockScales::new(list.clone(), [rows, cols], block).unwrap();
            let codes: Vec<u8> = (0..rows * cols).map(|i| (i * 29 % 0x7f) as u8 | ((i % 2) as u8) << 7).collect();
            let whole = decode(&scales, Dtype::F8E4M3, &codes, 0).unwrap();
            for (i, found) in whole.iter().enumerate() {
                let scale = list[i / cols / block[0] * cols.div_ceil(block[1]) + i % cols / block[1]];
                let expected = f64::from(E4M3[usize::from(codes[i])]) * f64::from(scale);
                assert_eq!(f64::from(*found), f64::from(expected as f32), "element {i}");
            }
            for first in [1, cols / 2, cols + 1] {
                let first = first.min(codes.len());
                let part = decode(&scales, Dtype::F8E4M3, &codes[first..], first as u64).unwrap();
                assert_eq!(part, whole[first..]);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(matches!(
            BlockScales::new(vec![1.0; 3], [4, 4], [2, 2]),
            Err(KernelError::CountMismatch { expected: 4, found: 3, .. })
        ));
        let scales = BlockScales::new(vec![1.0], [2, 2], [2, 2]).unwrap();
        assert!(matches!(decode(&scales, Dtype::F8E4M3, &[0; 4], 1), Err(KernelError::OutOfRange { .. })));
        assert!(matches!(decode(&scales, Dtype::F8E4M3, &[0; 4], u64::MAX), Err(KernelError::OutOfRange { .. })));
        assert!(matches!(decode(&scales, Dtype::U8, &[0; 4], 0), Err(KernelError::NotFloat { .. })));
        assert_eq!(decode(&scales, Dtype::F8E4M3, &[0, 0, 0x7f, 0], 0), Err(KernelError::NotANumber { element: 2 }));
        assert_eq!(decode(&scales, Dtype::F8E5M2, &[0x7c], 0).unwrap(), [f32::INFINITY]);
        assert_eq!(decode(&BlockScales::new(vec![], [0, 5], [1, 1]).unwrap(), Dtype::F8E4M3, &[], 0).unwrap(), [0.0; 0]);
    }
}
