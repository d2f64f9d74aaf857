//! Methods that make a tile of the output of the same tile of the inputs and of nothing else, so that a tile can be made wherever it
//! is needed: as it is written, or as a later recipe reads it.

use super::TensorParameters;
use crate::{
    MergeError,
    run::{Tile, Tiles},
};
use braid_gpu::Arithmetic;
use braid_kernels::{KernelError, SliceMut};

/// Makes tiles one by one, in any order.
pub trait Elementwise: Sync {
    /// Fills a tile of the output.
    ///
    /// # Errors
    /// Inputs that the kernels refuse; [`KernelError::NotANumber`].
    fn tile(&self, of: &MadeOf<'_>, tile: &Tile<'_>, out: &mut SliceMut<'_>) -> Result<(), KernelError>;
}

/// The tensor that a tile is part of.
#[derive(Clone, Copy)]
pub struct MadeOf<'a> {
    /// Its name.
    pub name: &'a str,
    /// What decides it beside its inputs.
    pub parameters: &'a TensorParameters,
    /// Does the arithmetic that GPUs may do.
    pub arithmetic: &'a Arithmetic,
}

/// Makes a whole tensor: what [`Method::run`](super::Method::run) does for these methods.
pub(super) fn run(method: &dyn Elementwise, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
    let of = MadeOf { name: tiles.name(), parameters, arithmetic: tiles.arithmetic() };
    tiles.write(|tile, mut out| method.tile(&of, tile, &mut out))
}
