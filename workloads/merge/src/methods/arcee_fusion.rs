//! `arcee_fusion`: of one other model, the changes that matter most are added to the base.
//!
//! Source: Arcee's, as mergekit has it. The importance of an element is |θ₁ − θ₀| · KL(softmax(θ₁) ‖ softmax(θ₀)), the
//! softmaxes over its row (the last dimension; 1e-8 is added to every probability). Elements of at least the threshold Q₅₀ +
//! 1.5 · (Q₇₅ − Q₂₅) are taken from θ₁, all others from θ₀; Q are the quantiles of the importance over the tensor: Q_f is the
//! ⌊f·(n − 1)⌋-th smallest.
//!
//! The quantiles are exact, of all elements, found by selection. The released code takes those of a million elements drawn at
//! random where a tensor has more, so that its result differs from run to run. Its divergence is summed in the tensor's dtype,
//! where most of its digits cancel; here in f64, and rounded to f32 once.
//!
//! Class T, of rows. Bytes: both inputs are read three times (five times where rows have more than 65 536 elements), the output
//! written once. Flops: about 250 an element, for powers of e and logarithms. It holds 4 bytes a row.

use super::{
    BaseRule, Class, Contract, Method, Parameter, Reads, TensorParameters,
    search::{limit, search},
};
use crate::{
    MergeError,
    plan::PlannedTensor,
    run::{Tile, Tiles},
};
use braid_kernels::{KernelError, LogSum, RowFactors, Selection, Source, Trim, divergences, fuse, log_sums, row_divergences};
use std::sync::Arc;

pub(super) struct ArceeFusion;

impl Method for ArceeFusion {
    fn name(&self) -> &'static str {
        "arcee_fusion"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Required, min: 1, max: Some(1) }
    }

    fn class(&self) -> Class {
        Class::Tensor
    }

    fn reads(&self, tensor: &PlannedTensor) -> Reads {
        // the divergences of rows, the quartiles, and the last pass
        Reads::search(tensor, 1 + Reads::by_row(tensor).passes)
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        // the contract leaves two inputs, of which one is the base
        let (base, other) = if parameters.base == Some(1) { (1, 0) } else { (0, 1) };
        let factors: Arc<[f32]> = divergences_of_rows(tiles, base, other)?.into();
        let rows = |tile: &Tile<'_>| RowFactors { factors: Arc::clone(&factors), row: tiles.row(), first: tile.first };

        let numel = tiles.elements();
        let quartile = |quarters: u64| {
            let place = (u128::from(numel.saturating_sub(1)) * u128::from(quarters) / 4) as u64;
            Selection::order_statistic(numel, numel - place.min(numel), limit(tiles, 3))
        };
        let trims = search(tiles, vec![quartile(1), quartile(2), quartile(3)], 3, |tile, _| Source::Scaled {
            base: tile.inputs[base],
            theta: tile.inputs[other],
            rows: rows(tile),
        })?;
        let value = |trim: &Trim| f32::from_bits(trim.threshold().unwrap_or_default());
        let threshold = match trims.as_slice() {
            [low, middle, high] => value(middle) + 1.5 * (value(high) - value(low)),
            _ => 0.0,
        };
        tiles.write(|tile, mut out| fuse(&tile.inputs[base], &tile.inputs[other], &rows(tile), threshold, &mut out))
    }
}

/// The divergence of each row of the other model from that of the base.
fn divergences_of_rows(tiles: &Tiles<'_>, base: usize, other: usize) -> Result<Vec<f32>, MergeError> {
    let runs = tiles.runs_of_rows();
    let Some(row) = tiles.whole_row() else {
        let sums = tiles.fold(&runs, <[LogSum; 2]>::default, |sums, piece| {
            for (sum, input) in sums.iter_mut().zip([other, base]) {
                log_sums(&piece.inputs[input])?.iter().for_each(|part| sum.add(part));
            }
            Ok(())
        })?;
        let totals = tiles.fold(
            &runs,
            || 0.0,
            |total, piece| {
                let [x, y] = sums.get(piece.index).ok_or(KernelError::Changed)?;
                let parts = divergences(&piece.inputs[other], &piece.inputs[base], x.ln(), y.ln())?;
                parts.iter().for_each(|part| *total += part);
                Ok(())
            },
        )?;
        return Ok(totals.into_iter().map(|total: f64| total as f32).collect());
    };
    let of_runs = tiles.fold(&runs, Vec::new, |found, piece| {
        let rows = row_divergences(&piece.inputs[other], &piece.inputs[base], row)?;
        found.extend(rows.into_iter().map(|total| total as f32));
        Ok(())
    })?;
    Ok(of_runs.concat())
}
