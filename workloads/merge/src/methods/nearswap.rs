//! `nearswap`: a step from the base towards one other model, of length `t` in each element, but never past it.
//!
//! Source: alchemonaut's QuartetAnemoi-70B-t0.0001, as mergekit has it. θ = w·θ₁ + (1 − w)·θ₀, w = min(1, t / max(|θ₁ − θ₀|,
//! 1e-6)). Where the two are closer than t, the other is taken. mergekit takes a negative t too, and returns the base.
//!
//! Class E. Bytes: both inputs are read once, the output written once. Flops: about 6 an element.

use super::{BadValue, BaseRule, Class, Contract, Elementwise, MadeOf, Method, Parameter, Scope, TensorParameters, elementwise};
use crate::{
    MergeError,
    run::{Tile, Tiles},
};
use braid_kernels::{KernelError, SliceMut, nearswap};

pub(super) struct NearSwap;

const T: Parameter = Parameter::required("t", Scope::Shared);

impl Method for NearSwap {
    fn name(&self) -> &'static str {
        "nearswap"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[T] }
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Required, min: 1, max: Some(1) }
    }

    fn class(&self) -> Class {
        Class::Elementwise
    }

    fn check(&self, parameters: &TensorParameters) -> Result<(), BadValue> {
        let t = parameters.shared.number(&T);
        if t < 0.0 {
            let problem = format!("{t} is the length of a step, and cannot be negative");
            return Err(BadValue { parameter: T.name, input: None, problem, hint: None });
        }
        Ok(())
    }

    fn elementwise(&self) -> Option<&dyn Elementwise> {
        Some(self)
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        elementwise::run(self, parameters, tiles)
    }
}

impl Elementwise for NearSwap {
    fn tile(&self, of: &MadeOf<'_>, tile: &Tile<'_>, out: &mut SliceMut<'_>) -> Result<(), KernelError> {
        // the contract leaves two inputs, of which one is the base
        let (base, other) = if of.parameters.base == Some(1) { (1, 0) } else { (0, 1) };
        nearswap(&tile.inputs[base], &tile.inputs[other], of.parameters.shared.number(&T) as f32, out)
    }
}
