//! What a tensor is read through where a method is to see something else than its file holds: always f32.

use braid_kernels::{BlockScales, KernelError, LowRank, Slice, SliceMut};

/// What is made of the bytes of an input as they are read.
#[derive(Debug, Clone, PartialEq)]
pub enum Lens {
    /// A product of two factors is added: an adapter on its base.
    Adapted(LowRank),
    /// Eight-bit floats are multiplied by the scales of their blocks.
    Scaled(BlockScales),
}

impl Lens {
    /// What a method sees of the elements `raw`, of which `first` is the first.
    ///
    /// # Errors
    /// Elements that are not there; [`KernelError::NotANumber`].
    pub(crate) fn apply(&self, raw: &Slice<'_>, first: u64, out: &mut SliceMut<'_>) -> Result<(), KernelError> {
        match self {
            Self::Adapted(product) => product.add_to(raw, first, out),
            Self::Scaled(scales) => scales.apply(raw, first, out),
        }
    }
}
