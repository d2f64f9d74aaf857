//! Methods whose output is a LoRA adapter: `lora_merge` of adapters, `lora_extract` of two checkpoints.
//!
//! An adapter as an input of any other method is not here: `base+adapter` in a recipe is read as the folded checkpoint.

mod config;
mod extract;
mod merge;
#[cfg(test)]
mod tests;

pub(super) use extract::LoraExtract;
pub(super) use merge::LoraMerge;

use super::{BadValue, Parameter, TensorParameters};
use braid_kernels::linalg::{Dense, Svd};

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
