//! How often each word occurs. Counts of shards add up.

use crate::infer::tokenizer::Bpe;
use foldhash::fast::FixedState;
use std::collections::HashMap;

/// Words of a text, and how often each occurs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// By word, as the tokenizer's splitter writes it.
    pub counts: HashMap<Box<str>, u64, FixedState>,
    /// Bytes of the text.
    pub bytes: u64,
}

impl Words {
    /// Counts the words of a text.
    ///
    /// # Errors
    /// The word of the tokenizer's library on a text that it cannot cut.
    pub fn add(&mut self, bpe: &Bpe, text: &str) -> Result<(), String> {
        self.bytes += text.len() as u64;
        let counts = &mut self.counts;
        bpe.words(text, &mut |word| match counts.get_mut(word) {
            Some(count) => *count += 1,
            None => {
                counts.insert(word.into(), 1);
            }
        })
    }

    /// Adds the counts of another text.
    pub fn merge(mut self, mut other: Self) -> Self {
        if self.counts.len() < other.counts.len() {
            std::mem::swap(&mut self, &mut other);
        }
        self.bytes = self.bytes.saturating_add(other.bytes);
        for (word, count) in other.counts {
            let sum = self.counts.entry(word).or_default();
            *sum = sum.saturating_add(count);
        }
        self
    }
}
