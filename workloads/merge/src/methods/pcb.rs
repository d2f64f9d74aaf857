//! `pcb`: parameter competition balancing; each change of a task counts as much as it is large and goes with those of the others.
//!
//! Paper: "Parameter Competition Balancing for Model Merging" (NeurIPS 2024, arXiv 2410.02396). Over all d elements of the model, for n
//! tasks: ãᵢ is |δᵢ| clamped to its quantiles at 1e-4 and 1 − 1e-4; within a task exp(n · m²), m = ãᵢ brought to 0 ..= 1; across tasks
//! tanh(δᵢ · Σ δⱼ); their product is the balance, of which the largest share `ratio` is brought to sᵢ in 0 ..= 1 and the rest is 0. θ = θ₀ +
//! `lambda` · Σ sᵢ·sgn(δᵢ)·ãᵢ / max(Σ sᵢ, 1e-12). The kernel is [`balanced`].
//!
//! Quantiles are order statistics at the places where the authors' code takes them: ⌊d·1e-4⌋, ⌊d·(1 − 1e-4) − 1⌋ and ⌊d·(1 − `ratio`)⌋ from
//! below. What differs: a task whose magnitudes or balances are all the same gives NaN there, and 0 for m or s here. The search for a
//! `lambda` of each task on validation data is not here.
//!
//! Class G: two order statistics of the magnitudes of each task, then two of its balances, each exact, by histograms in rounds of a
//! pass over all inputs (three or four for up to four tasks, twice). Bytes: every input is read once for each of these passes and once
//! more, the output written once. Flops: about 60 an element, task and pass over balances.

use super::{
    BadValue, BaseRule, Class, Contract, Method, Parameter, Scope, TensorParameters,
    whole::{experts, known},
};
use crate::{
    MergeError,
    plan::PlannedTensor,
    run::{Tile, Tiles},
    survey::{Answer, Case, MAGNITUDES, Question, Survey, alike, elements},
};
use braid_kernels::{Clamp, Contender, KernelError, Source, balanced, of_ordered, ordered};

pub(super) struct Pcb;

const RATIO: Parameter = Parameter::number("ratio", Scope::Shared, 0.1);
const LAMBDA: Parameter = Parameter::number("lambda", Scope::Shared, 1.0);

/// The share of the magnitudes that is clamped at either end.
const CLAMPED: f64 = 1e-4;

impl Method for Pcb {
    fn name(&self) -> &'static str {
        "pcb"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[RATIO, LAMBDA] }
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Required, min: 1, max: None }
    }

    fn class(&self) -> Class {
        Class::Global
    }

    fn check(&self, parameters: &TensorParameters) -> Result<(), BadValue> {
        let ratio = parameters.shared.number(&RATIO);
        if ratio > 0.0 && ratio <= 1.0 {
            return Ok(());
        }
        let problem = format!("{ratio} is no share of the balances");
        let hint = Some("it lies above 0 and is at most 1 (all)".to_owned());
        Err(BadValue { parameter: RATIO.name, input: None, problem, hint })
    }

    fn survey(&self) -> Option<&'static dyn Survey> {
        Some(&Self)
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        let Some([magnitudes, balances]) = known(tiles)? else { return tiles.write(|_, _| Ok(())) };
        let base = parameters.base.unwrap_or(0);
        let contender = |task: usize| Contender {
            clamp: clamp(magnitudes, task),
            floor: balances.number(task, 0).map_or(f32::NAN, of_ordered),
            most: balances.number(task, 1).map_or(f32::NAN, of_ordered),
        };
        let contenders: Vec<Contender> = (0..experts(parameters).count()).map(contender).collect();
        let lambda = parameters.shared.number(&LAMBDA) as f32;
        tiles.write(|tile, mut out| balanced(&tile.inputs[base], &tile.others(base), &contenders, lambda, &mut out))
    }
}

impl Survey for Pcb {
    fn case(&self, tensors: &[&PlannedTensor]) -> Result<Case, String> {
        let of = |parameters: &TensorParameters| (parameters.shared.number(&RATIO), experts(parameters).count());
        let (ratio, experts) = alike(tensors, RATIO.name, of)?.unwrap_or((1.0, 0));
        let elements = elements(tensors);
        let d = elements as f64;
        // from the place among all in rising order, which never lies outside of them, to the rank in falling order
        let rank = |place: f64| elements - (place.max(0.0) as u64).min(elements.saturating_sub(1));
        let numbers = [d * CLAMPED, d * (1.0 - CLAMPED) - 1.0, d * (1.0 - ratio)].map(rank).to_vec();
        Ok(Case { elements, experts, numbers })
    }

    fn question(&self, case: &Case, answers: &[Answer]) -> Option<Question> {
        let &[low, high, floor] = case.numbers.as_slice() else { return None };
        match answers.len() {
            0 => Some(Question::Ranks { ranks: vec![vec![low, high]; case.experts], window: MAGNITUDES }),
            1 => Some(Question::Ranks { ranks: vec![vec![floor, 1]; case.experts], window: ordered(0.0) + MAGNITUDES }),
            _ => None,
        }
    }

    fn source<'t>(
        &self,
        answers: &[Answer],
        parameters: &TensorParameters,
        tile: &Tile<'t>,
        index: usize,
    ) -> Result<Source<'t>, KernelError> {
        let base = parameters.base.unwrap_or(0);
        let experts = tile.others(base);
        match answers.first() {
            None => {
                let theta = *experts.get(index).ok_or(KernelError::Changed)?;
                Ok(Source::Difference { base: tile.inputs[base], theta })
            }
            Some(magnitudes) => {
                Ok(Source::Balance { base: tile.inputs[base], experts, own: index, clamp: clamp(magnitudes, index) })
            }
        }
    }
}

/// The range of a task's magnitudes.
fn clamp(magnitudes: &Answer, task: usize) -> Clamp {
    let bound = |rank| magnitudes.number(task, rank).map_or(f32::NAN, f32::from_bits);
    Clamp { low: bound(0), high: bound(1) }
}
