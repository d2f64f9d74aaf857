//! `slerp`: a point on the arc between the base (t = 0) and one other model (t = 1).

use super::{BaseRule, Class, Contract, Method, Parameter, Scope, TensorParameters};
use crate::{MergeError, run::Tiles};
use braid_kernels::{Dots, slerp_coefficients};

pub(super) struct Slerp;

const T: Parameter = Parameter::required("t", Scope::Shared);

impl Method for Slerp {
    fn name(&self) -> &'static str {
        "slerp"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[T] }
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Required, min: 1, max: Some(1) }
    }

    fn class(&self) -> Class {
        Class::Tensor
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        // the contract leaves two inputs, of which one is the base
        let (base, other) = if parameters.base == Some(1) { (1, 0) } else { (0, 1) };
        let granules = tiles.measure_anywhere(|_, inputs| inputs.dots(base, other))?;
        let sum: Dots = granules.into_iter().flatten().sum();
        let (of_base, of_other) = slerp_coefficients(&sum, parameters.shared.number(&T));
        tiles.write_anywhere(|_, inputs, mut out| inputs.linear(&[(base, of_base), (other, of_other)], 1.0, &mut out))
    }
}
