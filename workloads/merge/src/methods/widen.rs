//! `widen`: weight disentanglement; of each column the changes that are significant within their model count.
//!
//! Paper: "Extend Model Merging from Fine-Tuned to Pre-Trained Large Language Models via Weight Disentanglement" (arXiv 2408.03092).
//! A column of a matrix (the last axis; of a matrix with a row for each token, a row) has a length and a direction. In each model
//! the columns are ranked by |‖θᵢ‖ − ‖θ₀‖| and by 1 − cos(θᵢ, θ₀), r ∈ {0, 1/n, …}. The score of a column is its share in the softmax of
//! r over the models, or `score_calibration_value` where r > `above_average_value_ratio` · the mean of r. θ = θ₀ + Σ ½ (score of length + score
//! of direction) · δᵢ, without a normalisation. Vectors: the same with |δᵢ| of each element in place of r, and one score.
//!
//! What differs from the released code. A column of zeros, such as the row of a token that is never used, gives NaN there; here it has the
//! direction of another such, and is at a right angle to any other. 1 − cos is taken from the square of the sine in f64, where f32
//! has lost it; ranks of columns that have changed by nearly the same may then be the other way round. The code transposes
//! `model.embed_tokens.weight` only; here every input embedding, and not output layers. Tensors of more than two axes, which it refuses, are
//! matrices of their first axis and all others. Tokens that only some models have must be given to all before.
//!
//! Class T. Bytes: every input is read twice, the output written once. Flops: about 10 an element and expert. It holds 28 bytes for each
//! column and expert, and while it measures 24 more for each of a few stretches of rows.

use super::{
    BadValue, BaseRule, Class, Contract, Method, Parameter, Scope, TensorParameters,
    nuslerp::bands,
    span::{moved, parts, row_parts},
};
use crate::{
    MergeError,
    plan::{has_vocabulary, is_output},
    run::Tiles,
};
use braid_kernels::{
    Calibration, Dots, Keep, KernelError, L1, Slice, column_dots, decode, dots, l1, weighted, widen_columns, widen_elements,
};

pub(super) struct Widen;

const RATIO: Parameter = Parameter::number("above_average_value_ratio", Scope::Shared, 1.0);
const VALUE: Parameter = Parameter::number("score_calibration_value", Scope::Shared, 1.0);

impl Method for Widen {
    fn name(&self) -> &'static str {
        "widen"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[RATIO, VALUE] }
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Required, min: 1, max: None }
    }

    fn class(&self) -> Class {
        Class::Tensor
    }

    fn check(&self, parameters: &TensorParameters) -> Result<(), BadValue> {
        let ratio = parameters.shared.number(&RATIO);
        if ratio < 0.0 {
            let problem = format!("{ratio} is how many times the mean is significant, and cannot be negative");
            return Err(BadValue { parameter: RATIO.name, input: None, problem, hint: None });
        }
        Ok(())
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        let base = parameters.base.unwrap_or(0);
        let experts: Vec<usize> = (0..tiles.inputs().len()).filter(|input| *input != base).collect();
        let calibration = Calibration { ratio: parameters.shared.number(&RATIO), value: parameters.shared.number(&VALUE) };
        let inputs = Inputs { tiles, base, experts, calibration };
        match tiles.shape().len() {
            0 | 1 => inputs.by_element(),
            _ if has_vocabulary(tiles.name()) && !is_output(tiles.name()) => inputs.by_row(),
            _ => inputs.by_column(),
        }
    }
}

struct Inputs<'a, 'b> {
    tiles: &'a Tiles<'b>,
    base: usize,
    experts: Vec<usize>,
    calibration: Calibration,
}

impl Inputs<'_, '_> {
    fn by_element(&self) -> Result<(), MergeError> {
        let norms = self.tiles.measure(|tile| {
            let of = |expert: &usize| l1(&tile.inputs[self.base], &tile.inputs[*expert], Keep::All);
            self.experts.iter().map(of).collect::<Result<Vec<_>, _>>()
        })?;
        let mean = |index: usize| {
            let norm: L1 = norms.iter().flat_map(|tile: &Vec<Vec<L1>>| tile[index].iter().copied()).sum();
            norm.total / self.tiles.elements().max(1) as f64
        };
        let means: Vec<f64> = (0..self.experts.len()).map(mean).collect();
        self.tiles.write(|tile, mut out| {
            let theta0 = decode(&tile.inputs[self.base])?;
            let change = |expert: &usize| {
                let mut theta = decode(&tile.inputs[*expert])?;
                theta.iter_mut().zip(&theta0).for_each(|(theta, theta0)| *theta -= theta0);
                Ok(theta)
            };
            let changes = self.experts.iter().map(change).collect::<Result<Vec<_>, KernelError>>()?;
            let factors = widen_elements(&changes, &means, self.calibration);
            let factors: Vec<&[f32]> = factors.iter().map(Vec::as_slice).collect();
            weighted(Some(&tile.inputs[self.base]), &tile.others(self.base), &factors, &mut out)
        })
    }

    fn by_column(&self) -> Result<(), MergeError> {
        let rows = self.tiles.shape().first().copied().unwrap_or(1).max(1);
        let width = self.tiles.elements() / rows;
        let columns = usize::try_from(width).unwrap_or(usize::MAX);
        let start = || vec![vec![Dots::default(); columns]; self.experts.len()];
        let of_bands = self.tiles.fold(&bands(rows, width, self.experts.len() as u64), start, |sums, piece| {
            let column = (piece.first % width) as usize;
            for (expert, sums) in self.experts.iter().zip(sums) {
                column_dots(None, &piece.inputs[self.base], &piece.inputs[*expert], column, sums)?;
            }
            Ok(())
        })?;
        let sum = |expert: usize, column: usize| of_bands.iter().map(|band| band[expert][column]).sum();
        let sums: Vec<Vec<Dots>> =
            (0..self.experts.len()).map(|expert| (0..columns).map(|column| sum(expert, column)).collect()).collect();
        drop(of_bands);
        let factors = widen_columns(&sums, self.calibration);
        drop(sums);
        self.tiles.write(|tile, mut out| {
            row_parts(tile, width.max(1)).try_for_each(|(row, own)| {
                let start = (tile.first + own.start as u64 - row as u64 * width) as usize;
                let of_row = |factors: &Vec<f32>| factors.get(start..start + own.len()).map(<[f32]>::to_vec);
                let factors: Option<Vec<Vec<f32>>> = factors.iter().map(of_row).collect();
                self.sum_part(tile.inputs, own, &factors.ok_or(KernelError::Changed)?, &mut out)
            })
        })
    }

    fn by_row(&self) -> Result<(), MergeError> {
        let row = self.tiles.row();
        let runs = self.tiles.runs_of_rows();
        let start = || vec![Vec::<Dots>::new(); self.experts.len()];
        let of_runs = self.tiles.fold(&runs, start, |sums, piece| {
            for (index, own) in row_parts(piece, row) {
                let slices = parts(piece.inputs, &own)?;
                // a row that began in the piece before goes on
                let goes_on = piece.first + own.start as u64 > index as u64 * row;
                for (expert, sums) in self.experts.iter().zip(&mut *sums) {
                    let of_part: Dots = dots(&slices[self.base], &slices[*expert])?.into_iter().sum();
                    match sums.last_mut().filter(|_| goes_on) {
                        Some(sum) => *sum = [*sum, of_part].into_iter().sum(),
                        None => sums.push(of_part),
                    }
                }
            }
            Ok(())
        })?;
        let whole = |expert: usize| of_runs.iter().flat_map(|run| run[expert].iter().copied()).collect();
        let sums: Vec<Vec<Dots>> = (0..self.experts.len()).map(whole).collect();
        let factors = widen_columns(&sums, self.calibration);
        self.tiles.write(|tile, mut out| {
            row_parts(tile, row).try_for_each(|(index, own)| {
                let of_row = |factors: &Vec<f32>| Some(vec![*factors.get(index)?; own.len()]);
                let factors: Option<Vec<Vec<f32>>> = factors.iter().map(of_row).collect();
                self.sum_part(tile.inputs, own, &factors.ok_or(KernelError::Changed)?, &mut out)
            })
        })
    }

    fn sum_part(
        &self,
        inputs: &[Slice<'_>],
        own: std::ops::Range<usize>,
        factors: &[Vec<f32>],
        out: &mut braid_kernels::SliceMut<'_>,
    ) -> Result<(), KernelError> {
        let (slices, at) = (parts(inputs, &own)?, own.start);
        let experts: Vec<Slice<'_>> = self.experts.iter().map(|expert| slices[*expert]).collect();
        let factors: Vec<&[f32]> = factors.iter().map(Vec::as_slice).collect();
        let mut out = out.part_mut(own)?;
        weighted(Some(&slices[self.base]), &experts, &factors, &mut out).map_err(|error| moved(error, at))
    }
}
