//! `model_stock`: from the base towards the mean of the experts, as far as the angle between their task vectors says.
//!
//! Paper: "Model Stock: all we need is just a few fine-tuned models" (arXiv 2403.19522). θ = t · Σ θᵢ/N + (1 − t) · θ₀, with t
//! = N·c/(1 + (N − 1)·c) and c the mean cosine over all pairs of task vectors; of the whole tensor, or with `filter_wise` of
//! each row (the last dimension). t may be negative.
//!
//! mergekit takes the product of two norms as at least 1e-6 when it divides by it. That bends the angle of small tensors: of a
//! vector of 4096 elements that moved by 1e-5 each, t becomes next to nothing. Here, as in the paper, only a zero vector is
//! special: it is at a right angle to all.
//!
//! Class T, with `filter_wise` R. Bytes: every input is read twice (`filter_wise`: once, and the rows at the ends of a tile
//! twice), the output written once. Flops: N(N + 1)/2 + N multiplications and additions an element for N experts.

use super::{BaseRule, Class, Contract, Method, Parameter, Reads, TensorParameters, span::InSpan};
use crate::{MergeError, plan::PlannedTensor, run::Tiles};
use braid_kernels::{Gram, model_stock};

pub(super) struct ModelStock;

const FILTER_WISE: Parameter = Parameter::flag("filter_wise", false);

impl Method for ModelStock {
    fn name(&self) -> &'static str {
        "model_stock"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[FILTER_WISE] }
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Required, min: 2, max: None }
    }

    fn class(&self) -> Class {
        Class::Tensor
    }

    fn whole_rows(&self, parameters: &TensorParameters) -> bool {
        parameters.shared.flag(&FILTER_WISE)
    }

    fn reads(&self, tensor: &PlannedTensor) -> Reads {
        if tensor.parameters.shared.flag(&FILTER_WISE) { Reads::by_row(tensor) } else { Reads::of_class(self) }
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        let solve = |gram: &Gram| vec![model_stock(gram) / gram.vectors() as f64; gram.vectors()];
        let experts = InSpan::new(tiles, parameters.base);
        if parameters.shared.flag(&FILTER_WISE) { experts.by_row(solve) } else { experts.whole(|gram| Ok(solve(gram))) }
    }
}
