//! `sce` and `sce_published`: the experts weighed by how much they change, in the elements in which they differ most.
//!
//! Paper: "FuseChat: Knowledge Fusion of Chat Models" (arXiv 2408.07990). For each tensor:
//!
//! 1. *Select*: of the elements whose variance over the δᵢ is not zero, the share `select_topk` with the largest. All others of
//!    every δᵢ become 0.
//! 2. *Calculate*: wᵢ is the share of expert i in Σ δ² over all experts.
//! 3. *Erase*: in each element, the δᵢ that have not the sign of Σ δᵢ (+ for 0).
//! 4. θ = θ₀ + Σ wᵢδᵢ / Σ wᵢ over what is left.
//!
//! Which of two forms, where they differ:
//!
//! | | `sce`, mergekit's | `sce_published`, the authors' code |
//! |---|---|---|
//! | steps 3 and 4 see | what is selected; all else stays at the base | the whole δᵢ: the selection only shapes the weights |
//! | experts weigh alike | where their mean squares sum to less than 1e-6, which those of most fine-tunes do | where nothing at all is selected |
//! | a sum of weights in step 4 | counts as 1e-6 at least | counts as 1 if it is zero |
//!
//! Ties at the border of the selection are broken by place, and the variance is computed in f64; the weights are sums in f64.
//!
//! Class T. Bytes: every input is read three times (twice with `select_topk: 1`), the output written once. Flops: about 20 an
//! element and expert.

use super::{
    BadValue, BaseRule, Class, Contract, Method, Parameter, Reads, Scope, TensorParameters,
    search::{limit, search},
};
use crate::{
    MergeError,
    plan::PlannedTensor,
    run::{Tile, Tiles},
};
use braid_kernels::{Floor, Keep, Selected, Selection, Source, TileTrim, Trim, energies, sce};

/// One form of the two.
pub(super) struct Sce {
    name: &'static str,
    parameters: &'static [Parameter],
    published: bool,
}

pub(super) static SCE: Sce = Sce { name: "sce", parameters: const { &[SELECT_TOPK, INT8_MASK] }, published: false };
pub(super) static SCE_PUBLISHED: Sce = Sce { name: "sce_published", parameters: const { &[SELECT_TOPK] }, published: true };

const SELECT_TOPK: Parameter = Parameter::number("select_topk", Scope::Shared, 1.0);
/// Only a matter of memory in mergekit, and of nothing here.
const INT8_MASK: Parameter = Parameter::flag("int8_mask", false);

/// Mean squares that sum to less weigh all experts alike.
const LEAST: f64 = 1e-6;

impl Method for Sce {
    fn name(&self) -> &'static str {
        self.name
    }

    fn parameters(&self) -> &'static [Parameter] {
        self.parameters
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Required, min: 1, max: None }
    }

    fn class(&self) -> Class {
        Class::Tensor
    }

    fn check(&self, parameters: &TensorParameters) -> Result<(), BadValue> {
        let share = parameters.shared.number(&SELECT_TOPK);
        let bad = |problem, hint: &str| {
            Err(BadValue { parameter: SELECT_TOPK.name, input: None, problem, hint: Some(hint.to_owned()) })
        };
        if !(0.0..=1.0).contains(&share) {
            return bad(format!("{share} is no share of the elements"), "it lies between 0 (none) and 1 (all)");
        }
        if share < 1.0 && parameters.inputs.len() < 3 {
            let problem = "elements are selected by how much the experts differ, and there is only one".to_owned();
            return bad(problem, "set `select_topk: 1`, or merge more models");
        }
        Ok(())
    }

    fn reads(&self, tensor: &PlannedTensor) -> Reads {
        let all = tensor.parameters.shared.number(&SELECT_TOPK) >= 1.0;
        if all { Reads::passes(2) } else { Reads::search(tensor, 2) }
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        let base = parameters.base.unwrap_or(0);
        let experts = tiles.inputs().len().saturating_sub(1);
        let trim = select(tiles, base, parameters.shared.number(&SELECT_TOPK))?;
        let selected = |tile: &Tile<'_>| match trim.keep(tile.index) {
            Keep::All => Selected::All,
            Keep::Trim(trim) => Selected::Largest(trim),
            // a trim keeps all or trims
            _ => Selected::Largest(TileTrim::NOTHING),
        };
        let mut sums = vec![0.0; experts];
        let granules = tiles.measure(|tile| energies(&tile.inputs[base], &tile.others(base), selected(tile)))?;
        for granule in granules.into_iter().flatten() {
            sums.iter_mut().zip(granule).for_each(|(sum, part)| *sum += part);
        }
        let total: f64 = sums.iter().sum();
        let mean = total / tiles.elements().max(1) as f64;
        // where something is not finite, the last pass says in which element
        let alike = !total.is_finite() || if self.published { total == 0.0 } else { mean < LEAST };
        let weight = |sum: f64| if alike { 1.0 / experts as f64 } else { sum / total };
        let weights: Vec<f32> = sums.into_iter().map(|sum| weight(sum) as f32).collect();
        tiles.write(|tile, mut out| {
            let (seen, floor) = if self.published { (Selected::All, Floor::ZERO) } else { (selected(tile), Floor::MERGEKIT) };
            sce(&tile.inputs[base], &tile.others(base), &weights, seen, floor, &mut out)
        })
    }
}

fn select(tiles: &Tiles<'_>, base: usize, share: f64) -> Result<Trim, MergeError> {
    if share >= 1.0 {
        return Ok(Trim::All);
    }
    let limit = limit(tiles, 1);
    let searches = vec![Selection::of_nonzero(tiles.elements(), share, limit)];
    let trims = search(tiles, searches, |tile, _| Source::Spread { base: tile.inputs[base], experts: tile.others(base) })?;
    // one search, one answer
    Ok(trims.into_iter().next().unwrap_or(Trim::All))
}
