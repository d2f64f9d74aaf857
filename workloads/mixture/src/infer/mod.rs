//! Data mixture inference: the proportions of text that a BPE tokenizer was trained on, from the order of its merges.
//!
//! ```text
//!   tokenizer.json ──▶ tokenizer/   merges, letters, how words are cut
//!   text of each category ──▶ counts/   words of a shard ─(summed)─▶ words of a category ──▶ pairs before each merge
//!   pairs of all categories ──▶ solve/   proportions under which each merge was the most frequent pair, with least slack
//! ```
//!
//! Training merges the most frequent pair of its whole text at each step. The counts of pairs in the text of one category
//! are known for every step, since the merges are given; those of the mixture are their sum, weighted by proportions. So each
//! step says of the proportions that one sum is not below any other (Hayase et al., 2024, arXiv 2407.16607).
//!
//! It says nothing of categories that were not named, and takes the given text for a fair sample of each.

mod answer;
pub mod counts;
mod error;
pub mod job;
mod run;
pub mod solve;
mod spec;
pub mod tokenizer;

pub use answer::{Answer, answer};
pub use error::InferError;
pub use run::{Counted, count};
pub use spec::{Category, InferSpec, MAX_CATEGORIES};

#[cfg(test)]
#[cfg(feature = "bpe")]
mod tests;
