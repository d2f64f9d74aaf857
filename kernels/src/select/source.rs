//! What the magnitudes are taken of: where a number for each element comes from that a selection ranks.

use std::ops::Range;
use std::sync::Arc;

use crate::block::{BLOCK, Block};
use crate::keep::magnitude;
use crate::merge::{Clamp, balance, difference, spread};
use crate::slice::{Floats, same_length};
use crate::{KernelError, Slice};

/// One number for each element of a tile.
#[derive(Debug, Clone)]
pub enum Source<'a> {
    /// An element of a task vector: θ − θ₀.
    Difference {
        /// θ₀.
        base: Slice<'a>,
        /// θ.
        theta: Slice<'a>,
    },
    /// How much the task vectors of an element differ: their variance, over the experts and not over a sample of them.
    Spread {
        /// θ₀.
        base: Slice<'a>,
        /// The experts.
        experts: Vec<Slice<'a>>,
    },
    /// An element of a task vector times the factor of its row.
    Scaled {
        /// θ₀.
        base: Slice<'a>,
        /// θ.
        theta: Slice<'a>,
        /// The factors of the rows that the tile reaches into.
        rows: RowFactors,
    },
    /// How much the change of a task counts beside those of the others; see [`balanced`](crate::balanced). Other than those
    /// above these numbers have a sign, which their order tells: see [`ordered`].
    Balance {
        /// θ₀.
        base: Slice<'a>,
        /// The experts.
        experts: Vec<Slice<'a>>,
        /// Which of them.
        own: usize,
        /// The range of its magnitudes.
        clamp: Clamp,
    },
}

/// A value as an integer that orders alike, negative ones too; NaN is above all.
#[inline(always)]
pub fn ordered(value: f32) -> u32 {
    let bits = value.to_bits();
    if value.is_nan() {
        u32::MAX
    } else if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    }
}

/// The value of an integer that [`ordered`] made.
pub fn of_ordered(number: u32) -> f32 {
    f32::from_bits(if number >> 31 == 1 { number & 0x7fff_ffff } else { !number })
}

/// A factor for each row of a tensor, as one tile sees them.
#[derive(Debug, Clone, PartialEq)]
pub struct RowFactors {
    /// Those of all rows of the tensor.
    pub factors: Arc<[f32]>,
    /// Elements of a row; at least one.
    pub row: u64,
    /// The tile's first element, counted in the tensor.
    pub first: u64,
}

impl RowFactors {
    /// Multiplies `values`, which start at element `start` of the tile. A row without a factor becomes NaN.
    #[inline(always)]
    pub(crate) fn apply(&self, start: usize, values: &mut [f32]) {
        let mut rest = values;
        let mut element = self.first + start as u64;
        while !rest.is_empty() {
            let row = element / self.row;
            let left = (row + 1) * self.row - element;
            let (part, after) = rest.split_at_mut(left.min(rest.len() as u64) as usize);
            let factor = usize::try_from(row).ok().and_then(|row| self.factors.get(row)).copied().unwrap_or(f32::NAN);
            for value in &mut *part {
                *value *= factor;
            }
            element += part.len() as u64;
            rest = after;
        }
    }
}

impl<'a> Source<'a> {
    /// The elements of the tile.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Difference { base, .. }
            | Self::Spread { base, .. }
            | Self::Scaled { base, .. }
            | Self::Balance { base, .. } => base.len(),
        }
    }

    pub(super) fn open(&self, operation: &'static str) -> Result<Opened<'a>, KernelError> {
        let length = self.length();
        let floats = |slice: &Slice<'a>| {
            same_length(operation, length, slice.len())?;
            slice.floats(operation)
        };
        Ok(match self {
            Self::Difference { base, theta } => Opened::Difference { base: floats(base)?, theta: floats(theta)? },
            Self::Spread { base, experts } => {
                let experts = experts.iter().map(floats).collect::<Result<Vec<_>, _>>()?;
                let deltas = vec![[0.0; BLOCK]; experts.len()];
                Opened::Spread { base: floats(base)?, experts, deltas }
            }
            Self::Scaled { base, theta, rows } => {
                Opened::Scaled { base: floats(base)?, theta: floats(theta)?, rows: rows.clone() }
            }
            Self::Balance { base, experts, own, clamp } => {
                let experts = experts.iter().map(floats).collect::<Result<Vec<_>, _>>()?;
                if *own >= experts.len() {
                    return Err(KernelError::OutOfRange { first: *own, end: *own + 1, length: experts.len() });
                }
                Opened::Balance { base: floats(base)?, experts, own: *own, clamp: *clamp }
            }
        })
    }
}

/// A source whose inputs are known to be floats of one length.
pub(super) enum Opened<'a> {
    Difference { base: Floats<'a>, theta: Floats<'a> },
    Spread { base: Floats<'a>, experts: Vec<Floats<'a>>, deltas: Vec<Block> },
    Scaled { base: Floats<'a>, theta: Floats<'a>, rows: RowFactors },
    Balance { base: Floats<'a>, experts: Vec<Floats<'a>>, own: usize, clamp: Clamp },
}

impl Opened<'_> {
    /// The magnitudes of a range of at most [`BLOCK`] elements; of numbers with a sign, what orders them.
    #[inline(always)]
    pub(super) fn keys(&mut self, range: &Range<usize>, keys: &mut [u32]) {
        let n = range.len();
        let (mut theta0, mut value): (Block, Block) = ([0.0; BLOCK], [0.0; BLOCK]);
        let (theta0, value) = (&mut theta0[..n], &mut value[..n]);
        match self {
            Self::Difference { base, theta } => {
                base.decode(range, theta0);
                theta.decode(range, value);
                difference(value, theta0);
            }
            Self::Spread { base, experts, deltas } => {
                base.decode(range, theta0);
                for (expert, delta) in experts.iter().zip(&mut *deltas) {
                    expert.decode(range, &mut delta[..n]);
                    difference(&mut delta[..n], theta0);
                }
                spread(deltas, value);
            }
            Self::Scaled { base, theta, rows } => {
                base.decode(range, theta0);
                theta.decode(range, value);
                difference(value, theta0);
                rows.apply(range.start, value);
            }
            Self::Balance { base, experts, own, clamp } => {
                base.decode(range, theta0);
                let (mut theta, mut total): (Block, Block) = ([0.0; BLOCK], [0.0; BLOCK]);
                for (index, expert) in experts.iter().enumerate() {
                    let theta = &mut theta[..n];
                    expert.decode(range, theta);
                    difference(theta, theta0);
                    for (total, theta) in total.iter_mut().zip(&*theta) {
                        *total = if index == 0 { 0.0 } else { *total } + *theta;
                    }
                    if index == *own {
                        value.copy_from_slice(theta);
                    }
                }
                let tasks = experts.len() as f64;
                for ((key, value), total) in keys.iter_mut().zip(&*value).zip(&total) {
                    *key = ordered(balance(*value, *total, *clamp, tasks));
                }
                return;
            }
        }
        for (key, value) in keys.iter_mut().zip(&*value) {
            *key = magnitude(*value);
        }
    }
}
