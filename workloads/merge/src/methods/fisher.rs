//! `fisher`: the mean of models in which every element weighs as much as its model knows about it.
//!
//! Paper: "Merging Models with Fisher-Weighted Averaging" (Matena and Raffel, arXiv 2111.09832). θ = Σ cᵢF̃ᵢθᵢ / Σ cᵢF̃ᵢ, with the diagonal of the
//! Fisher information Fᵢ of each model from a checkpoint beside it (`fisher:`), of the same tensors. With `normalize_fishers`, as in the authors'
//! code by default, cᵢ = `weight`ᵢ / ‖Fᵢ‖, the norm over the whole model; with `favor_target_model`, F̃ of the first model is at least 1e-6, so
//! that it keeps its elements where no other knows anything. Where nothing is known in any model, the plain mean.
//!
//! How F was made is not this method's matter: the authors square the gradient of the log-likelihood example by example; programs that square
//! the gradient of a batch make other numbers. Keep F in float32 or bfloat16: float16 loses what is below 1e-8. The mean is taken in
//! f64. A negative number in F is an error.
//!
//! Class E with two sums of the whole model: class G. Bytes: every model and every F is read twice, the output written once. Flops:
//! about 6 an element and model.

use super::{
    BadValue, BaseRule, Class, Contract, Method, MethodError, Parameter, Scope, TensorParameters,
    whole::{known, sums},
};
use crate::{
    MergeError,
    plan::PlannedTensor,
    run::Tiles,
    survey::{Answer, Case, Question, Survey, alike, elements},
};
use braid_kernels::{GRANULE, Informed, decode, dots, informed_mean};

pub(super) struct Fisher;

const WEIGHT: Parameter = Parameter::number("weight", Scope::Input, 1.0);
const NORMALIZE: Parameter = Parameter::flag("normalize_fishers", true);
const FAVOR: Parameter = Parameter::flag("favor_target_model", true);

/// What the target model knows at least.
const FLOOR: f32 = 1e-6;

impl Method for Fisher {
    fn name(&self) -> &'static str {
        "fisher"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[WEIGHT, NORMALIZE, FAVOR] }
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Unused, min: 1, max: None }
    }

    fn class(&self) -> Class {
        Class::Global
    }

    fn companion(&self) -> Option<&'static str> {
        Some("fisher")
    }

    fn check(&self, parameters: &TensorParameters) -> Result<(), BadValue> {
        let weights: Vec<f64> = models(parameters).map(|model| parameters.inputs[model].number(&WEIGHT)).collect();
        let bad = |input, problem: String| Err(BadValue { parameter: WEIGHT.name, input, problem, hint: None });
        if let Some(input) = weights.iter().position(|weight| *weight < 0.0) {
            return bad(Some(input), format!("{} weighs what is known, and cannot be negative", weights[input]));
        }
        if weights.iter().all(|weight| *weight == 0.0) {
            return bad(None, "all weights are zero".to_owned());
        }
        Ok(())
    }

    fn survey(&self) -> Option<&'static dyn Survey> {
        Some(&Self)
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        let Some([measured]) = known(tiles)? else { return tiles.write(|_, _| Ok(())) };
        let (measured, models) = (measured.sums(), models(parameters).count());
        let (squares, negative) = measured.split_at(models.min(measured.len()));
        if let Some(model) = negative.iter().position(|count| *count > 0.0) {
            return Err(MethodError::NegativeFisher { model: tiles.model(models + model).to_owned() }.into());
        }
        let normalize = parameters.shared.flag(&NORMALIZE);
        let weight = |model: usize| {
            let norm = squares[model].sqrt();
            let divisor = if normalize && norm > 0.0 { norm } else { 1.0 };
            parameters.inputs[model].number(&WEIGHT) / divisor
        };
        let weights: Vec<f64> = (0..models).map(weight).collect();
        let favor = parameters.shared.flag(&FAVOR);
        tiles.write(|tile, mut out| {
            let model = |model: usize| Informed {
                theta: tile.inputs[model],
                information: tile.inputs[models + model],
                floor: if favor && model == 0 { FLOOR } else { 0.0 },
                weight: weights[model],
            };
            informed_mean(&(0..models).map(model).collect::<Vec<_>>(), &mut out)
        })
    }
}

/// The models: half of the inputs, each with its information in the other half.
fn models(parameters: &TensorParameters) -> std::ops::Range<usize> {
    0..parameters.inputs.len() / 2
}

impl Survey for Fisher {
    fn case(&self, tensors: &[&PlannedTensor]) -> Result<Case, String> {
        let weights = |parameters: &TensorParameters| models(parameters).count();
        let experts = alike(tensors, WEIGHT.name, weights)?.unwrap_or(0);
        Ok(Case { elements: elements(tensors), experts, numbers: Vec::new() })
    }

    fn question(&self, case: &Case, answers: &[Answer]) -> Option<Question> {
        answers.is_empty().then_some(Question::Sums(2 * case.experts))
    }

    /// The squared norm of each F, then how many numbers of each are negative.
    fn sums(&self, _: &[Answer], parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<Vec<f64>, MergeError> {
        let models = models(parameters).count();
        let of_tiles = tiles.measure(|tile| {
            // granule by granule, so that it does not matter how large a tile is; counts have no order
            let mut granules = vec![vec![0.0; 2 * models]; tile.elements.div_ceil(GRANULE)];
            for model in 0..models {
                let information = tile.inputs[models + model];
                for (granule, dots) in granules.iter_mut().zip(dots(&information, &information)?) {
                    granule[model] = dots.aa;
                }
                granules[0][models + model] = decode(&information)?.iter().filter(|value| **value < 0.0).count() as f64;
            }
            Ok(granules)
        })?;
        Ok(sums(2 * models, of_tiles.into_iter().flatten()))
    }
}
