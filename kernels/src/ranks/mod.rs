//! Which elements of a task vector stay when the chance of each grows with the rank of its magnitude in its row: della's pruning.
//!
//! An element of a row of n whose magnitude has rank r (0 for the smallest) stays with the probability low + (high −
//! low) · r/(n − 1). Ranks are counted and not sorted for: magnitudes are told apart by their exponent and six bits of what
//! follows it (steps of at most 1.6 %), and those of one step share the middle of their ranks. So the mean of all chances is
//! exact, and equal magnitudes have equal chances wherever they are. Magnitudes below 2⁻¹⁶ of the row's largest are one step.
//!
//! ```text
//!   row ──▶ steps ──▶ counts ──▶ chance of each step ──┐
//!            └─────────────────────────────────────────┴──▶ word of the element below its chance? ──▶ bit
//! ```

mod steps;
mod table;

use std::ops::Range;

use crate::block::{BLOCK, dispatched};
use crate::mask::{MaskKey, MaskWords};
use crate::slice::{Floats, same_length};
use crate::{KernelError, Slice, bits};

use steps::Seen;
pub use table::{RankCounts, RankTable};

const NAME: &str = "ranks";
/// Elements of a row that is seen whole, at most: twice a rank must fit 31 bits. Longer rows are counted in pieces.
const LONGEST: usize = 1 << 29;

/// The chances that the smallest and the largest element of a row have to stay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chances {
    /// That of the smallest.
    pub low: f64,
    /// That of the largest; below 1.
    pub high: f64,
}

/// What a piece of a tensor is of it: the key of its mask, and where it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaskedPiece {
    /// The key of the tensor's mask.
    pub key: MaskKey,
    /// The first element of the piece, counted in the tensor.
    pub first: u64,
}

/// A bit for each of the elements `own` of the task vector `theta - base`, the lowest bit of a word first: whether it stays. The
/// task vector is some whole rows of `row` elements; `piece` is what is of the tensor from the first of `own` on. NaN stays always,
/// so that it is noticed.
///
/// # Errors
/// Operands of unequal length or not of floats; no whole rows, or rows of more than 2²⁹ elements; elements that are not there.
pub fn ranked(
    base: &Slice<'_>,
    theta: &Slice<'_>,
    row: usize,
    own: Range<usize>,
    chances: &Chances,
    piece: MaskedPiece,
) -> Result<Vec<u64>, KernelError> {
    let length = base.len();
    same_length(NAME, length, theta.len())?;
    if row == 0 || !length.is_multiple_of(row) {
        return Err(KernelError::LengthMismatch { operation: NAME, expected: row, found: length });
    }
    if own.start > own.end || own.end > length {
        return Err(KernelError::OutOfRange { first: own.start, end: own.end, length });
    }
    if row > LONGEST {
        return Err(KernelError::OutOfRange { first: 0, end: row, length: LONGEST });
    }
    let mut bits = vec![0; own.len().div_ceil(bits::GROUP)];
    let rows = Rows { base: base.floats(NAME)?, theta: theta.floats(NAME)?, row, own };
    dispatch_rows(&rows, chances, piece, &mut bits);
    Ok(bits)
}

/// Whole rows of a task vector, and which of their elements are asked for.
struct Rows<'a> {
    base: Floats<'a>,
    theta: Floats<'a>,
    row: usize,
    own: Range<usize>,
}

impl RankCounts {
    /// Counts the elements of a piece of the task vector `theta - base`.
    pub fn add(&mut self, base: &Slice<'_>, theta: &Slice<'_>) -> Result<(), KernelError> {
        same_length(NAME, base.len(), theta.len())?;
        let mut steps = vec![0; base.len()];
        dispatch_steps(base.floats(NAME)?, theta.floats(NAME)?, &mut steps);
        self.count(&steps);
        Ok(())
    }
}

impl RankTable {
    /// Sets those bits, from `bit` on, whose elements stay, of a piece of the row; they must be zero before. NaN stays always, so
    /// that it is noticed.
    pub fn choose(
        &self,
        base: &Slice<'_>,
        theta: &Slice<'_>,
        piece: MaskedPiece,
        bits: &mut [u64],
        bit: usize,
    ) -> Result<(), KernelError> {
        same_length(NAME, base.len(), theta.len())?;
        let end = bit.saturating_add(base.len());
        if bits.len() * 64 < end {
            return Err(KernelError::OutOfRange { first: bit, end, length: bits.len() * 64 });
        }
        dispatch_choose(base.floats(NAME)?, theta.floats(NAME)?, self, piece, bits, bit);
        Ok(())
    }
}

dispatched! {
    fn dispatch_steps / steps_avx2(base: Floats<'_>, theta: Floats<'_>, steps: &mut [u16]) -> Seen = steps::find;
}
dispatched! {
    fn dispatch_choose / choose_avx2(
        base: Floats<'_>, theta: Floats<'_>, table: &RankTable, piece: MaskedPiece, bits: &mut [u64], bit: usize
    ) = choose_body;
}
dispatched! {
    fn dispatch_rows / rows_avx2(rows: &Rows<'_>, chances: &Chances, piece: MaskedPiece, bits: &mut [u64]) = rows_body;
}

#[inline(always)]
fn choose_body(base: Floats<'_>, theta: Floats<'_>, table: &RankTable, piece: MaskedPiece, bits: &mut [u64], bit: usize) {
    let mut steps = vec![0; base.len()];
    let seen = steps::find(base, theta, &mut steps);
    table.places(&mut steps);
    draw(&steps, table, piece, bits, bit);
    if seen.nan {
        steps::keep_nan(base, theta, bits, bit);
    }
}

#[inline(always)]
fn rows_body(rows: &Rows<'_>, chances: &Chances, piece: MaskedPiece, bits: &mut [u64]) {
    let Rows { row, ref own, .. } = *rows;
    let (mut steps, mut table) = (vec![0; row], RankTable::new());
    for start in (0..rows.base.len()).step_by(row) {
        let part = start.max(own.start)..(start + row).min(own.end);
        if part.is_empty() {
            continue;
        }
        let whole = start..start + row;
        let seen = steps::find(rows.base.part(&whole), rows.theta.part(&whole), &mut steps);
        table.set(chances, &mut steps, seen);
        let bit = part.start - own.start;
        let piece = MaskedPiece { first: piece.first.wrapping_add(bit as u64), ..piece };
        draw(&steps[part.start - start..part.end - start], &table, piece, bits, bit);
        if seen.nan {
            steps::keep_nan(rows.base.part(&part), rows.theta.part(&part), bits, bit);
        }
    }
}

/// Sets the bits, from `bit` on, of those elements at these places of the table whose words are below their chances.
#[inline(always)]
fn draw(places: &[u16], table: &RankTable, piece: MaskedPiece, bits: &mut [u64], mut bit: usize) {
    let (mut words, mut flags) = (MaskWords::new(), [0u8; BLOCK]);
    let mut first = piece.first;
    for places in places.chunks(BLOCK) {
        let flags = &mut flags[..places.len()];
        let words = piece.key.draw(first, places.len(), &mut words);
        for ((flag, place), word) in flags.iter_mut().zip(places).zip(words) {
            *flag = u8::from(*word < table.chance(*place));
        }
        bits::set(bits, bit, flags);
        bit += places.len();
        first = first.wrapping_add(places.len() as u64);
    }
}

#[cfg(test)]
mod tests;
