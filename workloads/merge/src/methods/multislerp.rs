//! `multislerp`: several models averaged as points on a sphere, in one step.
//!
//! Source: mergekit's own (goddard.blog, "Multi-SLERP"). With uᵢ = xᵢ/(‖xᵢ‖ + eps) and M = Σ wᵢuᵢ, each tensor as one vector:
//! θ = M/‖M‖ · Σ wᵢ‖xᵢ‖. With a base the xᵢ are the task vectors, and the sum is added to it.
//!
//! The released code also projects on the tangent space at M and takes the exponential map of the weighted mean there. That
//! mean is zero always (see [`braid_kernels::multislerp`]), so the formula above is all of it. It refuses tensors that are zero
//! in all of more than two models; here zero is their mean.
//!
//! Class T. Bytes: every input is read twice, the output written once. Flops: N(N + 1)/2 + N multiplications and additions an
//! element for N inputs.

use super::{BadValue, BaseRule, Class, Contract, Method, MethodError, Parameter, Scope, TensorParameters, span::InSpan};
use crate::{MergeError, run::Tiles};
use braid_kernels::multislerp;

pub(super) struct MultiSlerp;

const WEIGHT: Parameter = Parameter::required("weight", Scope::Expert);
const NORMALIZE: Parameter = Parameter::flag("normalize_weights", true);
const EPS: Parameter = Parameter::number("eps", Scope::Shared, 1e-8);

/// Weights whose sum is this small beside their magnitudes cancel.
const CANCELLED: f64 = 1e-7;

impl Method for MultiSlerp {
    fn name(&self) -> &'static str {
        "multislerp"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[WEIGHT, NORMALIZE, EPS] }
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Optional, min: 1, max: None }
    }

    fn class(&self) -> Class {
        Class::Tensor
    }

    fn check(&self, parameters: &TensorParameters) -> Result<(), BadValue> {
        let eps = parameters.shared.number(&EPS);
        if eps <= 0.0 {
            let problem = format!("{eps} is added to lengths, and must be above 0");
            return Err(BadValue { parameter: EPS.name, input: None, problem, hint: None });
        }
        let weights = weights(parameters);
        let size: f64 = weights.iter().map(|weight| weight.abs()).sum();
        if parameters.shared.flag(&NORMALIZE) && weights.iter().sum::<f64>().abs() <= CANCELLED * size {
            return Err(BadValue {
                parameter: WEIGHT.name,
                input: None,
                problem: "the weights sum to zero, and are to be divided by their sum".into(),
                hint: Some("set `normalize_weights: false` to take them as they are".into()),
            });
        }
        Ok(())
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        let mut weights = weights(parameters);
        if parameters.shared.flag(&NORMALIZE) {
            let sum: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= sum);
        }
        InSpan::new(tiles, parameters.base).whole(|gram| {
            multislerp(gram, &weights, parameters.shared.number(&EPS))
                .ok_or_else(|| MethodError::NoDirection { tensor: tiles.name().to_owned() }.into())
        })
    }
}

fn weights(parameters: &TensorParameters) -> Vec<f64> {
    let experts = parameters.inputs.iter().enumerate().filter(|(input, _)| Some(*input) != parameters.base);
    experts.map(|(_, values)| values.number(&WEIGHT)).collect()
}
