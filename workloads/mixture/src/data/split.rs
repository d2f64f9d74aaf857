//! Which blocks of a domain are for training and which are held out, and where each sequence begins. Arithmetic alone.
//!
//! A domain is cut into blocks of one length; what is left over at its end is not used. Blocks, and not sequences, are held out:
//! neighbours of one document are alike, and must not lie on both sides. Which ones depends on the domain's name alone, so that
//! all runs of all seeds are measured on the same.

use super::shuffle::Shuffle;
use crate::MixtureError;
use serde::{Deserialize, Serialize};

/// How data is divided.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Split {
    /// Tokens of a block.
    pub block: u64,
    /// The share of blocks that proportions are decided by.
    pub validation: f64,
    /// The share of blocks that final figures are measured on.
    pub test: f64,
}

/// What a block is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// To learn from.
    Training = 0,
    /// To decide by.
    Validation = 1,
    /// For the final figure.
    Test = 2,
}

impl Default for Split {
    fn default() -> Self {
        Self { block: 32 << 10, validation: 0.05, test: 0.05 }
    }
}

impl Split {
    /// Checks it for sequences of `context` tokens.
    ///
    /// # Errors
    /// Shares outside of [0, 0.5], a block that holds no sequence.
    pub(crate) fn check(&self, context: usize) -> Result<(), MixtureError> {
        let setting = |name, value: String, wanted: &str| {
            Err(MixtureError::Setting { object: "split", name, value, wanted: wanted.to_owned() })
        };
        for (name, share) in [("validation", self.validation), ("test", self.test)] {
            if !(share > 0.0 && share < 0.5) {
                return setting(name, share.to_string(), "more than 0 and less than 0.5");
            }
        }
        if self.block > 1 << 40 || self.block <= context as u64 || context == 0 {
            return setting("block", self.block.to_string(), &format!("more than the {context} tokens of a sequence"));
        }
        Ok(())
    }
}

/// The blocks of one domain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blocks {
    block: u64,
    context: u64,
    /// Blocks for validation, test and training.
    counts: [u64; 3],
    order: Shuffle,
}

impl Blocks {
    /// Divides so many tokens. At least one block goes to each part.
    pub(super) fn new(tokens: u64, split: &Split, context: usize, key: u32) -> Result<Self, String> {
        let blocks = tokens / split.block;
        if blocks < 3 {
            return Err(format!(
                "it has {tokens} tokens, fewer than three blocks of {}: one to train on, one for validation, one for the test",
                split.block
            ));
        }
        let held = |share: f64| ((blocks as f64 * share).round() as u64).clamp(1, blocks / 3);
        let (validation, test) = (held(split.validation), held(split.test));
        let counts = [blocks - validation - test, validation, test];
        Ok(Self { block: split.block, context: context as u64, counts, order: Shuffle::new(blocks, [u64::MAX; 2], key) })
    }

    fn count(&self, part: Part) -> u64 {
        self.counts[part as usize]
    }

    fn each(&self) -> u64 {
        (self.block - 1) / self.context
    }

    /// Sequences of a part; at least one.
    pub(super) fn sequences(&self, part: Part) -> u64 {
        self.count(part) * self.each()
    }

    /// Tokens of a part that are to be guessed.
    pub(super) fn tokens(&self, part: Part) -> u64 {
        self.sequences(part) * self.context
    }

    /// The token with which a sequence begins.
    pub(super) fn start(&self, part: Part, index: u64) -> u64 {
        let before: u64 = self.counts.iter().take(part as usize).sum();
        let (block, within) = (index / self.each(), index % self.each());
        self.order.at(before + block) * self.block + within * self.context
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// No token is in two parts, and every sequence lies inside its block.
        #[test]
        fn parts_do_not_meet(blocks in 3u64..60, context in 1usize..40, extra in 1u64..90, rest in 0u64..20, key: u32) {
            let split = Split { block: context as u64 + extra, ..Split::default() };
            let made = Blocks::new(blocks * split.block + rest % split.block, &split, context, key).unwrap();
            let mut owner: BTreeMap<u64, Part> = BTreeMap::new();
            let mut sequences = 0;
            for part in [Part::Training, Part::Validation, Part::Test] {
                prop_assert!(made.sequences(part) > 0);
                for index in 0..made.sequences(part) {
                    let start = made.start(part, index);
                    let last = start + context as u64;
                    prop_assert_eq!(start / split.block, last / split.block);
                    prop_assert_eq!(*owner.entry(start / split.block).or_insert(part), part);
                    sequences += 1;
                }
            }
            prop_assert_eq!(owner.len() as u64, blocks);
            prop_assert_eq!(sequences, blocks * made.each());
        }
    }

    #[test]
    fn shares_are_kept() {
        let split = Split { block: 100, validation: 0.05, test: 0.1 };
        let blocks = Blocks::new(20_000, &split, 9, 1).unwrap();
        assert_eq!(blocks.counts, [170, 10, 20]);
        assert_eq!(blocks.tokens(Part::Training), 170 * 11 * 9);
        assert!(Blocks::new(299, &split, 9, 1).unwrap_err().starts_with("it has 299 tokens, fewer than three blocks of 100"));
    }

    #[test]
    fn settings_are_checked() {
        let text = |split: Split, context| split.check(context).unwrap_err().to_string();
        assert_eq!(text(Split { test: 0.7, ..Split::default() }, 8), "split: test is 0.7: more than 0 and less than 0.5");
        assert_eq!(text(Split { block: 8, ..Split::default() }, 8), "split: block is 8: more than the 8 tokens of a sequence");
        assert!(Split::default().check(128).is_ok());
    }
}
