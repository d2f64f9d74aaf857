//! The part of a recipe that makes one tensor, as a digest: all that decides its bytes but the bytes of its inputs.
//!
//! That is the method, its parameters for this tensor, types and shape, the seed, what was found out about whole models, the
//! adapters and scales through which the inputs are read, the rows that a vocabulary picks, and the version of Braid. It is not the number of a model (but where rows of several models make one source), its path, or anything that the
//! recipe says about other tensors.

use crate::{
    MergeError,
    opened::Opened,
    plan::{PlannedTensor, RowMap, Source},
    survey::Answer,
};
use blake3::Hash;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The part of tensor `index` of the plan, which must be one.
///
/// # Errors
/// The factors of an adapter that cannot be read.
pub(crate) fn part(opened: &Opened, index: usize, answers: &[Answer]) -> Result<Hash, MergeError> {
    let plan = &opened.plan;
    let Some(tensor) = plan.tensors.get(index) else {
        return Err(MergeError::Task(format!("there is no tensor {index}")));
    };
    let asked = if tensor.is_merged_by(plan.method) { answers } else { &[] };
    let mut value = json!({
        "braid": env!("CARGO_PKG_VERSION"),
        "tensor": of_tensor(opened, tensor)?,
        "answers": asked,
    });
    if let (Some(piece), Some(fields)) = (plan.piece_of(index), value.as_object_mut()) {
        // What a piece of work does is made of headers and configs too.
        let together = plan.tensors.get(piece.tensors.clone()).unwrap_or_default();
        let models: BTreeSet<usize> = together.iter().flat_map(|tensor| &tensor.sources).map(|source| source.model).collect();
        let digest = |model: usize| opened.checkpoints.get(model).map(|checkpoint| checkpoint.digest.to_string());
        let headers: Vec<Option<String>> = models.into_iter().chain([plan.donor]).map(digest).collect();
        let names: Vec<&str> = together.iter().map(|tensor| tensor.name.as_str()).collect();
        fields.insert("piece".into(), json!({ "headers": headers, "tensors": names }));
        if opened.recipe.mixture.is_some() {
            // Gates are made of prompts, which only the whole plan knows.
            fields.insert("plan".into(), opened.record.plan.as_str().into());
        }
    }
    Ok(blake3::hash(value.to_string().as_bytes()))
}

fn of_tensor(opened: &Opened, tensor: &PlannedTensor) -> Result<Value, MergeError> {
    let mut value = tensor.canonical();
    let source = |source: &Source| {
        let mut fields = vec![json!(source.tensor), json!(source.dtype.name()), json!(lens(opened, source)?)];
        // only where there are some: the parts of all other tensors stay what they were
        fields.extend(source.rows.as_deref().map(RowMap::canonical));
        Ok(Value::Array(fields))
    };
    let sources = tensor.sources.iter().map(source).collect::<Result<Vec<Value>, MergeError>>()?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("sources".into(), sources.into());
    }
    Ok(value)
}

/// The digest of what a source is read through: the factors of an adapter, or the scales of eight-bit floats.
fn lens(opened: &Opened, source: &Source) -> Result<Option<String>, MergeError> {
    let Some(checkpoint) = opened.checkpoints.get(source.model) else { return Ok(None) };
    let open = |file: usize| {
        let path =
            checkpoint.files.get(file).ok_or_else(|| MergeError::Task(format!("model {} has no file {file}", source.model)))?;
        opened.files.get(path)
    };
    let digest = match (opened.fold(source), checkpoint.scales.get(&source.tensor)) {
        (Some(fold), _) => fold.factors.digest(&*open(fold.file)?)?,
        (None, Some(scales)) => scales.digest(&*open(scales.info.file)?)?,
        (None, None) => return Ok(None),
    };
    Ok(Some(digest.to_string()))
}
