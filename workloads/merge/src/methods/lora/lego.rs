//! `lora_lego`: adapters taken apart into ranks, which are grouped, and put together again with a rank for each group.
//!
//! Paper: "Merging LoRAs like Playing LEGO" (ICLR 2025, arXiv 2409.16167). A rank of an adapter is a row of `A` and a column of `B`, the scale of the
//! adapter in the latter. The ranks of all inputs, as vectors [a; b], are grouped by k-means into `rank` groups, and each mean is a rank of
//! the result. The mean of vectors is shorter than they are: with `reweight_parameters` it is brought to their mean length. A sum of k
//! ranks varies less than one of r: with `reweight_output` it is scaled by √(r/k), r being the mean rank of the inputs.
//!
//! There is no released code; the form of both reweightings is this reading of the paper. The halves a and b are taken as they are, and
//! where they differ much in length the longer one decides the groups. Where groups fall together the result has fewer ranks that are not zero.
//!
//! Class: modules by themselves. Bytes: reads and writes the factors. Flops: 3 R k (m + n) a step for R ranks in all. The groups depend on
//! `--random-seed` and the name of the module alone.

use super::super::{
    AdaptedModule, BadValue, BaseRule, Case, Class, Contract, Folder, Joint, Method, Parameter, Piece, Report, Scope,
    TensorParameters, Work, joint::Matrices,
};
use super::{config, factors_piece, rank};
use crate::{
    MergeError,
    run::{Room, Tiles},
};
use braid_kernels::linalg::{Clusters, Dense, cluster};
use serde_json::{Value, json};
use std::sync::Arc;

pub(in super::super) struct LoraLego;

const RANK: Parameter = Parameter::optional("rank", Scope::Shared);
const STEPS: Parameter = Parameter::number("steps", Scope::Shared, 100.0);
const PARAMETERS: Parameter = Parameter::flag("reweight_parameters", true);
const OUTPUT: Parameter = Parameter::flag("reweight_output", true);

/// More steps than any search takes.
const MOST_STEPS: f64 = 100_000.0;

impl Method for LoraLego {
    fn name(&self) -> &'static str {
        "lora_lego"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[RANK, STEPS, PARAMETERS, OUTPUT] }
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Unused, min: 1, max: None }
    }

    fn class(&self) -> Class {
        Class::Tensor
    }

    fn check(&self, parameters: &TensorParameters) -> Result<(), BadValue> {
        rank(parameters, &RANK, 1.0)?;
        let steps = parameters.shared.number(&STEPS);
        if steps.fract() == 0.0 && (0.0..=MOST_STEPS).contains(&steps) {
            return Ok(());
        }
        let problem = format!("{steps} is no number of steps from 0 to {MOST_STEPS}");
        Err(BadValue { parameter: STEPS.name, input: None, problem, hint: None })
    }

    fn joint(&self) -> Option<&'static dyn Joint> {
        Some(&Self)
    }

    fn run(&self, _: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        Err(MergeError::Task(format!("{:?} is a factor, which is not made by itself", tiles.name())))
    }
}

impl Joint for LoraLego {
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
        let turned = case.config.get("fan_in_fan_out").and_then(Value::as_bool).unwrap_or(false);
        vec![
            (crate::adapter::CONFIG.into(), config::config(case.config, None, turned, case.tensors)),
            ("lora_lego.json".into(), json!({ "modules": case.notes })),
        ]
    }
}

fn piece(module: AdaptedModule) -> Piece {
    let ranks: Vec<u64> = module.inputs.iter().map(|(_, _, factors)| factors.rank).collect();
    let (total, largest) = (ranks.iter().sum::<u64>(), ranks.iter().copied().max().unwrap_or(1));
    let wanted = module.parameters.shared.given(&RANK).map_or(largest, |rank| rank as u64).min(total).max(1);
    let work = Lego {
        module: module.name.clone(),
        scales: module.inputs.iter().map(|(_, _, factors)| factors.scale as f32).collect(),
        rank: wanted as usize,
        mean_rank: total as f64 / ranks.len().max(1) as f64,
        parameters: module.parameters.clone(),
    };
    factors_piece(module, wanted, Arc::new(work))
}

/// The factors of one module. Its sources are `A` and `B` of each input that has it.
#[derive(Debug)]
struct Lego {
    module: String,
    /// The scale of each product.
    scales: Vec<f32>,
    /// The rank of the result.
    rank: usize,
    /// That of the inputs.
    mean_rank: f64,
    parameters: TensorParameters,
}

impl Work for Lego {
    fn run(&self, room: &Room<'_>) -> Result<Value, MergeError> {
        let mut ranks: Vec<f32> = Vec::new();
        let (mut cols, mut rows) = (0, 0);
        for (input, scale) in self.scales.iter().enumerate() {
            let (a, b) = (room.matrix(2 * input)?, room.matrix(2 * input + 1)?);
            (cols, rows) = (a.cols(), b.rows());
            let columns = b.transposed();
            for rank in 0..a.rows() {
                ranks.extend(a.row(rank));
                ranks.extend(columns.row(rank).iter().map(|value| value * scale));
            }
        }
        let total = ranks.len().checked_div(cols + rows).unwrap_or(0);
        let ranks = Dense::new(total, cols + rows, ranks);
        let (shared, seed) = (&self.parameters.shared, self.seed());
        let Clusters { mut centroids, group } = cluster(&ranks, self.rank, seed, shared.number(&STEPS) as usize);
        if shared.flag(&PARAMETERS) {
            lengthen(&mut centroids, &ranks, &group);
        }
        let found = centroids.rows();
        let output = if shared.flag(&OUTPUT) { (self.mean_rank / found.max(1) as f64).sqrt() as f32 } else { 1.0 };
        // groups that fell together leave ranks of zeros
        let (mut a, mut b) = (Dense::zeros(self.rank, cols), Dense::zeros(rows, self.rank));
        for rank in 0..found {
            let (row, column) = centroids.row(rank).split_at(cols);
            a.row_mut(rank).copy_from_slice(row);
            (0..rows).zip(column).for_each(|(row, value)| b.row_mut(row)[rank] = value * output);
        }
        room.write(0, a.data())?;
        room.write(1, b.data())?;
        Ok(json!({ "module": self.module, "ranks": total, "groups": found }))
    }
}

impl Lego {
    /// Of the merge's seed and the module's name.
    fn seed(&self) -> u64 {
        let hash = blake3::hash(&[self.parameters.seed.to_le_bytes().as_slice(), self.module.as_bytes()].concat());
        hash.as_bytes().iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
    }
}

/// Brings each mean to the mean length of its members.
fn lengthen(centroids: &mut Dense, ranks: &Dense, group: &[usize]) {
    let length = |row: &[f32]| row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    for number in 0..centroids.rows() {
        let members: Vec<f64> =
            (0..ranks.rows()).filter(|rank| group[*rank] == number).map(|rank| length(ranks.row(rank))).collect();
        let (own, mean) = (length(centroids.row(number)), members.iter().sum::<f64>() / members.len().max(1) as f64);
        if own > 0.0 && members.len() > 1 {
            let factor = (mean / own) as f32;
            centroids.row_mut(number).iter_mut().for_each(|value| *value *= factor);
        }
    }
}
