//! `passthrough`: layers as they are, for stacking; with `scale`, times a factor.

use super::{BaseRule, Class, Contract, Method, Parameter, Scope, TensorParameters};
use crate::{MergeError, run::Tiles};
use braid_kernels::{convert, scale};

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

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        let factor = factor(parameters);
        if factor != 1.0 {
            return tiles.write(|tile, mut out| scale(&tile.inputs[0], factor as f32, &mut out));
        }
        if tiles.inputs().next() == Some(tiles.dtype()) {
            return tiles.copy(0);
        }
        tiles.write(|tile, mut out| convert(&tile.inputs[0], &mut out))
    }
}

fn factor(parameters: &TensorParameters) -> f64 {
    parameters.inputs.first().and_then(|input| input.given(&SCALE)).unwrap_or(1.0)
}
