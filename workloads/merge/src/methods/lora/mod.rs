//! Methods whose output is a LoRA adapter: `lora_merge` and `lora_lego` of adapters, `lora_extract` of two checkpoints.
//!
//! An adapter as an input of any other method is not here: `base+adapter` in a recipe is read as the folded checkpoint.

mod config;
mod extract;
mod lego;
mod merge;
#[cfg(test)]
mod tests;

pub(super) use extract::LoraExtract;
pub(super) use lego::LoraLego;
pub(super) use merge::LoraMerge;

use super::{AdaptedModule, BadValue, Made, Parameter, Piece, TensorParameters, Work};
use crate::{adapter::Factors, plan::Source};
use braid_kernels::linalg::{Dense, Svd};
use std::sync::Arc;

/// Ranks beyond this are typing errors.
const MAX_RANK: f64 = 65_536.0;

/// A rank that a recipe gives.
fn rank(parameters: &TensorParameters, parameter: &'static Parameter, least: f64) -> Result<Option<usize>, BadValue> {
    let Some(rank) = parameters.shared.given(parameter) else { return Ok(None) };
    if rank.fract() == 0.0 && (least..=MAX_RANK).contains(&rank) {
        return Ok(Some(rank as usize));
    }
    Err(BadValue {
        parameter: parameter.name,
        input: None,
        problem: format!("{rank} is no rank"),
        hint: Some(format!("a rank is a whole number from {least} to {MAX_RANK}")),
    })
}

/// The rows and columns of the matrix that a module adapts.
fn sides(module: &AdaptedModule) -> (u64, u64) {
    // an adapted module has an input that adapts it
    let of = |(_, _, factors): &(usize, [Source; 2], Factors)| {
        (factors.b.shape.first().copied().unwrap_or(0), factors.a.shape.iter().skip(1).product())
    };
    module.inputs.first().map_or((0, 0), of)
}

/// The work that makes the factors of a module, of this rank and named as in the first input, of those of all inputs: its sources are `A` and
/// `B` of each.
fn factors_piece(module: AdaptedModule, rank: u64, work: Arc<dyn Work>) -> Piece {
    let (rows, cols) = sides(&module);
    let AdaptedModule { inputs, parameters, dtype, .. } = module;
    let total: u64 = inputs.iter().map(|(_, _, factors)| factors.rank).sum();
    let made = |source: &Source, rank_at: usize| {
        let mut shape = source.shape.clone();
        shape.iter_mut().skip(rank_at).take(1).for_each(|length| *length = rank);
        Made { name: source.tensor.clone(), dtype, shape }
    };
    let makes = inputs.first().map_or_else(Vec::new, |(_, [a, b], _)| vec![made(a, 0), made(b, 1)]);
    let memory = rows.saturating_add(cols).saturating_mul(total).saturating_mul(4 * 4);
    let sources = inputs.into_iter().flat_map(|(_, sources, _)| sources).collect();
    Piece::Together { makes, sources, parameters, memory, work }
}

/// `left · √values` and `√values · right`: factors of which neither is much larger than the other.
fn balanced(svd: Svd) -> (Dense, Dense) {
    let Svd { mut left, values, mut right } = svd;
    let roots: Vec<f32> = values.iter().map(|value| value.sqrt()).collect();
    for row in 0..left.rows() {
        left.row_mut(row).iter_mut().zip(&roots).for_each(|(value, root)| *value *= root);
    }
    for (row, root) in roots.iter().enumerate() {
        right.row_mut(row).iter_mut().for_each(|value| *value *= root);
    }
    (left, right)
}
