//! One pass that counts how many elements fall in each of 65,536 equal parts of an interval: the way out when a bracket missed,
//! or held more than memory allows.

use std::sync::{Mutex, PoisonError};

use super::bracket::{Bracket, Interval};
use super::pass::{Part, PartKind};
use crate::KernelError;
use crate::block::{BLOCK, Block, blocks, dispatched};
use crate::keep::magnitude;
use crate::merge::difference;
use crate::slice::Floats;

const BUCKETS: usize = 1 << 16;
/// Counters of a tile are 32 bits wide; it hands them in before they could overflow.
const FULL: u64 = 1 << 31;

/// A histogram under way over all tiles. There is one set of sums, whatever the number of tiles.
#[derive(Debug)]
pub(super) struct Histogram {
    cut: Cut,
    sums: Mutex<Vec<u64>>,
}

/// How an interval is cut into buckets.
#[derive(Debug, Clone, Copy)]
struct Cut {
    low: u32,
    high: u32,
    /// A bucket holds 2^shift values.
    shift: u32,
}

/// The counters of one tile.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) elements: u64,
    pending: u64,
    /// One more than buckets: the last is for what lies outside.
    counters: Vec<u32>,
}

/// A finished histogram.
pub(super) struct Finished {
    cut: Cut,
    sums: Vec<u64>,
}

impl Histogram {
    pub(super) fn over(interval: &Interval) -> Self {
        let bits = u32::BITS - (interval.high - interval.low).leading_zeros();
        let cut = Cut { low: interval.low, high: interval.high, shift: bits.saturating_sub(BUCKETS.ilog2()) };
        Self { cut, sums: Mutex::new(vec![0; BUCKETS]) }
    }

    pub(super) fn start(&self) -> Counts {
        Counts { elements: 0, pending: 0, counters: vec![0; BUCKETS + 1] }
    }

    pub(super) fn feed(&self, counts: &mut Counts, base: Floats<'_>, theta: Floats<'_>) {
        let elements = base.len() as u64;
        if counts.pending + elements > FULL {
            self.hand_in(counts);
        }
        counts.pending += elements;
        counts.elements += elements;
        dispatch(base, theta, self.cut, &mut counts.counters);
    }

    /// Adds the counters of a tile to the sums of all.
    pub(super) fn hand_in(&self, counts: &mut Counts) {
        // Sums of integers are whole at any moment, so that a thread that died holding the lock left nothing broken.
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        for (sum, counter) in sums.iter_mut().zip(&mut counts.counters) {
            *sum += u64::from(std::mem::take(counter));
        }
        counts.pending = 0;
    }

    pub(super) fn collect(&self, parts: Vec<Part>, numel: u64) -> Result<Finished, KernelError> {
        let mut found = 0;
        for part in parts {
            let PartKind::Histogram { elements } = part.0 else { return Err(KernelError::ForeignPart) };
            found += elements;
        }
        if found != numel {
            return Err(KernelError::IncompletePass { expected: numel, found });
        }
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Finished { cut: self.cut, sums })
    }
}

impl Finished {
    /// The bucket that holds the k-th largest of all elements.
    pub(super) fn narrow(&self, interval: &Interval, k: u64) -> Result<Interval, KernelError> {
        if self.sums.iter().sum::<u64>() != interval.inside {
            return Err(KernelError::Changed);
        }
        let mut above = interval.above;
        for (bucket, inside) in self.sums.iter().enumerate().rev() {
            if k <= above + inside {
                let low = self.cut.low + ((bucket as u32) << self.cut.shift);
                let high = self.cut.high.min(low + ((1 << self.cut.shift) - 1));
                return interval.narrow(&Bracket::plain(low, high), above, *inside, k);
            }
            above += inside;
        }
        Err(KernelError::Changed)
    }
}

dispatched! {
    fn dispatch / dispatch_avx2(base: Floats<'_>, theta: Floats<'_>, cut: Cut, counters: &mut [u32]) = body;
}

#[inline(always)]
fn body(base: Floats<'_>, theta: Floats<'_>, cut: Cut, counters: &mut [u32]) {
    let Cut { low, high, shift } = cut;
    let (mut theta0, mut delta): (Block, Block) = ([0.0; BLOCK], [0.0; BLOCK]);
    let mut buckets = [0u32; BLOCK];
    for range in blocks(base.len()) {
        let n = range.len();
        let (theta0, delta, buckets) = (&mut theta0[..n], &mut delta[..n], &mut buckets[..n]);
        base.decode(&range, theta0);
        theta.decode(&range, delta);
        difference(delta, theta0);
        for (bucket, delta) in buckets.iter_mut().zip(&*delta) {
            let key = magnitude(*delta);
            *bucket = if (key >= low) & (key <= high) { (key - low) >> shift } else { BUCKETS as u32 };
        }
        for bucket in &*buckets {
            counters[*bucket as usize] += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{KINDS, LENGTHS, assert_same, floats, tensor};

    #[test]
    fn every_processor_counts_the_same() {
        for (kind, numel) in KINDS.into_iter().flat_map(|kind| LENGTHS.map(|numel| (kind, numel))) {
            let [a, b] = [1, 2].map(|seed| tensor(kind, numel, seed));
            let cut = Cut { low: magnitude(0.1), high: magnitude(0.5), shift: 10 };
            type Version = fn(Floats<'_>, Floats<'_>, Cut, &mut [u32]);
            let versions: [Version; 3] = [body, dispatch_avx2, dispatch];
            let counts = versions.map(|version| {
                let mut counters = vec![0; BUCKETS + 1];
                version(floats(kind, &a), floats(kind, &b), cut, &mut counters);
                counters
            });
            assert_eq!(counts[0].iter().sum::<u32>() as usize, numel);
            assert_same(counts, (kind, numel));
        }
    }
}
