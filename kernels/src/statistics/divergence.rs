//! How far the softmax of a row of one tensor is from that of the same row of another.

use std::ops::Range;

use super::{GRANULE, LANES, Lanes, granule_blocks};
use crate::block::{BLOCK, Block, dispatched};
use crate::exponential::{exp, ln};
use crate::slice::{Floats, same_length};
use crate::{KernelError, Slice};

/// Added to every probability, so that none is zero.
const LEAST: f64 = 1e-8;

/// The sum of the powers of e of some elements, as max + ln Σ e^(x − max).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogSum {
    max: f64,
    sum: f64,
}

impl Default for LogSum {
    /// That of no elements.
    fn default() -> Self {
        Self { max: f64::NEG_INFINITY, sum: 0.0 }
    }
}

impl LogSum {
    /// Adds further elements.
    pub fn add(&mut self, other: &Self) {
        if other.sum == 0.0 {
            return;
        }
        let max = if other.max > self.max { other.max } else { self.max };
        let scaled = |part: &Self| if part.sum == 0.0 { 0.0 } else { part.sum * exp(part.max - max) };
        *self = Self { max, sum: scaled(self) + scaled(other) };
    }

    /// ln Σ e^x.
    pub fn ln(&self) -> f64 {
        self.max + ln(self.sum)
    }
}

/// The sum of each granule of a piece of a row. The piece starts at a multiple of [`GRANULE`] of the row.
pub fn log_sums(row: &Slice<'_>) -> Result<Vec<LogSum>, KernelError> {
    let mut sums = vec![LogSum::default(); row.len().div_ceil(GRANULE)];
    dispatch_sums(row.floats("log_sums")?, &mut sums);
    Ok(sums)
}

/// For each granule of a piece of a row, Σ p·ln(p/q) over its elements, with p = e^(x − `x_sum`) + 1e-8 from `x`, and q so from
/// `y`: summed over a row, what mergekit calls the Kullback-Leibler divergence of two softmaxes. The piece starts at a multiple
/// of [`GRANULE`] of the row; `x_sum` and `y_sum` are the [`LogSum::ln`] of the whole rows.
pub fn divergences(x: &Slice<'_>, y: &Slice<'_>, x_sum: f64, y_sum: f64) -> Result<Vec<f64>, KernelError> {
    const NAME: &str = "divergences";
    same_length(NAME, x.len(), y.len())?;
    let mut sums = vec![0.0; x.len().div_ceil(GRANULE)];
    dispatch_divergences(x.floats(NAME)?, y.floats(NAME)?, x_sum, y_sum, &mut sums);
    Ok(sums)
}

/// The same of whole rows of `row` elements, at most [`GRANULE`], a number for each: faster, as powers are computed once.
pub fn row_divergences(x: &Slice<'_>, y: &Slice<'_>, row: usize) -> Result<Vec<f64>, KernelError> {
    const NAME: &str = "row_divergences";
    same_length(NAME, x.len(), y.len())?;
    if row == 0 || row > GRANULE || !x.len().is_multiple_of(row) {
        return Err(KernelError::LengthMismatch { operation: NAME, expected: row, found: x.len() });
    }
    let mut found = vec![0.0; x.len() / row];
    dispatch_rows(x.floats(NAME)?, y.floats(NAME)?, row, &mut found);
    Ok(found)
}

dispatched! {
    fn dispatch_rows / rows_avx2(x: Floats<'_>, y: Floats<'_>, row: usize, out: &mut [f64]) = rows_body;
}
dispatched! {
    fn dispatch_sums / sums_avx2(row: Floats<'_>, out: &mut [LogSum]) = sums_body;
}
dispatched! {
    fn dispatch_divergences / divergences_avx2(
        x: Floats<'_>, y: Floats<'_>, x_sum: f64, y_sum: f64, out: &mut [f64]
    ) = divergences_body;
}

#[inline(always)]
fn sums_body(row: Floats<'_>, out: &mut [LogSum]) {
    let mut value: Block = [0.0; BLOCK];
    let mut terms = [0.0f64; BLOCK];
    for (granule, out) in out.iter_mut().enumerate() {
        let max = largest(row, granule_blocks(granule, row.len()));
        let mut sum = Lanes::ZERO;
        for range in granule_blocks(granule, row.len()) {
            let (value, terms) = (&mut value[..range.len()], &mut terms[..range.len()]);
            row.decode(&range, value);
            powers(value, max, terms);
            sum.add_all(terms);
        }
        *out = LogSum { max, sum: sum.fold() };
    }
}

/// The largest of some elements, or NaN if one is that.
#[inline(always)]
fn largest(row: Floats<'_>, blocks: impl Iterator<Item = Range<usize>>) -> f64 {
    // in lanes, which are compared together; the block is filled up with what changes nothing
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for range in blocks {
        let mut value: Block = [f32::NEG_INFINITY; BLOCK];
        row.decode(&range, &mut value[..range.len()]);
        for chunk in value.as_chunks::<LANES>().0 {
            for lane in 0..LANES {
                let value = chunk[lane];
                lanes[lane] = if value > lanes[lane] || value.is_nan() { value } else { lanes[lane] };
            }
        }
    }
    let larger = |max: f32, value: f32| if value > max || value.is_nan() { value } else { max };
    f64::from(lanes.into_iter().fold(f32::NEG_INFINITY, larger))
}

/// e^(x − max) of each element.
#[inline(always)]
fn powers(values: &[f32], max: f64, out: &mut [f64]) {
    for (power, value) in out.iter_mut().zip(values) {
        *power = exp(f64::from(*value) - max);
    }
}

/// The powers of a row's elements, and their sum. No closure, which would be compiled for the baseline alone.
#[inline(always)]
fn row_powers(row: Floats<'_>, value: &mut Block, out: &mut [f64]) -> f64 {
    let max = largest(row, granule_blocks(0, row.len()));
    let mut sum = Lanes::ZERO;
    for range in granule_blocks(0, row.len()) {
        let value = &mut value[..range.len()];
        row.decode(&range, value);
        powers(value, max, &mut out[range.clone()]);
        sum.add_all(&out[range]);
    }
    sum.fold()
}

#[inline(always)]
fn rows_body(x: Floats<'_>, y: Floats<'_>, row: usize, out: &mut [f64]) {
    let mut value: Block = [0.0; BLOCK];
    let (mut of_x, mut of_y) = (vec![0.0; row], vec![0.0; row]);
    for (index, out) in out.iter_mut().enumerate() {
        let whole = index * row..(index + 1) * row;
        let share_of_x = 1.0 / row_powers(x.part(&whole), &mut value, &mut of_x);
        let share_of_y = 1.0 / row_powers(y.part(&whole), &mut value, &mut of_y);
        let mut sum = Lanes::ZERO;
        for range in granule_blocks(0, row) {
            let (x, y) = (&mut of_x[range.clone()], &of_y[range]);
            for (x, y) in x.iter_mut().zip(y) {
                let (p, q) = (*x * share_of_x + LEAST, *y * share_of_y + LEAST);
                *x = p * ln(p / q);
            }
            sum.add_all(x);
        }
        *out = sum.fold();
    }
}

#[inline(always)]
fn divergences_body(x: Floats<'_>, y: Floats<'_>, x_sum: f64, y_sum: f64, out: &mut [f64]) {
    let (mut left, mut right): (Block, Block) = ([0.0; BLOCK], [0.0; BLOCK]);
    let mut terms = [0.0f64; BLOCK];
    for (granule, out) in out.iter_mut().enumerate() {
        let mut sum = Lanes::ZERO;
        for range in granule_blocks(granule, x.len()) {
            let n = range.len();
            let (left, right, terms) = (&mut left[..n], &mut right[..n], &mut terms[..n]);
            x.decode(&range, left);
            y.decode(&range, right);
            for ((term, x), y) in terms.iter_mut().zip(&*left).zip(&*right) {
                let p = exp(f64::from(*x) - x_sum) + LEAST;
                let q = exp(f64::from(*y) - y_sum) + LEAST;
                *term = p * ln(p / q);
            }
            sum.add_all(terms);
        }
        *out = sum.fold();
    }
}

const _: () = assert!(BLOCK.is_multiple_of(LANES), "a block starts with the first lane");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dtype;
    use crate::testing::{KINDS, LENGTHS, assert_same, floats, tensor};

    /// Of a row in f64, with plain functions of the library.
    fn plain(x: &[f32], y: &[f32]) -> f64 {
        let softmax = |row: &[f32]| {
            let max = row.iter().fold(f64::NEG_INFINITY, |max, x| max.max(f64::from(*x)));
            let powers: Vec<f64> = row.iter().map(|x| (f64::from(*x) - max).exp()).collect();
            // in parts: one long sum of f64 is further off than what is tested
            let sum: f64 = powers.chunks(512).map(|part| part.iter().sum::<f64>()).sum();
            powers.into_iter().map(|power| power / sum + 1e-8).collect::<Vec<_>>()
        };
        softmax(x).iter().zip(softmax(y)).map(|(p, q)| p * (p / q).ln()).sum()
    }

    fn found(x: &[f32], y: &[f32], piece: usize) -> f64 {
        let [x, y] = [x, y].map(|row| row.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
        fn slice(bytes: &[u8]) -> Slice<'_> {
            Slice::new(Dtype::F32, bytes).unwrap()
        }
        let sum = |row: &[u8]| {
            let mut sum = LogSum::default();
            row.chunks(piece * 4).flat_map(|piece| log_sums(&slice(piece)).unwrap()).for_each(|part| sum.add(&part));
            sum.ln()
        };
        let pieces = x.chunks(piece * 4).zip(y.chunks(piece * 4));
        pieces.flat_map(|(a, b)| divergences(&slice(a), &slice(b), sum(&x), sum(&y)).unwrap()).sum()
    }

    #[test]
    fn rows_near_and_far() {
        for (numel, scale, step) in [(1, 1.0, 0.1), (5, 10.0, 3.0), (1000, 0.02, 1e-3), (200_000, 0.02, 1e-3), (300, 300.0, 50.0)]
        {
            let x: Vec<f32> = (0..numel).map(|n| ((n * 7919 % 1000) as f32 / 500.0 - 1.0) * scale).collect();
            let y: Vec<f32> = x.iter().enumerate().map(|(n, x)| x + ((n * 104_729 % 1000) as f32 / 500.0 - 1.0) * step).collect();
            let (whole, pieces, expected) = (found(&x, &y, GRANULE * 4), found(&x, &y, GRANULE), plain(&x, &y));
            // most digits of the terms cancel in either sum
            assert!((whole - expected).abs() <= 1e-8 * expected.abs() + 1e-14, "{numel}: {whole}, not {expected}");
            assert_eq!(whole, pieces, "{numel}");
            if numel <= GRANULE {
                let [x, y] = [&x, &y].map(|row| row.repeat(2).iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
                let slice = |bytes| Slice::new(Dtype::F32, bytes).unwrap();
                let rows = row_divergences(&slice(&x), &slice(&y), numel).unwrap();
                assert_eq!((rows.len(), rows[0]), (2, rows[1]), "{numel}");
                assert!((rows[0] - expected).abs() <= 1e-8 * expected.abs() + 1e-14, "{numel}: {}, not {expected}", rows[0]);
            }
        }
        assert_eq!(found(&[0.5; 40], &[0.5; 40], GRANULE), 0.0);
    }

    #[test]
    fn sums_of_nothing_and_of_the_infinite() {
        let mut sum = LogSum::default();
        sum.add(&LogSum::default());
        assert_eq!(sum, LogSum::default());
        let part = LogSum { max: 3.0, sum: 2.0 };
        sum.add(&part);
        assert_eq!(sum, part);
        sum.add(&LogSum { max: 1000.0, sum: 1.0 });
        assert_eq!(sum, LogSum { max: 1000.0, sum: 1.0 });
        assert!(found(&[f32::NAN, 1.0], &[0.0, 1.0], GRANULE).is_nan());
    }

    #[test]
    fn every_processor_gives_the_same_bits() {
        for (kind, numel) in KINDS.into_iter().flat_map(|kind| LENGTHS.map(|numel| (kind, numel))) {
            let [a, b] = [2, 4].map(|seed| tensor(kind, numel, seed));
            let (a, b) = (floats(kind, &a), floats(kind, &b));
            let sums: [fn(Floats<'_>, &mut [LogSum]); 3] = [sums_body, sums_avx2, dispatch_sums];
            let sums = sums.map(|version| {
                let mut sums = vec![LogSum::default(); numel.div_ceil(GRANULE)];
                version(a, &mut sums);
                sums.iter().map(|sum| [sum.max, sum.sum].map(f64::to_bits)).collect::<Vec<_>>()
            });
            assert_same(sums, (kind, numel));
            type Version = fn(Floats<'_>, Floats<'_>, f64, f64, &mut [f64]);
            let versions: [Version; 3] = [divergences_body, divergences_avx2, dispatch_divergences];
            let sums = versions.map(|version| {
                let mut sums = vec![0.0; numel.div_ceil(GRANULE)];
                version(a, b, 3.5, 3.75, &mut sums);
                sums.into_iter().map(f64::to_bits).collect::<Vec<_>>()
            });
            assert_same(sums, (kind, numel));
            type Rows = fn(Floats<'_>, Floats<'_>, usize, &mut [f64]);
            for row in [1, 7, 300].into_iter().filter(|row| numel.is_multiple_of(*row)).chain([numel.clamp(1, GRANULE)]) {
                let versions: [Rows; 3] = [rows_body, rows_avx2, dispatch_rows];
                let sums = versions.map(|version| {
                    let mut sums = vec![0.0; numel / row];
                    version(a, b, row, &mut sums);
                    sums.into_iter().map(f64::to_bits).collect::<Vec<_>>()
                });
                assert_same(sums, (kind, numel, row));
            }
        }
    }

    #[test]
    fn rows_that_are_none_are_refused() {
        let bytes = [0u8; 40];
        let row = Slice::new(Dtype::F32, &bytes).unwrap();
        for length in [0, 3, GRANULE + 1] {
            assert!(row_divergences(&row, &row, length).is_err(), "{length}");
        }
        assert_eq!(row_divergences(&row, &row, 5).unwrap(), [0.0, 0.0]);
    }
}
