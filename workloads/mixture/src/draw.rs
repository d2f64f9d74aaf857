//! Chance that can be repeated: Philox words keyed by the seed, counted by purpose, step and draw. Not a stream that is handed
//! around: who draws for step 9 needs nothing of step 8.

use crate::Proportions;
use braid_kernels::philox4x32;

/// What is drawn, so that no two uses share a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The domains of a batch.
    Batch = 1,
    /// The order in which a sweep tries the domains.
    Sweep = 2,
}

/// The draws of one purpose at one step.
#[derive(Debug, Clone)]
pub(crate) struct Draws {
    key: [u32; 2],
    step: u64,
    purpose: u32,
    drawn: u32,
}

impl Draws {
    pub(crate) fn new(seed: u64, purpose: Purpose, step: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], step, purpose: purpose as u32, drawn: 0 }
    }

    /// Uniform in `[0, 1)`, with 53 bits.
    pub(crate) fn uniform(&mut self) -> f64 {
        let counter = [self.drawn, self.step as u32, (self.step >> 32) as u32, self.purpose];
        let [high, low, ..] = philox4x32(counter, self.key);
        self.drawn = self.drawn.wrapping_add(1);
        ((u64::from(high) << 32 | u64::from(low)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One domain, each with the probability of its share.
    pub(crate) fn pick(&mut self, proportions: &Proportions) -> usize {
        let mut left = self.uniform();
        let mut last = 0;
        for (index, share) in proportions.iter().enumerate().filter(|(_, share)| *share > 0.0) {
            if left < share {
                return index;
            }
            left -= share;
            last = index;
        }
        last // rounding left a little over
    }

    /// The numbers below `count` in any order, each order alike (Fisher and Yates).
    pub(crate) fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for index in (1..count).rev() {
            let other = (self.uniform() * (index + 1) as f64) as usize;
            order.swap(index, other.min(index));
        }
        order
    }
}
