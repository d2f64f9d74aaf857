//! `nuslerp`: a point on the arc between two models, or between two task vectors if there is a base.
//!
//! Source: mergekit's own. With t = w₁/(w₀ + w₁) (½ if the weights sum to less than 1e-6) and θ the angle of the two vectors,
//! (sin((1 − t)θ)·x₀ + sin(tθ)·x₁)/sin θ; the chord where they are parallel. `nuslerp_flatten: true`, the default, takes each
//! tensor as one vector; `false` every row of it (the last dimension); with `nuslerp_row_wise: true` beside that, every column
//! (the first).
//!
//! The released code computes in the tensor's dtype: with bfloat16 one element in fourteen is then the nearest.
//!
//! Class T; by row, R. Bytes: both inputs (and the base) are read twice, the output written once; by row the inputs once, and
//! the rows at the ends of a tile twice. Flops: about 5 multiplications and additions an element. By column it holds 8 bytes a
//! column, and while it measures 24 more for each of a few stretches of rows.

mod columns;

pub(super) use columns::bands;

use super::{BaseRule, Class, Contract, Method, Parameter, Reads, Scope, TensorParameters, span::InSpan};
use crate::{MergeError, plan::PlannedTensor, run::Tiles};
use braid_kernels::{Gram, nuslerp};

pub(super) struct NuSlerp;

const WEIGHT: Parameter = Parameter::required("weight", Scope::Expert);
const FLATTEN: Parameter = Parameter::flag("nuslerp_flatten", true);
const ROW_WISE: Parameter = Parameter::flag("nuslerp_row_wise", false);

/// Weights whose sum is smaller give no ratio.
const CANCELLED: f64 = 1e-6;

/// What of a tensor is one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vectors {
    Whole,
    Rows,
    Columns,
}

impl Method for NuSlerp {
    fn name(&self) -> &'static str {
        "nuslerp"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[WEIGHT, FLATTEN, ROW_WISE] }
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Optional, min: 2, max: Some(2) }
    }

    fn class(&self) -> Class {
        Class::Tensor
    }

    fn whole_rows(&self, parameters: &TensorParameters) -> bool {
        vectors(parameters) == Vectors::Rows
    }

    fn reads(&self, tensor: &PlannedTensor) -> Reads {
        if self.whole_rows(&tensor.parameters) { Reads::by_row(tensor) } else { Reads::of_class(self) }
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        let inputs = InSpan::new(tiles, parameters.base);
        let weights: Vec<f64> = inputs.vectors.iter().map(|input| parameters.inputs[*input].number(&WEIGHT)).collect();
        let sum: f64 = weights.iter().sum();
        let t = if sum.abs() < CANCELLED { 0.5 } else { weights[1] / sum };
        let solve = |gram: &Gram| nuslerp(gram, t).to_vec();
        match vectors(parameters) {
            Vectors::Whole => inputs.whole(|gram| Ok(solve(gram))),
            Vectors::Rows => inputs.by_row(solve),
            // a vector has no columns: it is one
            Vectors::Columns if tiles.shape().len() < 2 => inputs.whole(|gram| Ok(solve(gram))),
            Vectors::Columns => columns::merge(&inputs, |gram| nuslerp(gram, t)),
        }
    }
}

fn vectors(parameters: &TensorParameters) -> Vectors {
    match (parameters.shared.flag(&FLATTEN), parameters.shared.flag(&ROW_WISE)) {
        (true, _) => Vectors::Whole,
        (false, false) => Vectors::Rows,
        (false, true) => Vectors::Columns,
    }
}
