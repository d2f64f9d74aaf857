//! The family of methods that add weighted differences to a base: `task_arithmetic`, `ties`, `dare_linear`, `dare_ties`.
//!
//! They differ in which elements of a difference stay, in whether elements that disagree with the majority are left out, and in
//! two defaults. The formulas are in [`braid_kernels::task_vectors`]; this file turns densities into what stays of each tile.

use super::sparsify::{Sparsify, Vector};
use super::{BadValue, BaseRule, Class, Contract, Method, Parameter, Scope, TensorParameters};
use crate::{MergeError, run::Tiles};
use braid_kernels::{Combine, TaskVector, task_vectors};

/// One method of the family.
pub(super) struct TaskArithmetic {
    name: &'static str,
    sparsify: Sparsify,
    elect_sign: bool,
    parameters: &'static [Parameter; 6],
}

pub(super) static TASK_ARITHMETIC: TaskArithmetic = TaskArithmetic {
    name: "task_arithmetic",
    sparsify: Sparsify::Nothing,
    elect_sign: false,
    parameters: const { &schema(false, false) },
};

pub(super) static TIES: TaskArithmetic =
    TaskArithmetic { name: "ties", sparsify: Sparsify::Smallest, elect_sign: true, parameters: const { &schema(true, false) } };

pub(super) static DARE_LINEAR: TaskArithmetic = TaskArithmetic {
    name: "dare_linear",
    sparsify: Sparsify::Random,
    elect_sign: false,
    parameters: const { &schema(false, true) },
};

pub(super) static DARE_TIES: TaskArithmetic = TaskArithmetic {
    name: "dare_ties",
    sparsify: Sparsify::Random,
    elect_sign: true,
    parameters: const { &schema(false, true) },
};

const fn schema(normalize: bool, rescale: bool) -> [Parameter; 6] {
    [
        Parameter::required("weight", Scope::Expert),
        Parameter::number("density", Scope::Expert, 1.0),
        Parameter::number("lambda", Scope::Shared, 1.0),
        Parameter::flag("normalize", normalize),
        Parameter::flag("rescale", rescale),
        // only a matter of memory in mergekit, and of nothing here
        Parameter::flag("int8_mask", false),
    ]
}

impl Method for TaskArithmetic {
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
        match self.sparsify {
            Sparsify::Nothing => Class::Elementwise,
            Sparsify::Smallest | Sparsify::Random => Class::Tensor,
        }
    }

    fn check(&self, parameters: &TensorParameters) -> Result<(), BadValue> {
        let [_, density, ..] = self.parameters;
        for (input, values) in parameters.inputs.iter().enumerate() {
            let share = values.number(density);
            if self.sparsify != Sparsify::Nothing && !(0.0..=1.0).contains(&share) {
                let problem = format!("a density of {share} is no share of the elements");
                let hint = Some("a density lies between 0 (drop all) and 1 (keep all)".into());
                return Err(BadValue { parameter: density.name, input: Some(input), problem, hint });
            }
        }
        Ok(())
    }

    fn run(&self, parameters: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        let [weight, density, lambda, normalize, rescale, _] = self.parameters;
        let base = parameters.base.unwrap_or(0);
        let vectors: Vec<Vector> = parameters
            .inputs
            .iter()
            .zip(&parameters.identities)
            .enumerate()
            .filter(|(expert, _)| *expert != base)
            .map(|(expert, (values, identity))| Vector { expert, density: values.number(density), identity: *identity })
            .collect();
        let sparse = self.sparsify.prepare(tiles, base, &vectors, parameters.seed)?;
        let scales = if parameters.shared.flag(rescale) { sparse.rescale(tiles)? } else { vec![1.0; vectors.len()] };

        let weights: Vec<f32> = vectors.iter().map(|vector| parameters.inputs[vector.expert].number(weight) as f32).collect();
        let combine = Combine {
            elect_sign: self.elect_sign,
            normalize: parameters.shared.flag(normalize),
            lambda: parameters.shared.number(lambda) as f32,
        };
        tiles.write(|tile, mut out| {
            let sparse = vectors.iter().enumerate().map(|(index, vector)| TaskVector {
                theta: tile.inputs[vector.expert],
                keep: sparse.keep(tile, index),
                scale: scales[index],
                weight: weights[index],
            });
            task_vectors(&tile.inputs[base], &sparse.collect::<Vec<_>>(), &combine, &mut out)
        })
    }
}
