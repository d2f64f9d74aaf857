//! Applies the merges of a tokenizer to the words of one category, and keeps how often each pair occurs before each of them.
//!
//! Only words that hold the merged pair are touched, found by an index of the pairs that are to be merged; and of a word only
//! the neighbours of what became one. What is kept is what changed: for each merge the pairs with new counts.

use super::Words;
use crate::infer::{
    InferError,
    spec::Category,
    tokenizer::{Bpe, Merge, Token},
};
use foldhash::fast::FixedState;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, hash_map::Entry};

/// Merges between two looks at whether to stop.
const LOOK_EVERY: u32 = 64;

/// Two tokens that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pair(pub Token, pub Token);

/// How often each pair occurs in a category, before each merge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Bytes of the category's text.
    pub bytes: u64,
    /// Pairs of letters in its words, before the first merge: the measure of its size that counts are divided by.
    pub total: u64,
    /// The pairs that ever occur.
    pub pairs: Vec<Pair>,
    /// How often they occur before the first merge; those that come later are missing at the end.
    pub before: Vec<u64>,
    /// The pairs that a merge changed, by their place in `pairs`, with their new count.
    pub changes: Vec<(u32, u64)>,
    /// Where the changes of each merge end.
    pub ends: Vec<usize>,
}

/// A category while its words are merged.
struct Counter<'a> {
    words: Vec<Word>,
    tokens: Vec<Token>,
    ids: HashMap<Pair, u32, FixedState>,
    counts: Vec<u64>,
    /// The merge that last changed a pair.
    touched_by: Vec<u32>,
    touched: Vec<u32>,
    /// The words that hold a pair which is to be merged; a word that lost it again stays.
    places: HashMap<Pair, Vec<u32>, FixedState>,
    history: &'a mut History,
}

/// Its tokens are in the counter's, from `at` on.
struct Word {
    at: usize,
    length: u32,
    count: u64,
}

impl History {
    /// Applies the first `limit` merges to the words.
    ///
    /// # Errors
    /// [`InferError::Task`] for counts that no text can have, or more words than there are numbers for;
    /// [`InferError::Cancelled`] once `stop` says so.
    pub fn new(words: &Words, bpe: &Bpe, limit: usize, stop: &dyn Fn() -> bool) -> Result<Self, InferError> {
        let merges = bpe.merges.get(..limit).unwrap_or(&bpe.merges);
        let mut history = Self { bytes: words.bytes, ends: Vec::with_capacity(merges.len()), ..Self::default() };
        let mut counter = Counter::new(words, bpe, merges, &mut history)
            .map_err(|problem| InferError::Task(format!("a category cannot be counted: {problem}")))?;
        for (&merge, step) in merges.iter().zip(1..) {
            if step % LOOK_EVERY == 0 && stop() {
                return Err(InferError::Cancelled);
            }
            counter.merge(merge, step);
        }
        Ok(history)
    }

    /// That there is something to compare.
    ///
    /// # Errors
    /// [`InferError::NoText`] for a category without a word of two letters.
    pub fn check(&self, Category { name, path }: &Category) -> Result<(), InferError> {
        let problem = "holds no word of two letters that the tokenizer knows";
        if self.total > 0 { Ok(()) } else { Err(InferError::NoText { name: name.clone(), path: path.clone(), problem }) }
    }

    /// The changes of merge `step`, counted from 0.
    pub fn changes(&self, step: usize) -> &[(u32, u64)] {
        let end = |step: usize| self.ends.get(step).copied();
        let start = step.checked_sub(1).map_or(Some(0), end);
        start.zip(end(step)).and_then(|(start, end)| self.changes.get(start..end)).unwrap_or_default()
    }
}

impl<'a> Counter<'a> {
    fn new(words: &Words, bpe: &Bpe, merges: &[Merge], history: &'a mut History) -> Result<Self, String> {
        let mut counter = Self {
            words: Vec::with_capacity(words.counts.len()),
            tokens: Vec::new(),
            ids: HashMap::default(),
            counts: Vec::new(),
            touched_by: Vec::new(),
            touched: Vec::new(),
            places: merges.iter().map(|merge| (Pair(merge.left, merge.right), Vec::new())).collect(),
            history,
        };
        for (word, &count) in &words.counts {
            let at = counter.tokens.len();
            bpe.letters(word, &mut counter.tokens);
            counter.first(at, count)?;
        }
        counter.history.before = counter.counts.clone();
        counter.touched.clear();
        Ok(counter)
    }

    /// Takes in a word of the tokens from `at` on. That the total fits makes every later sum fit.
    fn first(&mut self, at: usize, count: u64) -> Result<(), String> {
        let length = self.tokens.len() - at;
        let pairs = (length as u64).saturating_sub(1).checked_mul(count);
        let total = pairs.and_then(|pairs| self.history.total.checked_add(pairs)).filter(|total| *total <= u64::MAX / 2);
        self.history.total = total.ok_or("its words are more than can be counted")?;
        let word = u32::try_from(self.words.len()).map_err(|_| "it has more different words than can be numbered")?;
        let length = u32::try_from(length).map_err(|_| "a word of it is longer than 4 GiB")?;
        self.words.push(Word { at, length, count });
        for index in at..self.tokens.len().saturating_sub(1) {
            let pair = Pair(self.tokens[index], self.tokens[index + 1]);
            self.change(pair, 0, |sum| sum + count);
            self.place(pair, word);
        }
        Ok(())
    }

    fn place(&mut self, pair: Pair, word: u32) {
        if let Some(words) = self.places.get_mut(&pair)
            && words.last() != Some(&word)
        {
            words.push(word);
        }
    }

    fn change(&mut self, pair: Pair, step: u32, change: impl FnOnce(u64) -> u64) {
        let next = self.counts.len();
        let id = match self.ids.entry(pair) {
            Entry::Occupied(entry) => *entry.get() as usize,
            Entry::Vacant(entry) => {
                // There are fewer pairs than tokens in all words, and memory ends long before the numbers do.
                entry.insert(u32::try_from(next).unwrap_or(u32::MAX));
                self.history.pairs.push(pair);
                self.counts.push(0);
                self.touched_by.push(0);
                next
            }
        };
        self.counts[id] = change(self.counts[id]);
        if self.touched_by[id] != step {
            self.touched_by[id] = step;
            self.touched.push(u32::try_from(id).unwrap_or(u32::MAX));
        }
    }

    fn merge(&mut self, merge: Merge, step: u32) {
        let pair = Pair(merge.left, merge.right);
        let places = self.places.get_mut(&pair).map(std::mem::take).unwrap_or_default();
        for index in places {
            self.merge_word(index, merge, step);
        }
        for &id in &self.touched {
            self.history.changes.push((id, self.counts[id as usize]));
        }
        self.touched.clear();
        self.history.ends.push(self.history.changes.len());
    }

    /// Merges in one word, from the left: each pair that becomes one takes the pairs with its neighbours along.
    fn merge_word(&mut self, index: u32, Merge { left, right, made }: Merge, step: u32) {
        let Word { at, length, count } = self.words[index as usize];
        let end = at + length as usize;
        let (mut read, mut write) = (at, at);
        while read < end {
            let token = self.tokens[read];
            if token != left || read + 1 == end || self.tokens[read + 1] != right {
                self.tokens[write] = token;
                (read, write) = (read + 1, write + 1);
                continue;
            }
            self.change(Pair(left, right), step, |sum| sum - count);
            if write > at {
                let before = self.tokens[write - 1];
                self.change(Pair(before, left), step, |sum| sum - count);
                self.change(Pair(before, made), step, |sum| sum + count);
                self.place(Pair(before, made), index);
            }
            if read + 2 < end {
                let after = self.tokens[read + 2];
                self.change(Pair(right, after), step, |sum| sum - count);
                self.change(Pair(made, after), step, |sum| sum + count);
                self.place(Pair(made, after), index);
            }
            self.tokens[write] = made;
            (read, write) = (read + 2, write + 1);
        }
        self.words[index as usize].length = u32::try_from(write - at).unwrap_or(length);
    }
}
