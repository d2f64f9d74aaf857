//! `varm`: variation-ratio merging, the experts of each tensor weighed by how much they changed it.
//!
//! Paper: "Knowledge Fusion of Chat LLMs" (arXiv 2402.16107), at the granularity of a matrix. wᵢ = Σ δᵢ² / Σᵢ Σ δᵢ², θ = Σ wᵢθᵢ = θ₀ + Σ
//! wᵢδᵢ. It is `sce` without the selection and without the erasing. A tensor that no expert has changed stays as it is.
//!
//! The authors' repository does not have the code of it; weights for single elements, layers and whole models, which the paper
//! mentions, are not here.
//!
//! Class T. Bytes: every input is read twice, the output written once. Flops: about 5 an element and expert.

use super::{BaseRule, Class, Contract, Method, Parameter, TensorParameters};
use crate::{MergeError, run::Tiles};
use braid_kernels::{Combine, Keep, Selected, TaskVector, energies, task_vectors};

pub(super) struct VaRm;

impl Method for VaRm {
    fn name(&self) -> &'static str {
        "varm"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Required, min: 1, max: None }
    }

    fn class(&self) -> Class {
        Class::Tensor
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        let base = parameters.base.unwrap_or(0);
        let mut sums = vec![0.0; tiles.inputs().len().saturating_sub(1)];
        let granules = tiles.measure(|tile| energies(&tile.inputs[base], &tile.others(base), Selected::All))?;
        for granule in granules.into_iter().flatten() {
            sums.iter_mut().zip(granule).for_each(|(sum, part)| *sum += part);
        }
        let (total, count): (f64, usize) = (sums.iter().sum(), sums.len().max(1));
        // where something is not finite, the last pass says in which element
        let alike = total == 0.0 || !total.is_finite();
        let weight = |sum: f64| if alike { 1.0 / count as f64 } else { sum / total };
        let weights: Vec<f32> = sums.into_iter().map(|sum| weight(sum) as f32).collect();
        let combine = Combine { elect_sign: false, normalize: false, lambda: 1.0 };
        tiles.write(|tile, mut out| {
            let terms = tile.others(base).into_iter().zip(&weights);
            let terms = terms.map(|(theta, weight)| TaskVector { theta, keep: Keep::All, scale: 1.0, weight: *weight });
            task_vectors(&tile.inputs[base], &terms.collect::<Vec<_>>(), &combine, &mut out)
        })
    }
}
