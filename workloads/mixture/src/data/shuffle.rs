//! The order of an epoch, without a list of it: a bijection of `0..n` that any place can be asked of.
//!
//! A Feistel network over the next even power of two, with Philox as its round function, walked until the result is below `n`
//! (cycle walking: Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002). At most four walks on average.

use braid_kernels::philox4x32;

const ROUNDS: u32 = 6;

/// A bijection of `0..n`, decided by its key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shuffle {
    n: u64,
    /// Bits of each half.
    half: u32,
    seed: [u32; 2],
    epoch: u32,
    key: u32,
}

impl Shuffle {
    /// `[seed, epoch]` and the key of a domain decide it. `n` is at most 2^62.
    pub(super) fn new(n: u64, [seed, epoch]: [u64; 2], key: u32) -> Self {
        let bits = u64::BITS - n.saturating_sub(1).leading_zeros();
        let half = bits.div_ceil(2).clamp(1, 31);
        // An epoch beyond 2^32 comes again: no run has as many.
        Self { n, half, seed: [seed as u32, (seed >> 32) as u32], epoch: epoch as u32, key }
    }

    /// What comes at a place; a place beyond the end counts from the first again.
    pub(super) fn at(&self, place: u64) -> u64 {
        let mut value = place % self.n.max(1);
        loop {
            value = self.pass(value);
            if value < self.n.max(1) {
                return value;
            }
        }
    }

    fn pass(&self, value: u64) -> u64 {
        let mask = (1u64 << self.half) - 1;
        let (mut left, mut right) = (value >> self.half, value & mask);
        for round in 0..ROUNDS {
            let [word, ..] = philox4x32([right as u32, round, self.epoch, self.key], self.seed);
            (left, right) = (right, left ^ (u64::from(word) & mask));
        }
        left << self.half | right
    }
}

/// A key for a name.
pub(super) fn key_of(name: &str) -> u32 {
    let hash = blake3::hash(name.as_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn every_number_comes_once(n in 1u64..3000, seed: u64, epoch in 0u64..1000, key: u32) {
            let shuffle = Shuffle::new(n, [seed, epoch], key);
            let seen: BTreeSet<u64> = (0..n).map(|place| shuffle.at(place)).collect();
            prop_assert_eq!(seen.len() as u64, n);
            prop_assert_eq!(seen.last().copied(), Some(n - 1));
        }
    }

    #[test]
    fn seed_epoch_and_name_each_change_the_order() {
        let order = |seed, epoch, key| {
            let shuffle = Shuffle::new(1000, [seed, epoch], key);
            (0..1000).map(|place| shuffle.at(place)).collect::<Vec<_>>()
        };
        let first = order(1, 0, key_of("a"));
        assert_eq!(first, order(1, 0, key_of("a")));
        for other in [order(2, 0, key_of("a")), order(1, 1, key_of("a")), order(1, 0, key_of("b"))] {
            let same = first.iter().zip(&other).filter(|(a, b)| a == b).count();
            assert!(same < 20, "{same} of 1000 stay where they were");
        }
    }

    #[test]
    fn neighbours_do_not_stay_together() {
        let shuffle = Shuffle::new(1 << 40, [7, 0], 3);
        let near = (0..1000).filter(|&place| shuffle.at(place).abs_diff(shuffle.at(place + 1)) < 1 << 30).count();
        assert!(near < 20, "{near}");
    }
}
