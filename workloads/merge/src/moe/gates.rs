//! Rows of gates: drawn, or made of embeddings of prompts. Pure but for the writing, which is a piece of work without sources.

use crate::{MergeError, methods::Work, run::Room};
use braid_kernels::{
    MaskKey,
    linalg::{Dense, svd},
    normal, philox4x32, uniform,
};
use serde_json::Value;
use std::sync::Arc;

/// The rows of the experts, then those of the shared ones, each of the length of the model's hidden states.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gates {
    /// One row for each expert.
    pub(crate) experts: Arc<Vec<Vec<f32>>>,
    /// One for each shared expert that has prompts.
    pub(crate) shared: Arc<Vec<Vec<f32>>>,
}

impl Gates {
    /// All bytes, for a digest.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.experts.iter().chain(self.shared.iter()).flatten().flat_map(|value| value.to_le_bytes()).collect()
    }
}

/// The unit vector along a sum of embeddings, less that along another one: each divided by its length, and what is left again.
///
/// # Errors
/// A vector without a direction, as the rest of a sentence that begins with the prompts.
pub(crate) fn direction(positive: &[f64], negative: Option<&[f64]>) -> Result<Vec<f32>, &'static str> {
    let mut row = unit(positive).ok_or("have no embeddings: their tokens are none, or all zero")?;
    if let Some(negative) = negative {
        let negative = unit(negative).ok_or("have no embeddings: the tokens of the negative ones are none, or all zero")?;
        row.iter_mut().zip(&negative).for_each(|(value, less)| *value -= less);
        row = unit(&row).ok_or("cancel each other: the positive and the negative ones mean the same")?;
    }
    Ok(row.into_iter().map(|value| value as f32).collect())
}

/// mergekit's floor under a length.
const SHORTEST: f64 = 1e-8;

fn unit(vector: &[f64]) -> Option<Vec<f64>> {
    let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
    (length >= SHORTEST).then(|| vector.iter().map(|value| value / length).collect())
}

/// How far the rows are from being one and the same: the largest singular value divided by the smallest.
pub(crate) fn condition(gates: &Gates) -> Option<f32> {
    let rows: Vec<&Vec<f32>> = gates.experts.iter().chain(gates.shared.iter()).collect();
    let cols = rows.first()?.len();
    let matrix = Dense::new(rows.len(), cols, rows.into_iter().flatten().copied().collect());
    let values = svd(&matrix).ok()?.values;
    Some(values.first()? / values.last()?)
}

/// What a tensor without sources is filled with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fill {
    /// Zeros.
    Zeros,
    /// Standard normal numbers, each decided by the seed, the tensor's name and its place.
    Normal(MaskKey),
    /// Numbers from −bound to bound, decided alike.
    Uniform(MaskKey, f64),
    /// These rows.
    Rows(Arc<Vec<Vec<f32>>>),
}

/// Writing one such tensor.
#[derive(Debug, Clone)]
pub(crate) struct Filled {
    pub(crate) fill: Fill,
    pub(crate) elements: u64,
}

impl Filled {
    fn values(&self) -> Vec<f32> {
        let each = |of: &dyn Fn(u64) -> f32| (0..self.elements).map(of).collect();
        match &self.fill {
            Fill::Zeros => each(&|_| 0.0),
            Fill::Normal(key) => each(&|element| normal(key.words(), [element, 0])),
            Fill::Uniform(key, bound) => each(&|element| {
                let [word, ..] = philox4x32([element as u32, (element >> 32) as u32, 0, 0], key.words());
                ((2.0 * uniform(word) - 1.0) * bound) as f32
            }),
            Fill::Rows(rows) => rows.concat(),
        }
    }
}

impl Work for Filled {
    fn run(&self, room: &Room<'_>) -> Result<Value, MergeError> {
        room.write(0, &self.values())?;
        Ok(Value::Null)
    }
}
