//! From what a pickle describes to the tensors of a state dict, each a run of bytes of a storage. Pure.

use super::{
    TorchProblem,
    pickle::{Object, Pickle, Value},
};
use crate::checkpoint::header::HeaderTensor;
use braid_kernels::Dtype;
use std::collections::HashSet;

/// The key under which training programs wrap a state dict.
const WRAPPER: &str = "state_dict";

/// A tensor before its storage has been found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    name: String,
    dtype: Dtype,
    shape: Vec<u64>,
    /// The elements of the storage before its first.
    skipped: u64,
    elements: u64,
    /// The name of the storage.
    pub(super) storage: String,
}

/// The tensors that a pickle describes, in its order.
pub(super) fn tensors(pickle: &Pickle) -> Result<Vec<Described>, TorchProblem> {
    let mut entries = dict(pickle, pickle.result)?;
    if let [(key, inner)] = entries
        && pickle.text(*key) == Some(WRAPPER)
    {
        entries = dict(pickle, *inner)?;
    }
    let mut names = HashSet::with_capacity(entries.len());
    let mut tensors = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let Some(name) = pickle.text(*key) else {
            return Err(TorchProblem::NoStateDict { found: format!("a dict with the key {}", pickle.describe(*key)) });
        };
        if !names.insert(name) {
            return Err(TorchProblem::Tensor { tensor: name.to_owned(), problem: "is named twice".into() });
        }
        let Some(Object::Tensor(tensor)) = pickle.object(*value) else {
            let found = format!("{} under {name:?}", pickle.describe(*value));
            return Err(TorchProblem::NoStateDict { found });
        };
        let refuse = |problem: String| TorchProblem::Tensor { tensor: name.to_owned(), problem };
        let dtype = tensor.dtype.or(tensor.storage.dtype).ok_or_else(|| refuse("has a storage without a type".into()))?;
        let elements = tensor.shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n));
        let elements = elements.filter(|n| n.checked_mul(dtype.size() as u64).is_some_and(|bytes| bytes <= i64::MAX as u64));
        let elements = elements.ok_or_else(|| refuse(format!("of shape {:?} is larger than any file", tensor.shape)))?;
        if !is_contiguous(&tensor.shape, &tensor.strides) {
            let (shape, strides) = (&tensor.shape, &tensor.strides);
            return Err(refuse(format!("of shape {shape:?} has strides {strides:?}: it is a view that is not contiguous")));
        }
        tensors.push(Described {
            name: name.to_owned(),
            dtype,
            shape: tensor.shape.clone(),
            skipped: tensor.offset,
            elements,
            storage: tensor.storage.key.clone(),
        });
    }
    Ok(tensors)
}

fn dict(pickle: &Pickle, value: Value) -> Result<&[(Value, Value)], TorchProblem> {
    match pickle.object(value) {
        Some(Object::Dict(entries)) => Ok(entries),
        _ => Err(TorchProblem::NoStateDict { found: pickle.describe(value) }),
    }
}

/// Whether elements lie in row-major order without gaps. The stride of an axis with one element means nothing.
fn is_contiguous(shape: &[u64], strides: &[u64]) -> bool {
    if shape.contains(&0) {
        return shape.len() == strides.len();
    }
    let mut expected = 1u64;
    shape.len() == strides.len()
        && shape.iter().zip(strides).rev().all(|(&length, &stride)| {
            let fits = length == 1 || stride == expected;
            expected = expected.saturating_mul(length);
            fits
        })
}

impl Described {
    /// The tensor in a storage that begins at `offset` in the file and has `bytes` bytes.
    pub(super) fn at(self, offset: u64, bytes: u64) -> Result<HeaderTensor, TorchProblem> {
        let Self { name, dtype, shape, skipped, elements, storage } = self;
        let size = dtype.size() as u64;
        let end = skipped.checked_add(elements).and_then(|end| end.checked_mul(size));
        match end.filter(|end| *end <= bytes) {
            // the storage lies inside the file, so that these fit
            Some(_) => Ok(HeaderTensor { name, dtype, shape, offset: offset + skipped * size, bytes: elements * size }),
            None => {
                let problem = format!(
                    "of {dtype} and shape {shape:?} begins at element {skipped} of storage {storage:?}, which has only {bytes} bytes"
                );
                Err(TorchProblem::Tensor { tensor: name, problem })
            }
        }
    }
}
