//! How much of its sources a method reads to make a tensor, told beforehand.
//!
//! Most methods read every source once for each pass. A search for a threshold looks at a sample first, and then takes one pass; seldom,
//! where the sample misled it, one more, which nobody can tell beforehand. Rows that reach out of a tile are read twice at its ends, which is not
//! counted: it depends on the memory of the worker, and is a small part.

use super::{Class, Method};
use crate::plan::PlannedTensor;
use braid_kernels::{GRANULE, sampled};

/// What is read of every source of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reads {
    /// All of it, so many times.
    pub passes: u64,
    /// So many of its elements beside that.
    pub elements: u64,
}

impl Reads {
    /// So many passes.
    pub(super) const fn passes(passes: u64) -> Self {
        Self { passes, elements: 0 }
    }

    /// A search for thresholds in a tensor, and so many passes beside it.
    pub(super) fn search(tensor: &PlannedTensor, passes: u64) -> Self {
        Self { passes: passes + 1, elements: sampled(tensor.elements()) }
    }

    /// Rows as vectors of their own: one pass where a tile sees whole rows, else two.
    pub(super) fn by_row(tensor: &PlannedTensor) -> Self {
        Self::passes(if row(tensor) <= GRANULE as u64 { 1 } else { 2 })
    }

    /// What methods of this class read, unless they say otherwise.
    pub(super) fn of_class(method: &(impl Method + ?Sized)) -> Self {
        match method.class() {
            Class::Elementwise | Class::Row | Class::Global | Class::Group => Self::passes(1),
            Class::Tensor => Self::passes(2),
        }
    }

    /// The bytes of a tensor that this comes to.
    pub(crate) fn bytes(self, tensor: &PlannedTensor) -> u64 {
        let element: u64 = tensor.sources.iter().map(|source| source.dtype.size() as u64).sum();
        tensor.bytes_in().saturating_mul(self.passes).saturating_add(self.elements.saturating_mul(element))
    }
}

/// The elements of a row.
pub(super) fn row(tensor: &PlannedTensor) -> u64 {
    tensor.shape.last().copied().unwrap_or(1).max(1)
}
