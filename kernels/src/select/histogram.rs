//! One pass that counts how many elements fall in each of 65,536 equal parts of an interval: the way out when a bracket missed,
//! or held more than memory allows.

use std::sync::{Mutex, PoisonError};

use super::bracket::{Bracket, Interval};
use super::pass::{Part, PartKind};
use crate::KernelError;
use crate::block::BLOCK;

pub(super) const BUCKETS: usize = 1 << 16;
/// Counters of a tile are 32 bits wide; it hands them in once they hold so much, a granule before they could overflow.
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
    /// Those whose magnitude is zero.
    pub(super) zeros: u64,
    pending: u64,
    /// One more than buckets: the last is for what lies outside.
    counters: Vec<u32>,
}

/// A finished histogram.
pub(super) struct Finished {
    /// Elements of the tensor whose magnitude is zero.
    pub(super) zeros: u64,
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
        Counts { elements: 0, zeros: 0, pending: 0, counters: vec![0; BUCKETS + 1] }
    }

    /// Counts the next keys of a tile, at most a block.
    #[inline(always)]
    pub(super) fn feed(&self, counts: &mut Counts, keys: &[u32]) {
        let Cut { low, high, shift } = self.cut;
        let mut buckets = [0u32; BLOCK];
        let buckets = &mut buckets[..keys.len()];
        let mut zeros = 0u32;
        for (bucket, key) in buckets.iter_mut().zip(keys) {
            zeros += u32::from(*key == 0);
            *bucket = if (*key >= low) & (*key <= high) { (*key - low) >> shift } else { BUCKETS as u32 };
        }
        for bucket in &*buckets {
            counts.counters[*bucket as usize] += 1;
        }
        counts.zeros += u64::from(zeros);
        counts.elements += keys.len() as u64;
        counts.pending += keys.len() as u64;
    }

    /// Hands counters in before they could overflow.
    pub(super) fn settle(&self, counts: &mut Counts) {
        if counts.pending > FULL {
            self.hand_in(counts);
        }
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

    /// The smallest and the largest magnitude that counts, and the power of two that a bucket is wide.
    pub(super) fn cut(&self) -> (u32, u32, u32) {
        (self.cut.low, self.cut.high, self.cut.shift)
    }

    /// Adds what others counted in each bucket.
    pub(super) fn add(&self, counts: &[u64]) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }

    #[cfg(test)]
    pub(super) fn sums(&self) -> Vec<u64> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn collect(&self, parts: Vec<Part>, numel: u64) -> Result<Finished, KernelError> {
        let (mut found, mut all_zeros) = (0, 0);
        for part in parts {
            let PartKind::Histogram { elements, zeros } = part.0 else { return Err(KernelError::ForeignPart) };
            found += elements;
            all_zeros += zeros;
        }
        if found != numel {
            return Err(KernelError::IncompletePass { expected: numel, found });
        }
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Finished { zeros: all_zeros, cut: self.cut, sums })
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
