//! Inference in one process: shards are counted side by side, nothing is written.

use super::{
    InferError,
    answer::{Answer, answer},
    counts::{History, SHARD_BYTES, Shard, Words, shards},
    spec::InferSpec,
    tokenizer::{Bpe, Merge},
};
use rayon::prelude::*;

/// What was counted, ready to be solved.
pub struct Counted {
    histories: Vec<History>,
    merges: Vec<Merge>,
}

/// Counts the text of all categories, on the threads of the pool that it is called in.
///
/// # Errors
/// Whatever is wrong with the spec, the tokenizer or the text; [`InferError::Cancelled`] once `stop` says so.
pub fn count(spec: &InferSpec, stop: &(dyn Fn() -> bool + Sync)) -> Result<Counted, InferError> {
    spec.check()?;
    let bpe = Bpe::read(&spec.tokenizer)?;
    let limit = spec.limit(bpe.merges.len());
    // What is missing is told before anything is counted.
    let all: Vec<Vec<Shard>> =
        spec.data.iter().map(|category| shards(&category.name, &category.path, SHARD_BYTES)).collect::<Result<_, _>>()?;
    let count = |shard: &Shard| if stop() { Err(InferError::Cancelled) } else { shard.count(&bpe, stop) };
    let history = |shards: &Vec<Shard>| {
        let words = shards.par_iter().map(count).try_reduce(Words::default, |sum, words| Ok(sum.merge(words)))?;
        History::new(&words, &bpe, limit, stop)
    };
    let histories: Vec<History> = all.par_iter().map(history).collect::<Result<_, _>>()?;
    for (category, history) in spec.data.iter().zip(&histories) {
        history.check(category)?;
    }
    Ok(Counted { histories, merges: bpe.merges })
}

impl Counted {
    /// Infers the proportions.
    ///
    /// # Errors
    /// Those of [`answer`].
    pub fn answer(&self, spec: &InferSpec, stop: &(dyn Fn() -> bool + Sync)) -> Result<Answer, InferError> {
        answer(spec, &self.histories, &self.merges, stop)
    }
}
