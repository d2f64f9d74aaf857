//! `linear`: the weighted mean (or sum) of the inputs.

use super::{BadValue, BaseRule, Class, Contract, Elementwise, MadeOf, Method, Parameter, Scope, TensorParameters};
use crate::{
    MergeError,
    run::{Tile, Tiles},
};
use braid_gpu::Inputs;
use braid_kernels::{KernelError, SliceMut};

pub(super) struct Linear;

const WEIGHT: Parameter = Parameter::required("weight", Scope::Input);
const NORMALIZE: Parameter = Parameter::flag("normalize", true);

/// Weights whose sum is this small beside their magnitudes cancel: dividing by what is left of them is dividing by noise.
const CANCELLED: f64 = 1e-7;

impl Method for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[WEIGHT, NORMALIZE] }
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Input, min: 1, max: None }
    }

    fn class(&self) -> Class {
        Class::Elementwise
    }

    fn check(&self, parameters: &TensorParameters) -> Result<(), BadValue> {
        let (weights, divisor) = weights(parameters);
        let size: f64 = weights.iter().map(|weight| weight.abs()).sum();
        if parameters.shared.flag(&NORMALIZE) && divisor.abs() <= CANCELLED * size {
            let list: Vec<String> = weights.iter().map(f64::to_string).collect();
            return Err(BadValue {
                parameter: WEIGHT.name,
                input: None,
                problem: format!("the weights sum to zero ({}), and their mean is asked for", list.join(" + ")),
                hint: Some("set `normalize: false` to add without dividing".into()),
            });
        }
        Ok(())
    }

    fn elementwise(&self) -> Option<&dyn Elementwise> {
        Some(self)
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        tiles.write_anywhere(|_, inputs, mut out| sum(parameters, inputs, &mut out))
    }
}

impl Elementwise for Linear {
    fn tile(&self, of: &MadeOf<'_>, tile: &Tile<'_>, out: &mut SliceMut<'_>) -> Result<(), KernelError> {
        sum(of.parameters, &Inputs::here(of.arithmetic, tile.inputs), out)
    }
}

fn sum(parameters: &TensorParameters, inputs: &Inputs<'_>, out: &mut SliceMut<'_>) -> Result<(), KernelError> {
    let (weights, sum) = weights(parameters);
    let divisor = if parameters.shared.flag(&NORMALIZE) { sum as f32 } else { 1.0 };
    let terms: Vec<(usize, f32)> = weights.into_iter().map(|weight| weight as f32).enumerate().collect();
    inputs.linear(&terms, divisor, out)
}

/// The weight of each input, and their sum.
fn weights(parameters: &TensorParameters) -> (Vec<f64>, f64) {
    let weights: Vec<f64> = parameters.inputs.iter().map(|input| input.number(&WEIGHT)).collect();
    let sum = weights.iter().sum();
    (weights, sum)
}
