//! Which elements of a task vector stay: all, the largest, or a random share. A new way to sparsify is a variant of [`Keep`] and
//! an arm of `Keeper::apply`; how a threshold is found is not decided here but in [`crate::select`].

use crate::bits;
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
            Keep::Band { kept, outliers } => apply_band(kept, outliers, values),
            Keep::Bernoulli { mask, first } => {
                mask.apply(*first, values, words);
                *first = first.wrapping_add(values.len() as u64);
            }
            Keep::Chosen { bits, first } => {
                bits::zero_others(bits, *first, values);
                *first += values.len();
            }
        }
    }
}

/// Zeroes what `outliers` would keep, and what `kept` would not. NaN stays, so that it is noticed.
#[inline(always)]
fn apply_band(kept: &mut TileTrim, outliers: &mut TileTrim, values: &mut [f32]) {
    let (mut low_ties, mut high_ties) = (0u32, 0u32);
    for value in values.iter() {
        low_ties += u32::from(magnitude(*value) == kept.threshold);
        high_ties += u32::from(magnitude(*value) == outliers.threshold);
    }
    let (low_ties, high_ties) = (u64::from(low_ties), u64::from(high_ties));
    let (Some(low), Some(high)) = (kept.floor(low_ties), outliers.floor(high_ties)) else {
        return apply_band_with_ties(kept, outliers, values);
    };
    kept.pass(low_ties);
    outliers.pass(high_ties);
    for value in values.iter_mut() {
        let own = magnitude(*value);
        *value = if (own >= low) & ((own < high) | value.is_nan()) { *value } else { 0.0 };
    }
}

/// The two blocks of a tensor in which the ties of a border run out.
#[cold]
fn apply_band_with_ties(kept: &mut TileTrim, outliers: &mut TileTrim, values: &mut [f32]) {
    for value in values.iter_mut() {
        // both count their ties, whatever the other says
        let (stays, outlier) = (kept.next(magnitude(*value)), outliers.next(magnitude(*value)));
        if !stays || (outlier && !value.is_nan()) {
            *value = 0.0;
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
        let Some(floor) = self.floor(equal) else { return self.apply_with_ties(values) };
        self.pass(equal);
        for value in values.iter_mut() {
            *value = if magnitude(*value) >= floor { *value } else { 0.0 };
        }
    }

    /// The smallest magnitude that stays of the next elements, of which so many are equal to the threshold; none where only the
    /// first of these do.
    #[inline(always)]
    pub(crate) fn floor(&self, equal: u64) -> Option<u32> {
        match self.ties {
            0 => Some(self.threshold.saturating_add(1)),
            ties if ties >= equal => Some(self.threshold),
            _ => None,
        }
    }

    /// Goes past elements of which so many are equal to the threshold.
    #[inline(always)]
    pub(crate) fn pass(&mut self, equal: u64) {
        self.ties -= equal.min(self.ties);
    }

    /// Whether the next element stays, by its magnitude.
    pub(crate) fn next(&mut self, own: u32) -> bool {
        let tied = own == self.threshold && self.ties > 0;
        self.ties -= u64::from(tied);
        own > self.threshold || tied
    }

    /// The one block of a tensor in which the ties run out.
    #[cold]
    fn apply_with_ties(&mut self, values: &mut [f32]) {
        for value in values.iter_mut() {
            if !self.next(magnitude(*value)) {
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

    #[test]
    fn a_band_is_what_stays_without_its_outliers() {
        let source: Vec<f32> =
            (0..700).map(|n| [1.0, -2.0, 2.0, 3.0, -0.0, f32::NAN, -3.0, 4.0, f32::INFINITY][(n * 7 + n / 10) % 9]).collect();
        let trim = |threshold: f32, ties| TileTrim { threshold: magnitude(threshold), ties };
        let all = [(trim(2.0, 0), trim(3.0, 0)), (trim(2.0, 70), trim(3.0, 7)), (trim(1.0, 1), trim(4.0, 300))];
        for (kept, outliers) in all.into_iter().chain([(TileTrim::EVERYTHING, trim(3.0, 5)), (trim(2.0, 3), trim(2.0, 1))]) {
            let alone = |mut trim: TileTrim| {
                let mut values = source.clone();
                values.chunks_mut(256).for_each(|values| trim.apply(values));
                values
            };
            let expected = alone(kept).into_iter().zip(alone(outliers)).map(|(kept, outlier)| match outlier {
                outlier if outlier == 0.0 || outlier.is_nan() => kept,
                _ => 0.0,
            });
            let mut keeper = Keeper::new(Keep::Band { kept, outliers });
            let mut values = source.clone();
            values.chunks_mut(256).for_each(|values| keeper.apply(values, &mut MaskWords::new()));
            assert!(
                values.iter().zip(expected).all(|(a, b)| a.to_bits() & 0x7fff_ffff == b.to_bits() & 0x7fff_ffff),
                "{kept:?} {outliers:?}"
            );
        }
    }
}
