//! `passthrough`: layers as they are, for stacking; with `scale`, times a factor.

use super::{BaseRule, Class, Contract, Elementwise, MadeOf, Method, Parameter, Scope, TensorParameters, elementwise};
use crate::{
    MergeError,
    run::{Tile, Tiles},
};
use braid_kernels::{KernelError, SliceMut, convert, scale};

/// Also what the plan gives tensors that a method takes from one of its inputs.
pub(crate) struct Passthrough;

const SCALE: Parameter = Parameter::optional("scale", Scope::Input);

impl Method for Passthrough {
    fn name(&self) -> &'static str {
        "passthrough"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[SCALE] }
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Unused, min: 1, max: Some(1) }
    }

    fn class(&self) -> Class {
        Class::Elementwise
    }

    fn elementwise(&self) -> Option<&dyn Elementwise> {
        Some(self)
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        if factor(parameters) == 1.0 && tiles.inputs().next() == Some(tiles.dtype()) {
            return tiles.copy(0);
        }
        elementwise::run(self, parameters, tiles)
    }
}

impl Elementwise for Passthrough {
    fn tile(&self, of: &MadeOf<'_>, tile: &Tile<'_>, out: &mut SliceMut<'_>) -> Result<(), KernelError> {
        match factor(of.parameters) {
            1.0 => convert(&tile.inputs[0], out),
            factor => scale(&tile.inputs[0], factor as f32, out),
        }
    }
}

/// What the tensor is multiplied by.
pub(crate) fn factor(parameters: &TensorParameters) -> f64 {
    parameters.inputs.first().and_then(|input| input.given(&SCALE)).unwrap_or(1.0)
}
