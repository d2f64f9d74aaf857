//! Counts the pairs of a text before each merge of a tokenizer, on one thread, and nothing else: what `tests/eval/infer_counting.py`
//! takes the time of.
//!
//! `cargo run --release -p braid-mixture --example count_pairs -- tokenizer.json TEXT [MERGES]`
#![allow(clippy::print_stdout)]

use braid_mixture::infer::{
    counts::{History, SHARD_BYTES, Words, shards},
    tokenizer::Bpe,
};
use std::{path::Path, time::Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(tokenizer), Some(text)) = (arguments.first(), arguments.get(1)) else {
        return Err("give a tokenizer.json and a text".into());
    };
    let merges = arguments.get(2).map_or(Ok(usize::MAX), |merges| merges.parse())?;
    let bpe = Bpe::read(Path::new(tokenizer))?;
    let start = Instant::now();
    let mut words = Words::default();
    for shard in shards("text", Path::new(text), SHARD_BYTES)? {
        words = words.merge(shard.count(&bpe, &|| false)?);
    }
    let counted = start.elapsed();
    let history = History::new(&words, &bpe, merges, &|| false)?;
    println!(
        "{} bytes, {} different words, {} merges, {} changes of {} pairs; {:.2} s for words, {:.2} s for merges",
        words.bytes,
        words.counts.len(),
        history.ends.len(),
        history.changes.len(),
        history.pairs.len(),
        counted.as_secs_f64(),
        (start.elapsed() - counted).as_secs_f64(),
    );
    Ok(())
}
