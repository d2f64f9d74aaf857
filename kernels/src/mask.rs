//! Bernoulli masks that depend on (seed, model, tensor, element) alone: not on tiles, threads, machines or the order of work.

use crate::philox::{self, GROUP};

/// Names the mask of one tensor of one model.
///
/// The key is the 64-bit FNV-1a hash of the seed (8 bytes, little-endian), the model (4 bytes, little-endian) and the tensor's
/// name (UTF-8), finished with the mixing step of splitmix64; its lower half is the first word of the Philox key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MaskKey([u32; 2]);

impl MaskKey {
    /// The key of model number `model` (its place in the recipe) and the tensor of this name.
    pub fn new(seed: u64, model: u32, tensor: &str) -> Self {
        let bytes = seed.to_le_bytes().into_iter().chain(model.to_le_bytes()).chain(tensor.bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mixed = splitmix(hash);
        Self([mixed as u32, (mixed >> 32) as u32])
    }

    /// The words of elements `first..first + count` of the tensor, of which there are no more than a block has.
    #[inline(always)]
    pub(crate) fn draw(self, first: u64, count: usize, room: &mut MaskWords) -> &[u32] {
        let skipped = (first % GROUP as u64) as usize;
        let groups = (skipped + count).next_multiple_of(GROUP);
        philox::words(self.0, first - skipped as u64, &mut room.0[..groups]);
        &room.0[skipped..skipped + count]
    }

    /// The two words of the Philox key.
    pub fn words(self) -> [u32; 2] {
        self.0
    }
}

/// A mask that keeps each element with one probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask {
    key: MaskKey,
    keep: u64,
}

impl Mask {
    /// Keeps a share `density` of the elements (clamped to 0..=1; NaN keeps none), rounded to 32 bits.
    pub fn new(key: MaskKey, density: f64) -> Self {
        let keep = (density.clamp(0.0, 1.0) * 4_294_967_296.0).round() as u64;
        Self { key, keep }
    }

    /// What names it.
    pub fn key(&self) -> MaskKey {
        self.key
    }

    /// The chance of an element to be kept, in units of 2⁻³²: at most 2³². An element is kept when its word is below.
    pub fn chance(&self) -> u64 {
        self.keep
    }

    /// Whether one element is kept, by its index in the tensor.
    pub fn keeps(&self, element: u64) -> bool {
        u64::from(philox::word(self.key.0, element)) < self.keep
    }

    /// Zeroes the elements that are not kept; the first of `values` is element `first` of the tensor. NaN is kept always, so
    /// that whether bad input is noticed does not hang on the seed.
    #[inline(always)]
    pub(crate) fn apply(&self, first: u64, values: &mut [f32], words: &mut MaskWords) {
        let Ok(chance) = u32::try_from(self.keep) else { return };
        let words = self.key.draw(first, values.len(), words);
        for (value, word) in values.iter_mut().zip(words) {
            *value = if *word < chance || value.is_nan() { *value } else { 0.0 };
        }
    }
}

/// Room for the words of one block of elements.
pub(crate) struct MaskWords([u32; crate::block::BLOCK + GROUP]);

impl MaskWords {
    pub(crate) fn new() -> Self {
        Self([0; crate::block::BLOCK + GROUP])
    }
}

fn splitmix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apply(mask: &Mask, first: u64, values: &mut [f32]) {
        let mut words = MaskWords::new();
        for (index, block) in values.chunks_mut(crate::block::BLOCK).enumerate() {
            mask.apply(first + (index * crate::block::BLOCK) as u64, block, &mut words);
        }
    }

    /// A change of the hash changes every random merge ever made: these words are a promise, computed by another program from
    /// the text of `MaskKey`.
    #[test]
    fn keys_are_fixed_and_distinct() {
        let key = MaskKey::new(42, 1, "model.embed_tokens.weight");
        assert_eq!(key.words(), FIXED);
        for other in [
            MaskKey::new(43, 1, "model.embed_tokens.weight"),
            MaskKey::new(42, 2, "model.embed_tokens.weight"),
            MaskKey::new(42, 1, "model.embed_tokens.weighs"),
        ] {
            assert_ne!(key, other);
        }
    }

    const FIXED: [u32; 2] = [0xc004_b320, 0x4004_ad5e];

    #[test]
    fn the_share_kept_is_the_density() {
        const N: usize = 1 << 20;
        for (model, density) in [0.0, 0.01, 0.2, 0.5, 0.9, 1.0].into_iter().enumerate() {
            let mask = Mask::new(MaskKey::new(7, model as u32, "w"), density);
            let mut values = vec![1.0; N];
            apply(&mask, 0, &mut values);
            let kept = values.iter().filter(|v| **v != 0.0).count() as f64;
            let sigma = (N as f64 * density * (1.0 - density)).sqrt();
            assert!((kept - N as f64 * density).abs() <= 5.0 * sigma, "{kept} kept of {N} at {density}");
        }
    }

    #[test]
    fn masks_of_two_models_are_independent() {
        const N: u64 = 1 << 18;
        let [a, b] = [0, 1].map(|model| Mask::new(MaskKey::new(7, model, "w"), 0.5));
        let both = (0..N).filter(|e| a.keeps(*e) && b.keeps(*e)).count() as f64;
        assert!((both - N as f64 / 4.0).abs() <= 5.0 * (N as f64 * 3.0 / 16.0).sqrt(), "{both} of {N} kept by both");
    }

    #[test]
    fn nan_is_never_hidden() {
        let mut values = [f32::NAN; 8];
        apply(&Mask::new(MaskKey::new(1, 0, "w"), 0.0), 3, &mut values);
        assert!(values.iter().all(|v| v.is_nan()));
    }

    proptest! {
        #[test]
        fn each_element_has_its_own_draw(first in 0..u64::MAX / 2, length in 0..3000usize, density in 0.0..=1.0f64, seed: u64) {
            let mask = Mask::new(MaskKey::new(seed, 3, "w"), density);
            let mut values = vec![1.0; length];
            apply(&mask, first, &mut values);
            for (offset, value) in values.iter().enumerate() {
                prop_assert_eq!(*value != 0.0, mask.keeps(first + offset as u64));
            }
        }
    }
}
