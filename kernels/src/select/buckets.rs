//! How many elements of a tile have their number in each of some intervals: one step of a search that spans more than a tensor.

use std::ops::Range;

use super::source::{Opened, Source};
use crate::KernelError;
use crate::block::{BLOCK, blocks, dispatched};

/// Intervals of equal width, one after the other, and all that is below and above them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buckets {
    /// The first number of the first interval.
    pub low: u32,
    /// Each interval holds 2 to this power of numbers; below 32.
    pub shift: u32,
    /// How many intervals there are.
    pub intervals: u32,
}

impl Buckets {
    /// How many counts they have: what is below, each interval, what is above.
    pub fn counts(&self) -> usize {
        self.intervals as usize + 2
    }

    /// The numbers that one of the counts is of; none where there can be no number.
    pub fn numbers(&self, count: usize) -> Option<(u32, u32)> {
        let edge = |interval: u64| u64::from(self.low) + (interval << self.shift);
        let (first, end) = match count {
            0 => (0, u64::from(self.low)),
            above if above > self.intervals as usize => (edge(u64::from(self.intervals)), 1 << 32),
            inside => (edge(inside as u64 - 1), edge(inside as u64)),
        };
        let last = end.min(1 << 32).checked_sub(1)?;
        Some((u32::try_from(first).ok()?, u32::try_from(last).ok()?)).filter(|(first, last)| first <= last)
    }

    #[inline(always)]
    fn place(&self, number: u32) -> usize {
        match number.checked_sub(self.low) {
            None => 0,
            Some(over) => 1 + (over >> self.shift).min(self.intervals) as usize,
        }
    }
}

/// Adds the elements of a tile to the counts of each of `buckets`.
///
/// # Errors
/// Inputs of unequal length, or not of floats; counts of other buckets.
pub fn count_in_buckets(source: &Source<'_>, buckets: &[Buckets], counts: &mut [Vec<u64>]) -> Result<(), KernelError> {
    const NAME: &str = "count_in_buckets";
    let fit = buckets.iter().zip(&*counts).all(|(buckets, counts)| buckets.counts() == counts.len() && buckets.shift < 32);
    if !fit || buckets.len() != counts.len() {
        let (expected, found) = (buckets.len(), counts.len());
        return Err(KernelError::CountMismatch { operation: NAME, what: "counts", expected, found });
    }
    dispatch(&mut source.open(NAME)?, source.length(), buckets, counts);
    Ok(())
}

dispatched! {
    fn dispatch / dispatch_avx2(source: &mut Opened<'_>, length: usize, buckets: &[Buckets], counts: &mut [Vec<u64>]) = body;
}

#[inline(always)]
fn body(source: &mut Opened<'_>, length: usize, buckets: &[Buckets], counts: &mut [Vec<u64>]) {
    let mut numbers = [0u32; BLOCK];
    for range in blocks(length) {
        let Range { start, end } = range;
        let numbers = &mut numbers[..end - start];
        source.keys(&range, numbers);
        for (buckets, counts) in buckets.iter().zip(&mut *counts) {
            for number in &*numbers {
                counts[buckets.place(*number)] += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keep::magnitude;
    use crate::testing::{KINDS, LENGTHS, assert_same, tensor};
    use crate::{Dtype, Slice};

    #[test]
    fn every_number_has_one_place() {
        for buckets in [
            Buckets { low: 0, shift: 0, intervals: 1 },
            Buckets { low: 7, shift: 3, intervals: 5 },
            Buckets { low: 0x2000_0000, shift: 19, intervals: 1024 },
            Buckets { low: u32::MAX, shift: 0, intervals: 1 },
            Buckets { low: u32::MAX - 9, shift: 4, intervals: 3 },
        ] {
            let mut next = 0u64;
            for count in 0..buckets.counts() {
                let Some((first, last)) = buckets.numbers(count) else { continue };
                assert_eq!(u64::from(first), next, "{buckets:?} {count}");
                assert_eq!((buckets.place(first), buckets.place(last)), (count, count), "{buckets:?}");
                next = u64::from(last) + 1;
            }
            assert_eq!(next, 1 << 32, "{buckets:?}");
        }
    }

    #[test]
    fn counts_are_those_of_the_differences_on_every_processor() {
        let buckets = [Buckets { low: magnitude(0.01), shift: 20, intervals: 30 }, Buckets { low: 5, shift: 30, intervals: 1 }];
        for (kind, numel) in KINDS.into_iter().flat_map(|kind| LENGTHS.map(|numel| (kind, numel))) {
            let [a, b] = [1, 2].map(|seed| tensor(kind, numel, seed));
            let dtype = [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::BF16];
            let dtype = dtype.into_iter().find(|dtype| crate::convert::Float::of(*dtype) == Some(kind)).unwrap();
            let source = Source::Difference { base: Slice::new(dtype, &a).unwrap(), theta: Slice::new(dtype, &b).unwrap() };
            type Version = fn(&mut Opened<'_>, usize, &[Buckets], &mut [Vec<u64>]);
            let versions: [Version; 3] = [body, dispatch_avx2, dispatch];
            let counts = versions.map(|version| {
                let mut counts: Vec<Vec<u64>> = buckets.iter().map(|buckets| vec![0; buckets.counts()]).collect();
                version(&mut source.open("test").unwrap(), numel, &buckets, &mut counts);
                counts
            });
            assert!(counts[0].iter().all(|counts| counts.iter().sum::<u64>() == numel as u64));
            assert_same(counts, (kind, numel));
        }
    }
}
