//! Learned feature maps of queries and keys. What a map without parameters is (softmax, L2) belongs to the chunkwise frame.

mod hedgehog;
mod projection;

use std::ops::Range;

use super::{Real, chunkwise::Tokens};

pub use hedgehog::HedgehogForm;
pub(super) use hedgehog::HedgehogMap;
pub(super) use projection::{Projection, merge_projections};

/// The rows of tokens that follow one another, as a route of all tokens has them.
pub(super) fn rows_of<T: Real>(tokens: &Tokens<'_, T>) -> Range<usize> {
    let first = tokens.route.row(tokens.range.start);
    first..first + tokens.range.len()
}
