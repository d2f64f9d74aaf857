//! `ties_published`: TIES as its authors have it; what is trimmed of a task vector is decided over the whole model.
//!
//! Paper: "TIES-Merging: Resolving Interference When Merging Models" (arXiv 2306.01708).
//!
//! 1. *Trim*: of each δᵢ over all d elements of all tensors, those of the ⌊`density` · d⌋ + 1 largest magnitudes stay, and all that equal
//!    the smallest of these; as the authors' code takes the k-th smallest, k = d − ⌊`density` · d⌋, and keeps what is not below.
//! 2. *Elect*: the sign of Σ δᵢ of what stays, of one weight each. Where the sum is zero, the sign that more elements of the model
//!    have; + where neither has more, for which the authors' code keeps nothing.
//! 3. *Merge*: the mean of those δᵢ that are not zero and have that sign. θ = θ₀ + `lambda` · mean.
//!
//! mergekit's `ties` trims each tensor by itself, weighs the election, and takes zero as +. Sums are f32 in the order of the recipe.
//!
//! Class G: the threshold of each expert is an order statistic of the whole model, found exactly by histograms in rounds of a pass
//! over all inputs (three for up to three experts, four for up to 48), and one more pass counts the signs. Bytes: every input is read
//! once for each of these passes and once more, the output written once. Flops: about 5 an element, expert and pass.

use super::{
    BadValue, BaseRule, Class, Contract, Method, Parameter, Scope, TensorParameters,
    whole::{experts, known, sums},
};
use crate::{
    MergeError,
    plan::PlannedTensor,
    run::{Tile, Tiles},
    survey::{Answer, Case, MAGNITUDES, Question, Survey, alike, elements},
};
use braid_kernels::{Combine, Keep, KernelError, Source, TaskVector, TileTrim, sign_balance, task_vectors};

pub(super) struct TiesPublished;

const DENSITY: Parameter = Parameter::number("density", Scope::Expert, 0.2);
const LAMBDA: Parameter = Parameter::number("lambda", Scope::Shared, 1.0);

impl Method for TiesPublished {
    fn name(&self) -> &'static str {
        "ties_published"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[DENSITY, LAMBDA] }
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Required, min: 1, max: None }
    }

    fn class(&self) -> Class {
        Class::Global
    }

    fn check(&self, parameters: &TensorParameters) -> Result<(), BadValue> {
        for (input, _) in experts(parameters) {
            let density = parameters.inputs[input].number(&DENSITY);
            if !(0.0..=1.0).contains(&density) {
                let problem = format!("a density of {density} is no share of the elements");
                let hint = Some("a density lies between 0 (only the largest) and 1 (keep all)".to_owned());
                return Err(BadValue { parameter: DENSITY.name, input: Some(input), problem, hint });
            }
        }
        Ok(())
    }

    fn survey(&self) -> Option<&'static dyn Survey> {
        Some(&Self)
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        let Some([Answer::Ranks(_), Answer::Sums(_)]) = known(tiles)? else { return tiles.write(|_, _| Ok(())) };
        let base = parameters.base.unwrap_or(0);
        let trims = trims(tiles.answers());
        // where the sum is zero the kernel elects +: with all of it turned round, that is −
        let weight = if tiles.answers()[1].sums().first().is_some_and(|majority| *majority < 0.0) { -1.0 } else { 1.0 };
        let combine = Combine { elect_sign: true, normalize: true, lambda: parameters.shared.number(&LAMBDA) as f32 };
        tiles.write(|tile, mut out| {
            let term = |(theta, trim): (_, &TileTrim)| TaskVector { theta, keep: Keep::Trim(*trim), scale: 1.0, weight };
            let terms: Vec<TaskVector<'_>> = tile.others(base).into_iter().zip(&trims).map(term).collect();
            task_vectors(&tile.inputs[base], &terms, &combine, &mut out)
        })
    }
}

impl Survey for TiesPublished {
    fn case(&self, tensors: &[&PlannedTensor]) -> Result<Case, String> {
        let of =
            |parameters: &TensorParameters| experts(parameters).map(|(_, values)| values.number(&DENSITY)).collect::<Vec<f64>>();
        let densities = alike(tensors, DENSITY.name, of)?.unwrap_or_default();
        let elements = elements(tensors);
        let rank = |density: &f64| ((density * elements as f64) as u64).saturating_add(1).min(elements);
        Ok(Case { elements, experts: densities.len(), numbers: densities.iter().map(rank).collect() })
    }

    fn question(&self, case: &Case, answers: &[Answer]) -> Option<Question> {
        match answers.len() {
            0 => Some(Question::Ranks { ranks: case.numbers.iter().map(|rank| vec![*rank]).collect(), window: MAGNITUDES }),
            1 => Some(Question::Sums(1)),
            _ => None,
        }
    }

    fn source<'t>(
        &self,
        _: &[Answer],
        parameters: &TensorParameters,
        tile: &Tile<'t>,
        index: usize,
    ) -> Result<Source<'t>, KernelError> {
        let base = parameters.base.unwrap_or(0);
        let theta = *tile.others(base).get(index).ok_or(KernelError::Changed)?;
        Ok(Source::Difference { base: tile.inputs[base], theta })
    }

    fn sums(&self, answers: &[Answer], parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<Vec<f64>, MergeError> {
        let (base, trims) = (parameters.base.unwrap_or(0), trims(answers));
        let balances = tiles.measure(|tile| {
            let kept: Vec<_> = tile.others(base).into_iter().zip(trims.iter().copied()).collect();
            sign_balance(&tile.inputs[base], &kept)
        })?;
        // whole numbers, and far fewer than f64 counts
        Ok(sums(1, balances.into_iter().map(|balance| vec![balance as f64])))
    }
}

/// What stays of each expert in any tile.
fn trims(answers: &[Answer]) -> Vec<TileTrim> {
    let Some(Answer::Ranks(found)) = answers.first() else { return Vec::new() };
    let trim = |source: usize| answers[0].number(source, 0).unwrap_or(0);
    (0..found.len()).map(|source| TileTrim { threshold: trim(source), ties: u64::MAX }).collect()
}
