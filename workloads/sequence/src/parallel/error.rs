//! What can go wrong when a sequence is computed by several ranks.

use braid_workload::ExchangeError;

/// Why a layer could not be computed. The other ranks of the group get an error too, at once or when they next wait for
/// anybody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParallelError {
    /// The ranks could not tell each other what they had to.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// A split that is not one of the packed sequence.
    #[error("the tokens of {ranks} ranks add up to {sum} where the packed sequence has {tokens}")]
    Split {
        /// How many ranks.
        ranks: usize,
        /// What they would hold together.
        sum: u128,
        /// What there is.
        tokens: usize,
    },
    /// A layout made for another group.
    #[error("a layout over {layout} ranks cannot be used in a group of {group}")]
    GroupSize {
        /// Ranks of the layout.
        layout: usize,
        /// Members of the group.
        group: usize,
    },
    /// Two ranks cut the sequence differently, or believe in different documents.
    #[error("rank {rank} has another layout than rank 0: every rank must be given the same documents and the same split")]
    Layouts {
        /// The first that differs.
        rank: usize,
    },
    /// A layer was given too few tensors, or too many.
    #[error("rank {rank}, {family}: {given} {kind} where it reads {expected}")]
    Tensors {
        /// Where.
        rank: usize,
        /// The family of attention.
        family: &'static str,
        /// `inputs` or `parameters`.
        kind: &'static str,
        /// How many there were.
        given: usize,
        /// How many it names.
        expected: usize,
    },
    /// A tensor of the wrong length.
    #[error("rank {rank}, {family}: {tensor} has {given} elements where {expected} are expected")]
    TensorLength {
        /// Where.
        rank: usize,
        /// The family of attention.
        family: &'static str,
        /// The tensor, by the name that the family has for it.
        tensor: &'static str,
        /// Its length.
        given: usize,
        /// The length of this rank's tokens, or of the parameter.
        expected: usize,
    },
}
