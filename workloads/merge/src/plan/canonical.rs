//! A plan as data: all that decides the output's bytes, in a fixed form, and a summary for people.

use super::{MergePlan, PlannedTensor, Source};
use crate::methods::{Scalar, Values};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Changes when the same plan would give other bytes, because the arithmetic of some method has changed.
const ARITHMETIC: u32 = 1;

/// What a merge will do, for `--dry-run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The method.
    pub method: &'static str,
    /// The models, as folders.
    pub models: Vec<String>,
    /// The model that gives config and tokenizer.
    pub donor: String,
    /// The output's tensors.
    pub tensors: usize,
    /// The output's elements.
    pub parameters: u64,
    /// The types of the output's tensors.
    pub dtypes: Vec<&'static str>,
    /// The bytes of all sources, each counted as often as it is used.
    pub bytes_in: u64,
    /// The bytes that are read: some methods read their sources more than once.
    pub bytes_read: u64,
    /// The bytes of all tensors of the output.
    pub bytes_out: u64,
    /// The tokens of the output and the rows of its embeddings, where vocabularies are brought together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<(u64, u64)>,
}

impl MergePlan {
    /// All that decides the bytes of the output's tensors but the bytes of the inputs. Models are numbers here: who compares
    /// two plans compares what the numbers stand for too.
    pub fn canonical(&self) -> Value {
        json!({
            "arithmetic": ARITHMETIC,
            "tensors": self.tensors.iter().map(PlannedTensor::canonical).collect::<Vec<_>>(),
        })
    }

    /// What the merge will do.
    pub fn summary(&self) -> Summary {
        let folder = |index: usize| self.models.get(index).map_or_else(String::new, |path| path.display().to_string());
        let sum =
            |count: fn(&PlannedTensor) -> u64| self.tensors.iter().fold(0, |sum: u64, tensor| sum.saturating_add(count(tensor)));
        let dtypes: BTreeSet<&str> = self.tensors.iter().map(|tensor| tensor.dtype.name()).collect();
        Summary {
            method: self.method.name(),
            models: (0..self.models.len()).map(folder).collect(),
            donor: folder(self.donor),
            tensors: self.tensors.len(),
            parameters: sum(PlannedTensor::elements),
            dtypes: dtypes.into_iter().collect(),
            bytes_in: sum(PlannedTensor::bytes_in),
            bytes_read: self.bytes_read(),
            bytes_out: sum(PlannedTensor::bytes_out),
            vocabulary: self.vocabulary.as_ref().map(|vocabulary| (vocabulary.tokens, vocabulary.rows)),
        }
    }
}

impl MergePlan {
    /// The bytes that a merge reads, told beforehand: see [`Reads`](crate::methods::Reads).
    fn bytes_read(&self) -> u64 {
        let surveyed = |tensor: &PlannedTensor| match (self.method.survey(), &self.survey) {
            (Some(survey), Some(case)) if tensor.is_merged_by(self.method) => {
                tensor.bytes_in().saturating_add(tensor.bytes_ahead()).saturating_mul(survey.reads(case))
            }
            _ => 0,
        };
        let one = |(index, tensor): (usize, &PlannedTensor)| {
            let together = self.pieces.iter().any(|piece| piece.tensors.contains(&index));
            // a piece reads every source once, and the base once more to add only a part of what it made
            let own = if together { tensor.bytes_in() } else { tensor.method.reads(tensor).bytes(tensor) };
            let base = tensor.parameters.scaling.and(tensor.parameters.base).filter(|_| together);
            let base = base.and_then(|base| tensor.sources.get(base));
            let again = base.map_or(0, Source::bytes);
            // the tensors of a piece share their sources
            let ahead = if together && tensor.bytes_in() == 0 { 0 } else { tensor.bytes_ahead() };
            own.saturating_add(ahead).saturating_add(again).saturating_add(surveyed(tensor))
        };
        self.tensors.iter().enumerate().map(one).fold(0, u64::saturating_add)
    }
}

impl PlannedTensor {
    /// All that decides the bytes of this tensor but the bytes of its sources.
    pub fn canonical(&self) -> Value {
        let source = |source: &Source| match &source.rows {
            None => json!([source.model, source.tensor, source.dtype.name()]),
            Some(rows) => json!([source.model, source.tensor, source.dtype.name(), rows.canonical()]),
        };
        let sources: Vec<Value> = self.sources.iter().map(source).collect();
        let parameters = &self.parameters;
        let mut value = json!({
            "name": self.name,
            "dtype": self.dtype.name(),
            "shape": self.shape,
            "sources": sources,
            "method": self.method.name(),
            "base": parameters.base,
            "seed": parameters.seed,
            "identities": parameters.identities,
            "shared": values(&parameters.shared),
            "inputs": parameters.inputs.iter().map(values).collect::<Vec<_>>(),
        });
        // only where there is one: the digests of all other plans stay what they were
        if let (Some(factor), Some(fields)) = (parameters.scaling, value.as_object_mut()) {
            fields.insert("scaling".into(), factor.into());
        }
        value
    }
}

fn values(values: &Values) -> Value {
    let value = |scalar| match scalar {
        Scalar::Number(number) => Value::from(number),
        Scalar::Flag(flag) => Value::from(flag),
    };
    values.iter().map(|(name, scalar)| (name.to_owned(), value(scalar))).collect::<serde_json::Map<_, _>>().into()
}
