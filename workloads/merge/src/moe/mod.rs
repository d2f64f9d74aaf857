//! Mixtures of experts: dense models of one architecture become the experts of a sparse one, without training.
//!
//! ```text
//! recipe (experts, prompts, gate mode) ── layout (which architecture takes these models, what it calls its tensors)
//!                                            │
//! tokenizer, embeddings of the base ── prompts ── gates (a row for each expert, the same in every layer)
//!                                            │
//!                              crate::plan::moe: attention, norms and embeddings of the base, MLPs of the experts, gates
//! ```
//!
//! From there on it is a merge like any other: tensors of models are copied tile by tile, gates are pieces of work without sources.
//! The layouts are those of the architectures' own checkpoints on the hub. (mergekit 0.1.5 fuses the experts of Mixtral and Qwen3 into one tensor a
//! layer, which only transformers 5 reads; that reads these too.) Not here: gates from hidden states, which need a program that runs models.

mod config;
mod gates;
mod layout;
mod prompts;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use config::config;
use gates::condition;
pub(crate) use gates::{Fill, Filled, Gates};
pub(crate) use layout::{Layout, Place};
pub(crate) use prompts::{EMBEDDING, gates_of_prompts, refuse_prompts_to_stages};

use crate::recipe::Mixture;

/// What a person should know about a mixture that can be made.
pub(crate) fn warnings(mixture: &Mixture, gates: Option<&Gates>) -> Vec<String> {
    let mut warnings = Vec::new();
    let count = mixture.experts.len();
    if !count.is_power_of_two() {
        warnings.push(format!("{count} experts are no power of two: llama.cpp cannot use the result"));
    }
    if let Some(condition) = gates.and_then(condition).filter(|condition| *condition > WORST_CONDITION) {
        warnings.push(format!(
            "the gates of the experts are nearly the same (condition number {condition:.0}): the prompts are too similar, and some experts will \
             hardly be used"
        ));
    }
    warnings
}

/// mergekit's bound.
const WORST_CONDITION: f32 = 5.0;
