//! Sums over a tensor that do not depend on how it is cut into tiles, nor on the width of a vector register.
//!
//! A tensor is cut into granules of [`GRANULE`] elements; each has its own sums, in f64, over sixteen lanes that are folded in
//! order. Tiles are whole granules (the last one may be short), so that the list of all granules, and any fold over it in order,
//! is the same for every tiling.

mod columns;
mod divergence;
mod dots;
mod gram;
mod l1;
mod signs;
mod slerp;

use std::ops::Range;

pub use columns::column_dots;
pub use divergence::{LogSum, divergences, log_sums, row_divergences};
pub use dots::{Dots, dots};
pub use gram::{Gram, gram};
pub use l1::{L1, l1};
pub use signs::sign_balance;
pub use slerp::slerp_coefficients;

use crate::block::BLOCK;

/// Elements of a granule.
pub const GRANULE: usize = 1 << 16;

/// Partial sums kept apart, as many as fill the widest register twice.
const LANES: usize = 16;

const _: () =
    assert!(GRANULE.is_multiple_of(BLOCK) && BLOCK.is_multiple_of(LANES), "blocks and lanes must start with the granule");

/// A sum whose order of addition is fixed: element j of a granule goes to lane j mod 16.
#[derive(Clone, Copy)]
pub(crate) struct Lanes([f64; LANES]);

impl Lanes {
    pub(crate) const ZERO: Self = Self([0.0; LANES]);

    /// Adds some values, which start at a multiple of 16 elements of the granule.
    #[inline(always)]
    pub(crate) fn add_all(&mut self, values: &[f64]) {
        let (chunks, rest) = values.as_chunks::<LANES>();
        let mut lanes = self.0;
        for chunk in chunks {
            for lane in 0..LANES {
                lanes[lane] += chunk[lane];
            }
        }
        for (lane, value) in rest.iter().enumerate() {
            lanes[lane] += value;
        }
        self.0 = lanes;
    }

    /// Adds the squares of some values, which start at a multiple of 16 elements of the granule.
    #[inline(always)]
    pub(crate) fn add_squares(&mut self, values: &[f32]) {
        let (chunks, rest) = values.as_chunks::<LANES>();
        let mut lanes = self.0;
        for chunk in chunks {
            for lane in 0..LANES {
                let value = f64::from(chunk[lane]);
                lanes[lane] += value * value;
            }
        }
        for (lane, value) in rest.iter().enumerate() {
            lanes[lane] += f64::from(*value) * f64::from(*value);
        }
        self.0 = lanes;
    }

    pub(crate) fn fold(self) -> f64 {
        self.0.into_iter().sum()
    }
}

/// The blocks of one granule of a tile of `length` elements.
#[inline(always)]
pub(crate) fn granule_blocks(granule: usize, length: usize) -> impl Iterator<Item = Range<usize>> {
    let first = granule * GRANULE;
    crate::block::blocks(GRANULE.min(length - first)).map(move |range| first + range.start..first + range.end)
}
