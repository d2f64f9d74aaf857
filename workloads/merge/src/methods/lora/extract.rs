//! `lora_extract`: what a model changed in its base, as an adapter.
//!
//! For each matrix, `Δ = θ − θ₀` is cut to its `rank` largest singular values by random projection (Halko, Martinsson and Tropp, 2011;
//! see [`random_svd`]), and these are shared out evenly: `B = U √S`, `A = √S Vᵀ`, `alpha = r`. At `rank` of the smaller side it is
//! exact to rounding. The report has, for every module and for all of them, `‖Δ − BA‖ / ‖Δ‖` of the factors as they are written.
//! Tensors that are no matrices of a module, and those with `rank: 0`, are kept whole (`modules_to_save`), or left out with
//! `save: false`.
//!
//! mergekit's `extract-lora` uses a full singular value decomposition, and keeps embeddings whole unless told otherwise; here they
//! get factors like all others. Class: whole tensors. Cost of an m × n matrix: reads both and writes r (m + n) elements;
//! 4 m n (r + oversample)(iterations + 1) operations.

use super::super::{
    BadValue, BaseRule, Case, Class, Contract, Folder, Joint, Made, Method, Parameter, Piece, Report, Scope, TensorParameters,
    Work,
    joint::{Matrices, input_first, module_of},
};
use super::{balanced, config, rank};
use crate::{
    MergeError,
    plan::PlannedTensor,
    run::{Room, Tiles},
};
use braid_kernels::linalg::{Dense, Sketch, multiply, random_svd};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(in super::super) struct LoraExtract;

const RANK: Parameter = Parameter::required("rank", Scope::Shared);
const OVERSAMPLE: Parameter = Parameter::number("oversample", Scope::Shared, 8.0);
const ITERATIONS: Parameter = Parameter::number("iterations", Scope::Shared, 4.0);
const SAVE: Parameter = Parameter::flag("save", true);

impl Method for LoraExtract {
    fn name(&self) -> &'static str {
        "lora_extract"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[RANK, OVERSAMPLE, ITERATIONS, SAVE] }
    }

    fn contract(&self) -> Contract {
        Contract { base: BaseRule::Required, min: 1, max: Some(1) }
    }

    fn class(&self) -> Class {
        Class::Tensor
    }

    fn check(&self, parameters: &TensorParameters) -> Result<(), BadValue> {
        for parameter in [&RANK, &OVERSAMPLE, &ITERATIONS] {
            rank(parameters, parameter, 0.0)?;
        }
        Ok(())
    }

    fn adds_to_base(&self) -> bool {
        false
    }

    fn joint(&self) -> Option<&'static dyn Joint> {
        Some(&Self)
    }

    fn run(&self, _: &TensorParameters, tiles: &Tiles<'_>) -> Result<(), MergeError> {
        Err(MergeError::Task(format!("{:?} is a factor, which is not made by itself", tiles.name())))
    }
}

impl Joint for LoraExtract {
    fn makes(&self) -> Folder {
        Folder::Adapter
    }

    fn arrange(&self, case: Case<'_>) -> Result<Vec<Piece>, String> {
        let turned = input_first(case.config);
        let pieces: Vec<Piece> = case.tensors.into_iter().filter_map(|tensor| piece(tensor, turned)).collect();
        if pieces.is_empty() { Err("no tensor of the models can be put into an adapter".into()) } else { Ok(pieces) }
    }

    fn report(&self, case: &Report<'_>) -> Vec<(String, Value)> {
        let sum = |key: &str| case.notes.iter().filter_map(|note| note[key].as_f64()).map(|norm| norm * norm).sum::<f64>();
        let total = ratio(sum("lost").sqrt(), sum("norm").sqrt());
        vec![
            (crate::adapter::CONFIG.into(), config::config(&Map::new(), case.base, input_first(case.config), case.tensors)),
            ("lora_extract.json".into(), json!({ "error": total, "modules": case.notes })),
        ]
    }
}

/// What becomes of a tensor; nothing, where it is left out.
fn piece(tensor: PlannedTensor, input_first: bool) -> Option<Piece> {
    if tensor.method.name() != LoraExtract.name() {
        return None;
    }
    let shared = &tensor.parameters.shared;
    let (rank, save) = (shared.number(&RANK) as u64, shared.flag(&SAVE));
    let base = tensor.parameters.base.unwrap_or(0);
    let model = if base == 0 { 1 } else { 0 };
    let module = module_of(&tensor.name).map(str::to_owned);
    let (Some(module), &[rows, cols], true) = (module, tensor.shape.as_slice(), rank > 0 && tensor.elements() > 0) else {
        let name = format!("{}{}", config::PREFIX, tensor.name);
        return save.then(|| Piece::Alone(tensor.copy_of(model, name)));
    };
    let turned = input_first || config::is_embedding(&module);
    let rank = rank.min(rows).min(cols);
    let (outputs, inputs) = if turned { (cols, rows) } else { (rows, cols) };
    let [a, b] = config::factor_names(&module);
    let made = |name, shape| Made { name, dtype: tensor.dtype, shape };
    let makes = vec![made(a, vec![rank, inputs]), made(b, vec![outputs, rank])];
    let sketch = Sketch {
        rank: rank as usize,
        oversample: shared.number(&OVERSAMPLE) as usize,
        iterations: shared.number(&ITERATIONS) as usize,
        key: key(tensor.parameters.seed, &tensor.name),
    };
    // both inputs, the pieces that one is read in, what is lost of the difference; or a whole decomposition
    let memory = rows.saturating_mul(cols).saturating_mul(8 * 4).saturating_add((rows + cols).saturating_mul(rank * 4 * 4));
    let work = Extract { module, base, model, turned, sketch };
    let (sources, parameters) = (tensor.sources, tensor.parameters);
    Some(Piece::Together { makes, sources, parameters, memory, work: Arc::new(work) })
}

/// Directions belong to the merge's seed and the tensor, whoever draws them.
fn key(seed: u64, tensor: &str) -> [u32; 2] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"lora_extract").update(&seed.to_le_bytes()).update(tensor.as_bytes());
    let hash = hasher.finalize();
    let (words, _) = hash.as_bytes().as_chunks::<4>();
    [u32::from_le_bytes(words[0]), u32::from_le_bytes(words[1])]
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// The factors of one module.
#[derive(Debug)]
struct Extract {
    module: String,
    base: usize,
    model: usize,
    turned: bool,
    sketch: Sketch,
}

impl Work for Extract {
    fn run(&self, room: &Room<'_>) -> Result<Value, MergeError> {
        let mut delta = room.matrix(self.model)?;
        let base = room.read(self.base)?;
        delta.data_mut().iter_mut().zip(&base).for_each(|(value, base)| *value -= base);
        drop(base);
        let svd = random_svd(&delta, &self.sketch).map_err(|error| room.refused(error))?;
        let (left, right) = balanced(svd);
        let (a, b) = if self.turned { (left.transposed(), right.transposed()) } else { (right, left) };
        room.write(0, a.data())?;
        room.write(1, b.data())?;
        // what a reader will make of them
        let (a_read, b_read) = (
            Dense::new(a.rows(), a.cols(), room.rounded(0, a.data())?),
            Dense::new(b.rows(), b.cols(), room.rounded(1, b.data())?),
        );
        let product = if self.turned { multiply(a_read.t(), b_read.t()) } else { multiply(b_read.view(), a_read.view()) };
        let norm = delta.norm_squared().sqrt();
        delta.data_mut().iter_mut().zip(product.data()).for_each(|(value, product)| *value -= product);
        let lost = delta.norm_squared().sqrt();
        let rank = self.sketch.rank;
        Ok(json!({ "module": self.module, "rank": rank, "norm": norm, "lost": lost, "error": ratio(lost, norm) }))
    }
}
