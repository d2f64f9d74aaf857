//! Counts of a category: words of its text, and from them the pairs of tokens before each merge.
//!
//! Words of shards add up, and pairs of merged words do not: sums come first (`words`), merges after (`pairs`).

mod pairs;
mod read;
mod shards;
mod words;

pub use pairs::{History, Pair};
pub use shards::{SHARD_BYTES, Shard, shards};
pub use words::Words;

#[cfg(test)]
mod tests;
