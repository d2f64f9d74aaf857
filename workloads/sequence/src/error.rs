//! What can go wrong in long-context training, in words for a person.
//!
//! One enum for the crate. Every message names the object (file, line, sequence) and what was expected of it.

use crate::planner::{Bytes, Degree, Tokens};

/// Why a step could not be planned.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SequenceError {
    /// A cluster or model file that cannot be used.
    #[error("{name}: {problem}")]
    Profile {
        /// The file, or the name of a built-in profile.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A line of a file of lengths.
    #[error("{file}, line {line}: {problem}")]
    Lengths {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: LengthProblem,
    },
    /// Nothing to plan.
    #[error("there is no sequence to plan{}", count_dropped(*dropped))]
    Empty {
        /// How many sequences were dropped for being longer than the context.
        dropped: usize,
    },
    /// The model's own state leaves no memory for a token.
    #[error(
        "model {model} on class {class}: its parameters, gradients and optimizer take {states} of {memory} on each GPU, \
         which leaves no room for a token; use more GPUs or a smaller model"
    )]
    ModelTooLarge {
        /// The model.
        model: String,
        /// The class of GPU.
        class: String,
        /// Its share of the states.
        states: Bytes,
        /// What it may use.
        memory: Bytes,
    },
    /// A sequence that fits on no group of the cluster.
    #[error(
        "sequence {index} (counted from 0) has {tokens} tokens, but the largest group ({degree} GPUs of class {class}) holds {capacity}: \
         {} tokens or {excess} of activations too many; shorten it, drop it with a smaller context, or use more GPUs", tokens.0 - capacity.0
    )]
    TooLong {
        /// Its index in the input.
        index: usize,
        /// Its length, as planned for.
        tokens: Tokens,
        /// The largest group.
        degree: Degree,
        /// Of which class of GPU.
        class: String,
        /// How many tokens that group holds.
        capacity: Tokens,
        /// The memory that is missing, over the whole group.
        excess: Bytes,
    },
    /// So many tokens that sums of squared lengths no longer fit in 64 bits.
    #[error("{tokens} tokens with a longest sequence of {longest}: more than a step can be planned for; split the batch")]
    TooMuch {
        /// All tokens.
        tokens: u128,
        /// The longest sequence.
        longest: Tokens,
    },
    /// Every number of micro-batches that was tried leaves a micro-batch that does not fit.
    #[error("no plan found with up to {micro_batches} micro-batches; allow more of them, or more degrees")]
    NoPlan {
        /// The largest number tried.
        micro_batches: usize,
    },
    /// A plan that does not do what it says.
    #[error("plan, micro-batch {micro_batch}: {problem}")]
    InvalidPlan {
        /// Which micro-batch, from 0.
        micro_batch: usize,
        /// What is wrong.
        problem: String,
    },
}

/// What is wrong with a line that should hold a length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LengthProblem {
    /// Nothing there.
    #[error("expected a length in tokens, found an empty line")]
    Blank,
    /// Not a number.
    #[error("expected a length in tokens (a whole number), found {0:?}")]
    NotANumber(String),
    /// Below zero.
    #[error("a length cannot be negative: {0}")]
    Negative(String),
    /// Zero.
    #[error("a sequence of zero tokens cannot be trained on; leave the line out")]
    Zero,
    /// Too large to be a length.
    #[error("{0} tokens is more than a sequence may have ({limit})", limit = crate::planner::MAX_LENGTH)]
    TooLarge(String),
}

fn count_dropped(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => ": the only one is longer than the context".into(),
        _ => format!(": all {count} are longer than the context"),
    }
}
