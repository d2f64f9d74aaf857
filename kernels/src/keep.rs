//! Which elements of a task vector stay: all, the largest, or a random share. A new way to sparsify is a variant of [`Keep`] and
//! an arm of `Keeper::apply`; how a threshold is found is not decided here but in [`crate::select`].

use crate::block::BLOCK;
use crate::mask::{Mask, MaskWords};

/// The rule for the elements of one tile of a task vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keep<'a> {
    /// Every element.
    All,
    /// Elements of the largest magnitude.
    Trim(TileTrim),
    /// Elements of the largest magnitude, but for the very largest.
    Band {
        /// What would stay with these.
        kept: TileTrim,
        /// These.
        outliers: TileTrim,
    },
    /// A random share.
    Bernoulli {
        /// The mask of the tensor.
        mask: Mask,
        /// Index in the tensor of the tile's first element.
        first: u64,
    },
    /// Those that were chosen before, bit by bit.
    Chosen {
        /// A bit for each element of the tile, the lowest bit of a word first.
        bits: &'a [u64],
        /// The bit of the tile's first element.
        first: usize,
    },
}

/// What trimming keeps of one tile: every magnitude above the threshold, and the first few that equal it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileTrim {
    /// The threshold as a [`magnitude`].
    pub threshold: u32,
    /// How many elements equal to the threshold stay, counted from the start of the tile.
    pub ties: u64,
}

/// The magnitude of a value as an integer that orders alike: its bits without the sign. NaN is above infinity.
#[inline(always)]
pub fn magnitude(value: f32) -> u32 {
    value.to_bits() & 0x7fff_ffff
}

/// A [`Keep`] on its way through a tile.
#[derive(Clone, Copy)]
pub(crate) struct Keeper<'a>(Keep<'a>);

impl<'a> Keeper<'a> {
    pub(crate) fn new(keep: Keep<'a>) -> Self {
        Self(keep)
    }

    /// Zeroes what the rule drops of the next elements.
    #[inline(always)]
    pub(crate) fn apply(&mut self, values: &mut [f32], words: &mut MaskWords) {
        match &mut self.0 {
            Keep::All => {}
            Keep::Trim(trim) => trim.apply(values),
            Keep::Band { kept, outliers } => {
                let mut largest = [0.0; BLOCK];
                for values in values.chunks_mut(BLOCK) {
                    let largest = &mut largest[..values.len()];
                    largest.copy_from_slice(values);
                    outliers.apply(largest);
                    kept.apply(values);
                    for (value, outlier) in values.iter_mut().zip(&*largest) {
                        // NaN stays, so that it is noticed
                        *value = if *outlier == 0.0 || value.is_nan() { *value } else { 0.0 };
                    }
                }
            }
            Keep::Bernoulli { mask, first } => {
                mask.apply(*first, values, words);
                *first = first.wrapping_add(values.len() as u64);
            }
            Keep::Chosen { bits, first } => {
                for (offset, value) in values.iter_mut().enumerate() {
                    let place = *first + offset;
                    let chosen = bits.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1);
                    *value = if chosen { *value } else { 0.0 };
                }
                *first += values.len();
            }
        }
    }
}

impl TileTrim {
    /// Keeps every element.
    pub const EVERYTHING: Self = Self { threshold: 0, ties: u64::MAX };
    /// Keeps nothing but NaN, which must be noticed.
    pub const NOTHING: Self = Self { threshold: f32::INFINITY.to_bits(), ties: 0 };

    #[inline(always)]
    pub(crate) fn apply(&mut self, values: &mut [f32]) {
        let mut equal = 0u32;
        for value in values.iter() {
            equal += u32::from(magnitude(*value) == self.threshold);
        }
        let equal = u64::from(equal);
        let floor = match self.ties {
            0 => self.threshold.saturating_add(1),
            ties if ties >= equal => self.threshold,
            _ => return self.apply_with_ties(values),
        };
        self.ties -= equal.min(self.ties);
        for value in values.iter_mut() {
            *value = if magnitude(*value) >= floor { *value } else { 0.0 };
        }
    }

    /// The one block of a tensor in which the ties run out.
    #[cold]
    fn apply_with_ties(&mut self, values: &mut [f32]) {
        for value in values.iter_mut() {
            let own = magnitude(*value);
            let tied = own == self.threshold && self.ties > 0;
            self.ties -= u64::from(tied);
            if own <= self.threshold && !tied {
                *value = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_stay_from_the_front_whatever_the_blocks() {
        let source = [1.0, -2.0, 2.0, 3.0, 2.0, 0.5, -2.0, 2.0f32];
        for ties in 0..=5 {
            let mut left = ties;
            let expected = source.map(|value: f32| match value.abs() {
                2.0 if left > 0 => {
                    left -= 1;
                    value
                }
                above if above > 2.0 => value,
                _ => 0.0,
            });
            for cut in 0..=source.len() {
                let mut keeper = Keeper::new(Keep::Trim(TileTrim { threshold: magnitude(2.0), ties }));
                let mut values = source;
                let (head, tail) = values.split_at_mut(cut);
                keeper.apply(head, &mut MaskWords::new());
                keeper.apply(tail, &mut MaskWords::new());
                assert_eq!(values, expected, "{ties} ties, cut at {cut}");
            }
        }
    }
}
