//! One micro-batch as a problem of its own: which groups, and which sequences in each, so that the slowest is fastest.
//!
//! Two forms of its sequences: every one by itself (for packing), and equal lengths together (for bounds). Both are in
//! descending order of length.

use super::{Batch, CostModel, GroupKind, Load, Sequence};
use crate::SequenceError;

/// The sequences of one micro-batch and what groups there may be.
#[derive(Debug, Clone)]
pub(crate) struct Instance<'a> {
    pub(crate) cost: &'a CostModel,
    /// Loads of single sequences, longest first.
    pub(crate) items: Vec<Load>,
    /// Equal lengths together: one's load, and how many.
    pub(crate) classes: Vec<(Load, usize)>,
}

impl<'a> Instance<'a> {
    /// `lengths` in descending order.
    pub(crate) fn new(cost: &'a CostModel, lengths: impl Iterator<Item = u64>) -> Self {
        let items: Vec<Load> = lengths.map(Load::of).collect();
        let classes = items.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect();
        Self { cost, items, classes }
    }

    pub(crate) fn kinds(&self) -> &'a [GroupKind] {
        self.cost.kinds()
    }

    /// No group finishes its longest sequence sooner.
    pub(crate) fn longest_alone(&self) -> f64 {
        let alone = |&load: &Load| {
            let fits = self.kinds().iter().filter(|k| k.holds(load));
            fits.map(|k| k.time(load).0).fold(f64::INFINITY, f64::min)
        };
        self.items.first().map_or(0.0, alone)
    }
}

/// The sequences of a batch, longest first (equal ones by index).
pub(crate) fn descending(batch: &Batch) -> Vec<Sequence> {
    let mut all = batch.sequences.clone();
    all.sort_by_key(|s| (std::cmp::Reverse(s.tokens), s.index));
    all
}

/// The greatest length that all lengths are multiples of.
pub(crate) fn unit(batch: &Batch) -> u64 {
    let gcd = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    batch.sequences.iter().map(|s| s.tokens.0).fold(0, gcd)
}

/// Whether every sequence fits on some group, and sums stay within 64 bits.
///
/// # Errors
/// There is none, or one that does not fit: the longest of these.
pub(crate) fn admit(batch: &Batch, cost: &CostModel) -> Result<(), SequenceError> {
    let Some(longest) = batch.sequences.iter().max_by_key(|s| s.tokens) else {
        return Err(SequenceError::Empty { dropped: batch.dropped.len() });
    };
    let tokens: u128 = batch.sequences.iter().map(|s| u128::from(s.tokens.0)).sum();
    if tokens * u128::from(longest.tokens.0) > u128::from(u64::MAX >> 1) {
        return Err(SequenceError::TooMuch { tokens, longest: longest.tokens });
    }
    match cost.largest() {
        Some(kind) if longest.tokens.0 > kind.capacity => Err(SequenceError::TooLong {
            index: longest.index,
            tokens: longest.tokens,
            degree: kind.degree,
            class: cost.pools()[kind.pool].class.clone(),
            capacity: super::Tokens(kind.capacity),
            excess: cost.activation_bytes(longest.tokens.0 - kind.capacity),
        }),
        _ => Ok(()),
    }
}
