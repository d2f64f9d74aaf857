//! `tsvm`: task singular vectors, decorrelated (Gargiulo et al., CVPR 2025, arXiv 2412.00081); `tsvm_reweighted`, an experiment after
//! R-TSVM (arXiv 2502.06876): see [`reweight`].
//!
//! Of each of N task vectors `δᵢ = Uᵢ Sᵢ Vᵢᵀ` of a matrix the `k = ⌊min(m, n) / N⌋` largest singular values stay (one at least). All that stay are
//! put side by side, `U = [U₁ … U_N]`, `V` alike, and each side is replaced by the nearest one with orthonormal columns, so that no
//! task writes over another's directions: `θ = θ₀ + lambda · polar(U) · diag(weightᵢ Sᵢ) · polar(V)ᵀ`. Tensors that are no matrices,
//! and those with a row for each token, get `θ₀ + lambda · mean(weightᵢ δᵢ)`.
//!
//! The authors' code pads U with columns of zeros up to min(m, n), which their singular values of zero drop again; here they are left
//! out. It orthogonalises by a second decomposition, here by the eigenvalues of the Gram matrix: the same factor, but directions that
//! several tasks share exactly are kept once instead of being filled up at will. `weight` is Braid's.
//!
//! Class: whole tensors. Cost: reads N + 1 tensors and writes one; N thin decompositions, about 8 m n min(m, n) operations each, and
//! 8 (m + n) (kN)² for the rest. Memory: ten times the matrix in f32; reweighted, the task vectors beside that.

mod reweight;

use super::{
    BadValue, BaseRule, Case, Class, Contract, Joint, Made, Method, Parameter, Piece, Reads, Report, Scope, TensorParameters,
    Work, joint::Matrices,
};
use crate::{
    MergeError,
    plan::{PlannedTensor, has_vocabulary},
    run::{Room, Tiles},
};
use braid_kernels::{
    Combine, Keep, TaskVector,
    linalg::{Dense, Svd, multiply, polar, svd},
    task_vectors,
};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) struct Tsvm {
    name: &'static str,
    parameters: &'static [Parameter],
    /// Whether columns are weighed, and ranks shared out, by what is in the task vectors.
    reweighted: bool,
}

pub(super) static TSVM: Tsvm = Tsvm { name: "tsvm", parameters: const { &[WEIGHT, LAMBDA] }, reweighted: false };
pub(super) static TSVM_REWEIGHTED: Tsvm =
    Tsvm { name: "tsvm_reweighted", parameters: const { &[WEIGHT, LAMBDA, OUTLIERS] }, reweighted: true };

const WEIGHT: Parameter = Parameter::number("weight", Scope::Expert, 1.0);
const LAMBDA: Parameter = Parameter::number("lambda", Scope::Shared, 1.0);
const OUTLIERS: Parameter = Parameter::number("outliers", Scope::Shared, 3.0);

impl Method for Tsvm {
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

    fn reads(&self, _: &PlannedTensor) -> Reads {
        Reads::passes(1)
    }

    fn joint(&self) -> Option<&'static dyn Joint> {
        Some(if self.reweighted { &TSVM_REWEIGHTED } else { &TSVM })
    }

    fn check(&self, parameters: &TensorParameters) -> Result<(), BadValue> {
        let outliers = parameters.shared.number(&OUTLIERS);
        if outliers < 0.0 {
            let problem = format!("{outliers} standard deviations above the mean cannot be negative");
            return Err(BadValue { parameter: OUTLIERS.name, input: None, problem, hint: None });
        }
        Ok(())
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        let (base, experts) = inputs(parameters);
        let combine = Combine { elect_sign: false, normalize: false, lambda: parameters.shared.number(&LAMBDA) as f32 };
        let share = 1.0 / experts.len().max(1) as f64;
        tiles.write(|tile, mut out| {
            let vector = |&(expert, weight): &(usize, f32)| TaskVector {
                theta: tile.inputs[expert],
                keep: Keep::All,
                scale: 1.0,
                weight: (f64::from(weight) * share) as f32,
            };
            task_vectors(&tile.inputs[base], &experts.iter().map(vector).collect::<Vec<_>>(), &combine, &mut out)
        })
    }
}

impl Joint for Tsvm {
    fn arrange(&self, case: Case<'_>) -> Result<Vec<Piece>, String> {
        let piece = |tensor: PlannedTensor| {
            let &[rows, cols] = tensor.shape.as_slice() else { return Piece::Alone(tensor) };
            if tensor.method.name() != self.name() || has_vocabulary(&tensor.name) || rows == 0 || cols == 0 {
                return Piece::Alone(tensor);
            }
            let work = Decorrelate { parameters: tensor.parameters.clone(), reweighted: self.reweighted };
            let held = if self.reweighted { 10 + tensor.sources.len() as u64 } else { 10 };
            let makes = vec![Made { name: tensor.name, dtype: tensor.dtype, shape: tensor.shape }];
            let memory = rows.saturating_mul(cols).saturating_mul(held.saturating_mul(4));
            let (sources, parameters) = (tensor.sources, tensor.parameters);
            Piece::Together { makes, sources, parameters, memory, work: Arc::new(work) }
        };
        Ok(case.tensors.into_iter().map(piece).collect())
    }

    fn report(&self, _: &Report<'_>) -> Vec<(String, Value)> {
        Vec::new()
    }
}

/// The base, and each expert with its weight.
fn inputs(parameters: &TensorParameters) -> (usize, Vec<(usize, f32)>) {
    let base = parameters.base.unwrap_or(0);
    let weights = parameters.inputs.iter().map(|values| values.number(&WEIGHT) as f32).enumerate();
    (base, weights.filter(|(input, _)| *input != base).collect())
}

/// One matrix.
#[derive(Debug)]
struct Decorrelate {
    parameters: TensorParameters,
    reweighted: bool,
}

impl Work for Decorrelate {
    fn run(&self, room: &Room<'_>) -> Result<Value, MergeError> {
        let (base, experts) = inputs(&self.parameters);
        let mut out = room.matrix(base)?;
        let (rows, cols) = (out.rows(), out.cols());
        let kept = (rows.min(cols) / experts.len().max(1)).max(1);
        let vector = |expert: usize, base: &Dense| -> Result<Dense, MergeError> {
            let mut delta = room.matrix(expert)?;
            delta.data_mut().iter_mut().zip(base.data()).for_each(|(value, base)| *value -= base);
            Ok(delta)
        };
        let mut ranks = vec![kept; experts.len()];
        let mut held: Vec<Dense> = Vec::new();
        if self.reweighted {
            held = experts.iter().map(|(expert, _)| vector(*expert, &out)).collect::<Result<_, _>>()?;
            ranks = reweight::ranks(&held);
            reweight::weigh(&mut held, self.parameters.shared.number(&OUTLIERS));
        }
        let mut held = held.into_iter();
        // as rows, which is how they are put side by side
        let (mut left, mut right): (Vec<f32>, Vec<f32>) = (Vec::new(), Vec::new());
        let mut values: Vec<f32> = Vec::new();
        for ((expert, weight), kept) in experts.into_iter().zip(&ranks) {
            let delta = match held.next() {
                Some(delta) => delta,
                None => vector(expert, &out)?,
            };
            let Svd { left: u, values: s, right: v } = svd(&delta).map_err(|error| room.refused(error))?.truncated(*kept);
            left.extend(u.transposed().into_data());
            right.extend(v.into_data());
            values.extend(s.into_iter().map(|value| value * weight));
        }
        let side = |rows: Vec<f32>, length: usize| {
            let rows = Dense::new(values.len(), length, rows);
            polar(&rows.transposed()).map_err(|error| room.refused(error))
        };
        let (mut left, right) = (side(left, rows)?, side(right, cols)?);
        let lambda = self.parameters.shared.number(&LAMBDA) as f32;
        for row in 0..rows {
            left.row_mut(row).iter_mut().zip(&values).for_each(|(value, s)| *value *= s);
        }
        let change = multiply(left.view(), right.t());
        out.data_mut().iter_mut().zip(change.data()).for_each(|(value, change)| *value = change.mul_add(lambda, *value));
        room.write(0, out.data())?;
        Ok(match self.reweighted {
            true => json!({ "ranks": ranks }),
            false => json!({ "rank": kept }),
        })
    }
}

#[cfg(test)]
pub(super) mod tests;
