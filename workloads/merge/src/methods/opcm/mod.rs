//! `opcm`: orthogonal-projection continual merging; one expert after the other, each without what the ones before it have occupied.
//!
//! Paper: "Merging Models on the Fly Without Retraining" (arXiv 2501.09522). The state of a matrix is A, at first δ₁. For the next expert, with
//! A = U Σ Vᵀ and `split` the first place where the singular values up to it are more than `alpha` of their sum, Z = Uᵀ δ V loses its diagonal
//! and its first `split` rows and columns, and A becomes A + U Z Vᵀ. Vectors, and matrices with a row for each token, are added up. In the end
//! θ = θ₀ + A · mean ‖δₛ‖ / ‖A‖, both norms over the whole model.
//!
//! *Continual*: a result can take in the next expert without the earlier ones. Its folder has `opcm.json` with `experts`, how many it stands for,
//! and `scale`, ‖A‖ / mean ‖δₛ‖; given as parameters of that model, A is `scale` · δ and its norm counts `experts` times.
//!
//! What differs from the authors' code: it scales the state after every expert, which changes neither U nor V nor `split`, and is here done
//! once; full decompositions, of which the part outside of the thin one is δ itself; the order of the experts, which it shuffles and here is the
//! recipe's. A state of zeros, which it divides by, takes the next expert whole.
//!
//! Class T in the order of the recipe, and G for the two norms, for which A is found in the survey and once more to be written: twice the
//! cost. Bytes: every input is read twice, the output written once. Flops: 2 (N − 1) thin decompositions of about 8 m n min(m, n) each for N experts, and
//! 12 m n min(m, n) more for each. Memory: ten times the matrix in f32.

mod project;
#[cfg(test)]
mod tests;

use super::{
    BadValue, BaseRule, Case, Class, Contract, Joint, Made, Method, MethodError, Parameter, Piece, Report, Scope,
    TensorParameters, Work,
    joint::Matrices,
    whole::{experts, known, sums},
};
use crate::{
    MergeError,
    plan::{PlannedTensor, has_vocabulary},
    run::{Room, Tiles},
    survey::{self, Answer, Question, Survey, alike, elements},
};
use braid_kernels::{Combine, Keep, Selected, TaskVector, decode, energies, linalg::Dense, task_vectors};
use project::{State, squares};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) struct Opcm;

const ALPHA: Parameter = Parameter::number("alpha", Scope::Shared, 0.5);
const EXPERTS: Parameter = Parameter::number("experts", Scope::Expert, 1.0);
const SCALE: Parameter = Parameter::number("scale", Scope::Expert, 1.0);

/// More experts than anybody merges.
const MOST: f64 = 1e6;

impl Method for Opcm {
    fn name(&self) -> &'static str {
        "opcm"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[ALPHA, EXPERTS, SCALE] }
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Required, min: 1, max: None }
    }

    fn class(&self) -> Class {
        Class::Global
    }

    fn check(&self, parameters: &TensorParameters) -> Result<(), BadValue> {
        let alpha = parameters.shared.number(&ALPHA);
        let bad = |parameter: &Parameter, input, problem| Err(BadValue { parameter: parameter.name, input, problem, hint: None });
        if !(0.0..=1.0).contains(&alpha) {
            return bad(&ALPHA, None, format!("{alpha} is no share of the singular values"));
        }
        for (input, values) in experts(parameters) {
            let (count, scale) = (values.number(&EXPERTS), values.number(&SCALE));
            if count.fract() != 0.0 || !(1.0..=MOST).contains(&count) {
                return bad(&EXPERTS, Some(input), format!("{count} is no number of experts from 1 to {MOST}"));
            }
            if scale <= 0.0 {
                return bad(&SCALE, Some(input), format!("{scale} is a quotient of two lengths, and must be above 0"));
            }
        }
        Ok(())
    }

    fn joint(&self) -> Option<&'static dyn Joint> {
        Some(&Self)
    }

    fn survey(&self) -> Option<&'static dyn Survey> {
        Some(&Self)
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        let Some([norms]) = known(tiles)? else { return tiles.write(|_, _| Ok(())) };
        let base = parameters.base.unwrap_or(0);
        let lambda = Lengths::of(parameters, norms).factor() as f32;
        let weights = scales(parameters);
        let combine = Combine { elect_sign: false, normalize: false, lambda };
        tiles.write(|tile, mut out| {
            let term = |(theta, weight): (_, &f32)| TaskVector { theta, keep: Keep::All, scale: 1.0, weight: *weight };
            let terms: Vec<TaskVector<'_>> = tile.others(base).into_iter().zip(&weights).map(term).collect();
            task_vectors(&tile.inputs[base], &terms, &combine, &mut out)
        })
    }
}

/// What each expert's task vector is multiplied by.
fn scales(parameters: &TensorParameters) -> Vec<f32> {
    experts(parameters).map(|(_, values)| values.number(&SCALE) as f32).collect()
}

/// Whether the experts' changes of a tensor are projected, and not only added up.
fn is_projected(name: &str, shape: &[u64]) -> bool {
    shape.len() == 2 && shape.iter().all(|length| *length > 0) && !has_vocabulary(name)
}

/// The two lengths that the result is scaled by.
struct Lengths {
    /// ‖A‖.
    state: f64,
    /// The mean of the experts' ‖δ‖.
    mean: f64,
    /// How many experts there are, with those that results stand for.
    experts: f64,
}

impl Lengths {
    fn of(parameters: &TensorParameters, norms: &Answer) -> Self {
        let sums = norms.sums();
        let (state, own) = sums.split_last().map_or((0.0, &[][..]), |(state, own)| (*state, own));
        let counts = || experts(parameters).map(|(_, values)| values.number(&EXPERTS));
        let total: f64 = own.iter().zip(counts()).map(|(square, count)| square.sqrt() * count).sum();
        let experts: f64 = counts().sum();
        Self { state: state.sqrt(), mean: total / experts.max(1.0), experts }
    }

    fn factor(&self) -> f64 {
        if self.state > 0.0 { self.mean / self.state } else { 1.0 }
    }
}

impl Survey for Opcm {
    fn case(&self, tensors: &[&PlannedTensor]) -> Result<survey::Case, String> {
        let of = |parameters: &TensorParameters| {
            experts(parameters).map(|(_, values)| (values.number(&EXPERTS), values.number(&SCALE))).collect::<Vec<_>>()
        };
        let models = alike(tensors, SCALE.name, of)?.unwrap_or_default();
        Ok(survey::Case { elements: elements(tensors), experts: models.len(), numbers: Vec::new() })
    }

    /// The lengths of the changes, then the state.
    fn reads(&self, _: &survey::Case) -> u64 {
        2
    }

    fn question(&self, case: &survey::Case, answers: &[Answer]) -> Option<Question> {
        answers.is_empty().then_some(Question::Sums(case.experts + 1))
    }

    /// ‖δ‖² of each expert, then ‖A‖².
    fn sums(&self, _: &[Answer], parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<Vec<f64>, MergeError> {
        let base = parameters.base.unwrap_or(0);
        let scales = scales(parameters);
        let count = scales.len();
        let own = tiles.measure(|tile| energies(&tile.inputs[base], &tile.others(base), Selected::All))?;
        let mut found = sums(count, own.into_iter().flatten());
        if is_projected(tiles.name(), tiles.shape()) {
            let of_tiles = tiles.measure(|tile| tile.inputs.iter().map(decode).collect::<Result<Vec<_>, _>>())?;
            let whole = |input: usize| of_tiles.iter().flat_map(|tile: &Vec<Vec<f32>>| tile[input].iter().copied()).collect();
            let (rows, cols) = (tiles.shape()[0] as usize, tiles.shape()[1] as usize);
            let refused = |source| MergeError::Kernel { tensor: tiles.name().to_owned(), source };
            let mut state = State::new(parameters.shared.number(&ALPHA));
            let theta0: Vec<f32> = whole(base);
            for ((input, _), scale) in experts(parameters).zip(&scales) {
                let delta = difference(Dense::new(rows, cols, whole(input)), &theta0, *scale);
                state.take(delta).map_err(refused)?;
            }
            found.push(squares(state.matrix().map_or(&[], Dense::data)));
        } else {
            let of_tiles = tiles.measure(|tile| {
                let mut sum = vec![0.0f32; tile.elements];
                let theta0 = decode(&tile.inputs[base])?;
                for (theta, scale) in tile.others(base).iter().zip(&scales) {
                    let theta = decode(theta)?;
                    for ((sum, theta), theta0) in sum.iter_mut().zip(theta).zip(&theta0) {
                        *sum += (theta - theta0) * scale;
                    }
                }
                // granule by granule, so that it does not matter how large a tile is
                Ok(sum.chunks(braid_kernels::GRANULE).map(|granule| vec![squares(granule)]).collect::<Vec<_>>())
            })?;
            found.extend(sums(1, of_tiles.into_iter().flatten()));
        }
        Ok(found)
    }
}

/// `scale` · (θ − θ₀).
fn difference(mut theta: Dense, theta0: &[f32], scale: f32) -> Dense {
    theta.data_mut().iter_mut().zip(theta0).for_each(|(theta, theta0)| *theta = (*theta - theta0) * scale);
    theta
}

impl Joint for Opcm {
    fn arrange(&self, case: Case<'_>) -> Result<Vec<Piece>, String> {
        let piece = |tensor: PlannedTensor| {
            if !tensor.is_merged_by(self) || !is_projected(&tensor.name, &tensor.shape) {
                return Piece::Alone(tensor);
            }
            let memory = tensor.elements().saturating_mul((10 + tensor.sources.len() as u64) * 4);
            let work = Project { parameters: tensor.parameters.clone() };
            let makes = vec![Made { name: tensor.name, dtype: tensor.dtype, shape: tensor.shape }];
            let (sources, parameters) = (tensor.sources, tensor.parameters);
            Piece::Together { makes, sources, parameters, memory, work: Arc::new(work) }
        };
        Ok(case.tensors.into_iter().map(piece).collect())
    }

    fn report(&self, case: &Report<'_>) -> Vec<(String, Value)> {
        // every piece says the same of the whole
        let note = case.notes.first().map_or_else(|| json!({}), |note| (*note).clone());
        vec![("opcm.json".into(), note)]
    }
}

/// One matrix.
#[derive(Debug)]
struct Project {
    parameters: TensorParameters,
}

impl Work for Project {
    fn run(&self, room: &Room<'_>) -> Result<Value, MergeError> {
        let parameters = &self.parameters;
        let [norms] = room.answers() else { return Err(MethodError::Unknown { tensor: room.name().to_owned() }.into()) };
        let lengths = Lengths::of(parameters, norms);
        let mut out = room.matrix(parameters.base.unwrap_or(0))?;
        let mut state = State::new(parameters.shared.number(&ALPHA));
        for ((input, _), scale) in experts(parameters).zip(scales(parameters)) {
            state.take(difference(room.matrix(input)?, out.data(), scale)).map_err(|error| room.refused(error))?;
        }
        let factor = lengths.factor() as f32;
        if let Some(change) = state.matrix() {
            out.data_mut().iter_mut().zip(change.data()).for_each(|(value, change)| *value += factor * change);
        }
        room.write(0, out.data())?;
        Ok(json!({ "experts": lengths.experts, "scale": 1.0 / lengths.factor() }))
    }
}
