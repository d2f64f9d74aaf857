//! `karcher`: the mean of several models as points on a sphere, by gradient descent.
//!
//! Paper: arXiv 2603.04972, as mergekit refers to it. Each tensor is one vector xᵢ with the direction uᵢ; θ = μ · Σ ‖xᵢ‖/N,
//! with μ the Karcher mean of the uᵢ (formula and steps: [`braid_kernels::karcher`]). A `base_model` is one more point.
//!
//! The released code moves μ itself, over vectors as long as the tensor and in their dtype. μ stays in the span of the uᵢ, so
//! here its few coefficients move, in f64. It leaves out the direction of a tensor whose norm is at most `tol`; here only one
//! that is zero.
//!
//! Class T. Bytes: every input is read twice, the output written once, whatever `max_iter` is. Flops: N(N + 1)/2 + N
//! multiplications and additions an element for N inputs.

use super::{BadValue, BaseRule, Class, Contract, Method, Parameter, Scope, TensorParameters, span::InSpan};
use crate::{MergeError, run::Tiles};
use braid_kernels::karcher;

pub(super) struct Karcher;

const MAX_ITER: Parameter = Parameter::number("max_iter", Scope::Shared, 10.0);
const TOL: Parameter = Parameter::number("tol", Scope::Shared, 1e-5);

/// More steps than anyone waits for.
const MOST: f64 = 1e6;

impl Method for Karcher {
    fn name(&self) -> &'static str {
        "karcher"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[MAX_ITER, TOL] }
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Input, min: 1, max: None }
    }

    fn class(&self) -> Class {
        Class::Tensor
    }

    fn check(&self, parameters: &TensorParameters) -> Result<(), BadValue> {
        let bad = |parameter: &Parameter, problem| Err(BadValue { parameter: parameter.name, input: None, problem, hint: None });
        let (steps, tolerance) = (parameters.shared.number(&MAX_ITER), parameters.shared.number(&TOL));
        if steps.fract() != 0.0 || !(0.0..=MOST).contains(&steps) {
            return bad(&MAX_ITER, format!("{steps} is no number of steps from 0 to {MOST}"));
        }
        if tolerance < 0.0 {
            return bad(&TOL, format!("{tolerance} is the length of a step, and cannot be negative"));
        }
        Ok(())
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        // checked to be a whole number in range
        let steps = parameters.shared.number(&MAX_ITER) as u32;
        InSpan::new(tiles, None).whole(|gram| Ok(karcher(gram, steps, parameters.shared.number(&TOL))))
    }
}
