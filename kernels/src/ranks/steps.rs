//! The step of a magnitude: its exponent and six bits of what follows. Not what is drawn by it.

use crate::block::{BLOCK, Block, blocks};
use crate::keep::magnitude;
use crate::merge::difference;
use crate::slice::Floats;

/// The bits of a magnitude that are not looked at.
const IGNORED: u32 = 17;
/// The step of what is infinite or no number.
pub(super) const INFINITE: usize = (f32::INFINITY.to_bits() >> IGNORED) as usize;

/// What is known of a piece of a task vector once its steps are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The largest step that is finite.
    pub(super) top: u16,
    /// The smallest step but that of zeros; not below the largest where there is no other.
    pub(super) bottom: u16,
    /// Whether an element is no number.
    pub(super) nan: bool,
}

/// Finds the steps of all elements of the task vector `theta - base`.
#[inline(always)]
pub(super) fn find(base: Floats<'_>, theta: Floats<'_>, steps: &mut [u16]) -> Seen {
    let (mut theta0, mut delta): (Block, Block) = ([0.0; BLOCK], [0.0; BLOCK]);
    let (mut top, mut bottom, mut largest) = (0, u16::MAX, 0);
    for range in blocks(base.len()) {
        let n = range.len();
        let (theta0, delta) = (&mut theta0[..n], &mut delta[..n]);
        base.decode(&range, theta0);
        theta.decode(&range, delta);
        difference(delta, theta0);
        for (step, delta) in steps[range].iter_mut().zip(&*delta) {
            let own = magnitude(*delta);
            largest = largest.max(own);
            let own = (own >> IGNORED).min(INFINITE as u32) as u16;
            *step = own;
            top = top.max(if usize::from(own) < INFINITE { own } else { 0 });
            bottom = bottom.min(own.wrapping_sub(1));
        }
    }
    Seen { top, bottom: bottom.saturating_add(1), nan: largest > f32::INFINITY.to_bits() }
}

/// Sets the bits of what is no number. Called for few pieces, if any.
#[cold]
pub(super) fn keep_nan(base: Floats<'_>, theta: Floats<'_>, bits: &mut [u64], bit: usize) {
    let (mut theta0, mut delta): (Block, Block) = ([0.0; BLOCK], [0.0; BLOCK]);
    for range in blocks(base.len()) {
        let (theta0, delta) = (&mut theta0[..range.len()], &mut delta[..range.len()]);
        base.decode(&range, theta0);
        theta.decode(&range, delta);
        difference(delta, theta0);
        for (element, delta) in range.zip(&*delta) {
            let bit = bit + element;
            if let Some(word) = bits.get_mut(bit / 64) {
                *word |= u64::from(delta.is_nan()) << (bit % 64);
            }
        }
    }
}
