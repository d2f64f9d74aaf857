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
//! element and expert. Which elements are selected is kept as a bit for each from the second pass to the last, where memory allows it, and
//! else found again.

use super::{
    BadValue, BaseRule, Class, Contract, Method, Parameter, Reads, Scope, TensorParameters,
    search::{limit, search},
};
use crate::{
    MergeError,
    plan::PlannedTensor,
    run::{Tile, Tiles},
};
use braid_kernels::{Floor, Keep, KernelError, Selected, Selection, Source, Trim, chosen, energies, sce};
use std::borrow::Cow;

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
        let selection = Selecting::find(tiles, base, parameters.shared.number(&SELECT_TOPK))?;
        let remember = !self.published && tiles.elements() / 8 <= tiles.room() / 4;
        let measured = tiles.measure(|tile| {
            let chosen = selection.choose(tile)?;
            let granules = energies(&tile.inputs[base], &tile.others(base), selected(chosen.as_deref()))?;
            Ok((granules, chosen.filter(|_| remember)))
        })?;
        let (granules, remembered): (Vec<_>, Vec<_>) = measured.into_iter().unzip();
        let mut sums = vec![0.0; experts];
        for granule in granules.into_iter().flatten() {
            sums.iter_mut().zip(granule).for_each(|(sum, part): (&mut f64, f64)| *sum += part);
        }
        let total: f64 = sums.iter().sum();
        let mean = total / tiles.elements().max(1) as f64;
        // where something is not finite, the last pass says in which element
        let alike = !total.is_finite() || if self.published { total == 0.0 } else { mean < LEAST };
        let weight = |sum: f64| if alike { 1.0 / experts as f64 } else { sum / total };
        let weights: Vec<f32> = sums.into_iter().map(|sum| weight(sum) as f32).collect();
        tiles.write(|tile, mut out| {
            let (base, experts) = (&tile.inputs[base], tile.others(base));
            if self.published {
                return sce(base, &experts, &weights, Selected::All, Floor::ZERO, &mut out);
            }
            let chosen = match remembered.get(tile.index) {
                Some(Some(chosen)) => Some(Cow::Borrowed(chosen.as_slice())),
                _ => selection.choose(tile)?.map(Cow::Owned),
            };
            sce(base, &experts, &weights, selected(chosen.as_deref()), Floor::MERGEKIT, &mut out)
        })
    }
}

/// Which elements of a tensor the selection takes.
struct Selecting {
    base: usize,
    trim: Trim,
}

impl Selecting {
    fn find(tiles: &Tiles<'_>, base: usize, share: f64) -> Result<Self, MergeError> {
        if share >= 1.0 {
            return Ok(Self { base, trim: Trim::All });
        }
        let searches = vec![Selection::of_nonzero(tiles.elements(), share, limit(tiles, 1))];
        // one search, one answer
        let trim = search(tiles, searches, 1, |tile, _| Self::spread(tile, base))?.into_iter().next().unwrap_or(Trim::All);
        Ok(Self { base, trim })
    }

    /// A bit for each element of a tile, unless all are taken.
    fn choose(&self, tile: &Tile<'_>) -> Result<Option<Vec<u64>>, KernelError> {
        let Keep::Trim(trim) = self.trim.keep(tile.index) else { return Ok(None) };
        chosen(&Self::spread(tile, self.base), trim).map(Some)
    }

    fn spread<'t>(tile: &Tile<'t>, base: usize) -> Source<'t> {
        Source::Spread { base: tile.inputs[base], experts: tile.others(base) }
    }
}

fn selected(chosen: Option<&[u64]>) -> Selected<'_> {
    chosen.map_or(Selected::All, Selected::Chosen)
}
