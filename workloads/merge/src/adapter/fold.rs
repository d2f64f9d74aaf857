//! A base and an adapter as one checkpoint. Pure: headers in, a header out.
//!
//! Tensors that the adapter replaces are its own from here on; those that it changes get a [`Fold`](crate::checkpoint::Fold), which is
//! computed whenever a part of them is read.

use super::Adapter;
use crate::{
    MergeError,
    checkpoint::{Checkpoint, Fold, TensorInfo},
};
use blake3::Hasher;

/// `base` with `adapter` on it.
///
/// # Errors
/// A module of the adapter that the base does not have, or has in another shape.
pub(crate) fn fold(mut base: Checkpoint, adapter: Adapter) -> Result<Checkpoint, MergeError> {
    let path = adapter.checkpoint.tensors_path();
    let unfit = |problem: String| MergeError::Checkpoint {
        path: path.clone(),
        problem,
        hint: Some("is this the base that the adapter was trained on?".into()),
    };
    let of_base = base.root.display().to_string();
    let first = base.files.len();
    for (module, factors) in adapter.parts.modules {
        let name = format!("{module}.weight");
        let Some(info) = base.tensors.get(&name) else {
            return Err(unfit(format!("adapts {module:?}, but base {of_base} has no tensor {name:?}")));
        };
        if !factors.fits(&info.shape) {
            let (rows, cols, shape) = (factors.rows(), factors.cols(), &info.shape);
            return Err(unfit(format!("changes {name:?} by a {rows}×{cols} matrix, but base {of_base} has it as {shape:?}")));
        }
        if !info.dtype.is_float() {
            let dtype = info.dtype;
            return Err(unfit(format!(
                "changes {name:?}, which base {of_base} holds as {dtype}: a quantised base cannot be adapted"
            )));
        }
        base.folds.insert(name, Fold { file: first, factors });
    }
    for (name, own) in adapter.parts.saved {
        let (Some(old), Some(new)) = (base.tensors.get(&name), adapter.checkpoint.tensors.get(&own)) else {
            return Err(unfit(format!("replaces {name:?}, which base {of_base} does not have")));
        };
        if old.shape != new.shape {
            return Err(unfit(format!("replaces {name:?} {:?} of base {of_base} by {:?}", old.shape, new.shape)));
        }
        base.folds.remove(&name);
        base.scales.remove(&name);
        base.tensors.insert(name, TensorInfo { file: first + new.file, ..new.clone() });
    }
    base.files.extend(adapter.checkpoint.files);
    base.stamps.extend(adapter.checkpoint.stamps);
    let mut digest = Hasher::new();
    digest.update(base.digest.as_bytes()).update(adapter.checkpoint.digest.as_bytes());
    base.digest = digest.finalize();
    Ok(base)
}
