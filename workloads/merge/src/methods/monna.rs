//! `monna`: the mean of the models nearest to the base, whatever the others hold.
//!
//! Paper: "Robust Collaborative Learning with Linear Gradient Overhead" (ICML 2023), its nearest-neighbour averaging. Of n models, the base
//! among them, up to `faulty` may hold anything. The n − `faulty` whose distance to the base (L2, over all tensors) is least are averaged;
//! the base's own is zero, and of equal distances the one listed first is nearer.
//!
//! What differs from the released code: it averages gradients of workers in each step of a training, around the worker's own; this, models
//! around `base_model`. A distance that is not a number breaks its order; here a model with such a distance, or an infinite one, is
//! farther than any other, and more of them than `faulty` are an error. Of an honest majority the mean is near whatever the others are;
//! the base must be honest.
//!
//! Class G. Bytes: every input is read twice, the output written once. Flops: about 3 an element and model.

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
use braid_kernels::{Selected, Slice, energies, linear};

pub(super) struct Monna;

const FAULTY: Parameter = Parameter::required("faulty", Scope::Shared);

impl Method for Monna {
    fn name(&self) -> &'static str {
        "monna"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[FAULTY] }
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Required, min: 1, max: None }
    }

    fn class(&self) -> Class {
        Class::Global
    }

    fn check(&self, parameters: &TensorParameters) -> Result<(), BadValue> {
        let (faulty, models) = (parameters.shared.number(&FAULTY), parameters.inputs.len());
        if faulty.fract() == 0.0 && faulty >= 0.0 && faulty < models as f64 {
            return Ok(());
        }
        let problem = format!("{faulty} is no number of models, of {models}, that may be faulty");
        let hint = Some("a whole number below that of all models, the base among them".to_owned());
        Err(BadValue { parameter: FAULTY.name, input: None, problem, hint })
    }

    fn survey(&self) -> Option<&'static dyn Survey> {
        Some(&Self)
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        let Some([squares]) = known(tiles)? else { return tiles.write(|_, _| Ok(())) };
        let base = parameters.base.unwrap_or(0);
        let kept = parameters.inputs.len().saturating_sub(parameters.shared.number(&FAULTY) as usize);
        let nearest = nearest(&squares.sums(), kept.saturating_sub(1)).map_err(|strange| {
            let (faulty, honest) = (parameters.inputs.len() - kept, parameters.inputs.len() - strange);
            MethodError::NotFinite { strange, faulty, honest }
        })?;
        // the distances are those of all inputs but the base
        let chosen: Vec<usize> = (0..parameters.inputs.len())
            .filter(|&input| input == base || nearest.contains(&(input - usize::from(input > base))))
            .collect();
        let weights = vec![1.0; chosen.len()];
        tiles.write(|tile, mut out| {
            let inputs: Vec<Slice<'_>> = chosen.iter().map(|input| tile.inputs[*input]).collect();
            linear(&inputs, &weights, chosen.len() as f32, &mut out)
        })
    }
}

impl Survey for Monna {
    fn case(&self, tensors: &[&PlannedTensor]) -> Result<Case, String> {
        let of = |parameters: &TensorParameters| (parameters.shared.number(&FAULTY), parameters.inputs.len());
        let (_, models) = alike(tensors, FAULTY.name, of)?.unwrap_or_default();
        Ok(Case { elements: elements(tensors), experts: models.saturating_sub(1), numbers: Vec::new() })
    }

    fn question(&self, case: &Case, answers: &[Answer]) -> Option<Question> {
        answers.is_empty().then_some(Question::Sums(case.experts))
    }

    fn sums(&self, _: &[Answer], parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<Vec<f64>, MergeError> {
        let base = parameters.base.unwrap_or(0);
        let squares = tiles.measure(|tile| energies(&tile.inputs[base], &tile.others(base), Selected::All))?;
        Ok(sums(parameters.inputs.len().saturating_sub(1), squares.into_iter().flatten()))
    }
}

/// Which of these are the `count` smallest, the first of equals before the others.
///
/// # Errors
/// Fewer are finite; so many are not.
fn nearest(squares: &[f64], count: usize) -> Result<Vec<usize>, usize> {
    let mut finite: Vec<usize> = (0..squares.len()).filter(|index| squares[*index].is_finite()).collect();
    if finite.len() < count {
        return Err(squares.len() - finite.len());
    }
    finite.sort_by(|a, b| squares[*a].total_cmp(&squares[*b]));
    finite.truncate(count);
    Ok(finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_are_chosen_and_the_first_of_equals() {
        for (squares, count, expected) in [
            (&[3.0, 1.0, 2.0][..], 2, Ok(vec![1, 2])),
            (&[2.0, 2.0, 2.0], 2, Ok(vec![0, 1])),
            (&[f64::NAN, 9.0, f64::INFINITY, 4.0], 2, Ok(vec![3, 1])),
            (&[f64::NAN, 9.0, f64::INFINITY, 4.0], 3, Err(2)),
            (&[1.0], 0, Ok(vec![])),
        ] {
            assert_eq!(nearest(squares, count), expected, "{squares:?}");
        }
    }
}
