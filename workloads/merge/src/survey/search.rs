//! The search for one order statistic over many tensors, by histograms. Pure.
//!
//! ```text
//!   everything ──(a window is divided)──▶ a bucket, or all below or above the window
//!       an interval ──(it is divided)──▶ a bucket ── … ──▶ one number: found
//! ```

use braid_kernels::Buckets;
use serde::{Deserialize, Serialize};

use super::WINDOW;

/// An order statistic, and how its rank came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The number.
    pub number: u32,
    /// How many elements have a larger one.
    pub above: u64,
    /// How many have this one.
    pub equal: u64,
}

/// A search on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Search {
    /// Which number is searched: 1 is the largest.
    rank: u64,
    /// Where it is, both ends included.
    low: u32,
    high: u32,
    /// The numbers above the interval, and in it; unknown before the first round.
    counted: Option<(u64, u64)>,
}

impl Search {
    /// A search for the `rank`-th largest number of all.
    pub(crate) fn new(rank: u64) -> Self {
        Self { rank: rank.max(1), low: 0, high: u32::MAX, counted: None }
    }

    /// What it has found, if it has.
    pub(crate) fn found(&self) -> Option<Found> {
        let (above, equal) = self.counted.filter(|_| self.low == self.high)?;
        Some(Found { number: self.low, above, equal })
    }

    /// What to count next, in at most `most` intervals; none once it has found. `window` is where to look first.
    pub(crate) fn buckets(&self, most: u32, window: u32) -> Option<Buckets> {
        if self.found().is_some() {
            return None;
        }
        let (low, size) = match self.counted {
            None => (window, WINDOW),
            Some(_) => (self.low, u64::from(self.high) - u64::from(self.low) + 1),
        };
        let most = u64::from(most.max(2));
        let shift = (0..32).find(|shift| size.div_ceil(1 << shift) <= most).unwrap_or(31);
        Some(Buckets { low, shift, intervals: size.div_ceil(1 << shift) as u32 })
    }

    /// How many rounds of at most `most` intervals a search takes whose number is in the window.
    pub(crate) fn rounds(most: u32) -> u64 {
        let (mut search, mut rounds) = (Self::new(1), 0);
        while let Some(buckets) = search.buckets(most, 0) {
            let last = (1u64 << buckets.shift) - 1;
            (search.low, search.high, search.counted) = (0, last as u32, Some((0, 1)));
            rounds += 1;
        }
        rounds
    }

    /// Takes in what all elements came to; `elements` is how many there are.
    ///
    /// # Errors
    /// Counts that contradict those before: the inputs have changed.
    pub(crate) fn take(&mut self, buckets: &Buckets, counts: &[u64], elements: u64) -> Result<(), String> {
        let changed = || "the tensors changed between two looks at them; is something writing to a checkpoint?".to_owned();
        let total = counts.iter().try_fold(0u64, |sum, count| sum.checked_add(*count));
        if counts.len() != buckets.counts() || total != Some(elements) || self.rank > elements {
            return Err(changed());
        }
        // numbers above the interval may share its last bucket: how many there are is known
        let (known, inside) = self.counted.unwrap_or((0, elements));
        let mut above = 0;
        for (place, count) in counts.iter().enumerate().rev() {
            if self.rank <= above + count {
                let (low, high) = buckets.numbers(place).ok_or_else(changed)?;
                let (low, high) = (low.max(self.low), high.min(self.high));
                let (over, up_to) = (above.max(known), above + count);
                let stuck = self.counted.is_some() && (low, high) == (self.low, self.high);
                if low > high || stuck || up_to <= over || self.rank <= over || up_to > known + inside {
                    return Err(changed());
                }
                (self.low, self.high, self.counted) = (low, high, Some((over, up_to - over)));
                return Ok(());
            }
            above += count;
        }
        Err(changed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::MAGNITUDES;
    use proptest::prelude::*;

    fn count(buckets: &Buckets, numbers: &[u32]) -> Vec<u64> {
        let within = |place: usize| {
            let range = buckets.numbers(place);
            numbers.iter().filter(|number| range.is_some_and(|(low, high)| (low..=high).contains(number))).count() as u64
        };
        (0..buckets.counts()).map(within).collect()
    }

    fn run(rank: u64, most: u32, numbers: &[u32]) -> (Found, usize) {
        let mut search = Search::new(rank);
        let mut rounds = 0;
        while let Some(buckets) = search.buckets(most, MAGNITUDES) {
            search.take(&buckets, &count(&buckets, numbers), numbers.len() as u64).unwrap();
            rounds += 1;
            assert!(rounds < 40);
        }
        (search.found().unwrap(), rounds)
    }

    proptest! {
        #[test]
        fn it_is_the_sorted_one(
            numbers in prop::collection::vec(prop_oneof![any::<u32>(), 0x3000_0000..0x3100_0000u32, Just(0u32), Just(7u32), Just(u32::MAX)], 1..60),
            rank in 1..60u64,
            most in prop_oneof![Just(2u32), Just(7), Just(1024)],
        ) {
            let rank = rank.min(numbers.len() as u64);
            let mut sorted = numbers.clone();
            sorted.sort_unstable_by(|a, b| b.cmp(a));
            let number = sorted[rank as usize - 1];
            let above = numbers.iter().filter(|other| **other > number).count() as u64;
            let equal = numbers.iter().filter(|other| **other == number).count() as u64;
            prop_assert_eq!(run(rank, most, &numbers).0, Found { number, above, equal });
        }
    }

    #[test]
    fn changes_within_the_window_take_three_rounds_of_a_thousand_buckets() {
        let numbers: Vec<u32> = (0..5000u32).map(|n| (f64::from(n) * 1e-6) as f32).map(f32::to_bits).collect();
        assert_eq!(run(1000, 1024, &numbers).1, 3);
        for (most, rounds) in [(3072, 3), (1024, 3), (512, 4), (300, 4), (256, 4), (2, 29)] {
            assert_eq!(Search::rounds(most), rounds, "{most}");
            if most > 2 {
                assert_eq!(run(1000, most, &numbers).1 as u64, rounds, "{most}");
            }
        }
    }

    #[test]
    fn counts_that_contradict_each_other_are_noticed() {
        let mut search = Search::new(2);
        let numbers = [0x3000_0000, 0x3000_0001, 0x3000_0002];
        let buckets = search.buckets(16, MAGNITUDES).unwrap();
        assert!(search.take(&buckets, &count(&buckets, &numbers), 4).is_err(), "an element is missing");
        assert!(search.take(&buckets, &[1, 2], 3).is_err(), "counts of other buckets");
        search.take(&buckets, &count(&buckets, &numbers), 3).unwrap();
        let buckets = search.buckets(16, MAGNITUDES).unwrap();
        let error = search.take(&buckets, &count(&buckets, &[0x2000_0000, 5, 6]), 3).unwrap_err();
        assert!(error.contains("changed between two looks"), "{error}");
    }
}
