//! What the plan needs to know of a checkpoint: names, types, shapes and `config.json`. No bytes of tensors, no files.

use crate::{adapter::Parts, tokenizer::TokenizerFile};
use braid_kernels::Dtype;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, sync::Arc};

/// A checkpoint as its headers describe it.
#[derive(Debug, Clone, Default)]
pub struct ModelHeader {
    /// Its `config.json`.
    pub config: Map<String, Value>,
    /// Its tensors by name.
    pub tensors: BTreeMap<String, TensorHeader>,
    /// The types that tensors are taken to have which are stored in another one, by name.
    pub becomes: BTreeMap<String, Dtype>,
    /// The bytes that are read for tensors that are computed as they are read, by name.
    pub computed: BTreeMap<String, u64>,
    /// Its tokenizer, where the recipe brings vocabularies together and it has one.
    pub tokenizer: Option<Arc<TokenizerFile>>,
    /// What these are, where it is an adapter.
    pub(crate) parts: Parts,
}

impl ModelHeader {
    /// The type that a tensor is taken to have.
    pub(super) fn taken(&self, tensor: &str) -> Option<Dtype> {
        let stored = self.tensors.get(tensor)?.dtype;
        Some(self.becomes.get(tensor).copied().unwrap_or(stored))
    }
}

/// A tensor as a header describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorHeader {
    /// The element type.
    pub dtype: Dtype,
    /// The lengths of its axes, outermost first.
    pub shape: Vec<u64>,
}

impl TensorHeader {
    /// The number of elements, if that can be counted.
    pub fn elements(&self) -> Option<u64> {
        elements(&self.shape)
    }
}

/// The number of elements of a shape, if it fits.
pub(super) fn elements(shape: &[u64]) -> Option<u64> {
    shape.iter().try_fold(1u64, |product, length| product.checked_mul(*length))
}
