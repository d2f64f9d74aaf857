//! `lora_merge`: several adapters of one base as one adapter.
//!
//! With `Δᵢ = sᵢ Bᵢ Aᵢ`, the output's product is `Σ weightᵢ Δᵢ`, exactly: `A = [A₁; A₂; …]`, `B = [w₁s₁B₁, w₂s₂B₂, …]`, whose rank is
//! the sum of the ranks. Where `rank` is smaller than that, the product is cut to its `rank` largest singular values (Eckart and
//! Young), found by QR of both factors and the values of a core as large as the sum of the ranks; the report says what was lost.
//!
//! This is what PEFT's `add_weighted_adapter` does as `cat` and `svd`. Its `linear`, which adds the factors and so makes products
//! of one adapter's `A` with another's `B`, is not offered. Cost of a module: reads and writes the factors; 4 (m + n) R² operations for
//! the sum of ranks R. Class: whole tensors, modules by themselves.

use super::super::{
    AdaptedModule, BadValue, BaseRule, Case, Class, Contract, Folder, Joint, Method, Parameter, Piece, Report, Scope,
    TensorParameters, Work, joint::Matrices,
};
use super::{balanced, config, factors_piece, rank, sides};
use crate::{
    MergeError,
    run::{Room, Tiles},
};
use braid_kernels::linalg::{Dense, svd_of_product};
use serde_json::{Value, json};
use std::sync::Arc;

pub(in super::super) struct LoraMerge;

const WEIGHT: Parameter = Parameter::number("weight", Scope::Input, 1.0);
const RANK: Parameter = Parameter::optional("rank", Scope::Shared);

impl Method for LoraMerge {
    fn name(&self) -> &'static str {
        "lora_merge"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[WEIGHT, RANK] }
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Unused, min: 1, max: None }
    }

    fn class(&self) -> Class {
        Class::Tensor
    }

    fn check(&self, parameters: &TensorParameters) -> Result<(), BadValue> {
        rank(parameters, &RANK, 1.0).map(drop)
    }

    fn joint(&self) -> Option<&'static dyn Joint> {
        Some(&Self)
    }

    fn run(&self, _: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        Err(MergeError::Task(format!("{:?} is a factor, which is not made by itself", tiles.name())))
    }
}

impl Joint for LoraMerge {
    fn takes(&self) -> Folder {
        Folder::Adapter
    }

    fn makes(&self) -> Folder {
        Folder::Adapter
    }

    fn arrange(&self, case: Case<'_>) -> Result<Vec<Piece>, String> {
        Ok(case.modules.into_iter().map(piece).collect())
    }

    fn report(&self, case: &Report<'_>) -> Vec<(String, Value)> {
        // an input's own flag: all inputs have their factors alike, or the plan would have refused them
        let turned = case.config.get("fan_in_fan_out").and_then(Value::as_bool).unwrap_or(false);
        vec![
            (crate::adapter::CONFIG.into(), config::config(case.config, None, turned, case.tensors)),
            ("lora_merge.json".into(), json!({ "modules": case.notes })),
        ]
    }
}

fn piece(module: AdaptedModule) -> Piece {
    let AdaptedModule { name, inputs, parameters, .. } = &module;
    let total: u64 = inputs.iter().map(|(_, _, factors)| factors.rank).sum();
    let (rows, cols) = sides(&module);
    let wanted = parameters.shared.given(&RANK).map_or(total, |rank| (rank as u64).min(total).min(rows).min(cols));
    let terms = inputs.iter().map(|(input, _, factors)| {
        let weight = parameters.inputs.get(*input).map_or(1.0, |values| values.number(&WEIGHT));
        (weight * factors.scale) as f32
    });
    let rank = (wanted < total).then_some(wanted as usize);
    let work = MergeFactors { module: name.clone(), terms: terms.collect(), rank };
    factors_piece(module, wanted, Arc::new(work))
}

/// The factors of one module. Its sources are `A` and `B` of each input that has it.
#[derive(Debug)]
struct MergeFactors {
    module: String,
    /// The weight of each product, its scale included.
    terms: Vec<f32>,
    /// The rank to cut to.
    rank: Option<usize>,
}

impl Work for MergeFactors {
    fn run(&self, room: &Room<'_>) -> Result<Value, MergeError> {
        let mut a_rows: Vec<f32> = Vec::new();
        let mut columns: Vec<Dense> = Vec::new();
        let mut cols = 0;
        for (input, scale) in self.terms.iter().enumerate() {
            let (a, mut b) = (room.matrix(2 * input)?, room.matrix(2 * input + 1)?);
            b.data_mut().iter_mut().for_each(|value| *value *= scale);
            cols = a.cols();
            a_rows.extend(a.into_data());
            columns.push(b);
        }
        let rows = columns.first().map_or(0, Dense::rows);
        let b: Vec<f32> = (0..rows).flat_map(|row| columns.iter().flat_map(move |b| b.row(row).iter().copied())).collect();
        let total: usize = columns.iter().map(Dense::cols).sum();
        let (a, b) = (Dense::new(total, cols, a_rows), Dense::new(rows, total, b));
        let mut note = json!({ "module": self.module, "rank": total, "error": 0.0 });
        let (a, b) = match self.rank {
            None => (a, b),
            Some(rank) => {
                let svd = svd_of_product(&b, &a).map_err(|error| room.refused(error))?;
                let squares = |values: &[f32]| values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
                let (all, lost) = (squares(&svd.values), squares(&svd.values[rank.min(svd.values.len())..]));
                note = json!({ "module": self.module, "rank": rank, "error": if all > 0.0 { (lost / all).sqrt() } else { 0.0 } });
                let (b, a) = balanced(svd.truncated(rank));
                (a, b)
            }
        };
        room.write(0, a.data())?;
        room.write(1, b.data())?;
        Ok(note)
    }
}
