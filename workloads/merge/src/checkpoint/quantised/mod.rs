//! Checkpoints that hold their matrices in fewer bits: read through their scales, or refused; never taken for what they are not. Pure.
//!
//! ```text
//! quantization_config ── scheme (which kind, which blocks; all but eight-bit floats are refused) ─┐
//! names and types of tensors ── what only quantised checkpoints have ─────────────────────────────┴─ a matrix and its scales
//! ```
//!
//! A matrix of eight-bit floats has its scales beside it: `NAME_scale_inv` in blocks (DeepSeek-V3, transformers' `fp8`), or `NAME_scale` for
//! the whole, for each row or for blocks (compressed-tensors, FBGEMM, ModelOpt, AutoFP8). Whatever the name, W = code · scale. The scales and
//! what else belongs to them are then no tensors of the checkpoint any more, and its config says nothing about quantisation.

mod scheme;
#[cfg(test)]
mod tests;

use super::folder::{Checkpoint, TensorInfo};
use crate::{
    MergeError,
    adapter::{read_bytes, read_f32},
    checkpoint::DataFile,
    plan::float_named,
};
use blake3::{Hash, Hasher};
use braid_kernels::{BlockScales, Dtype, KernelError};
use scheme::Scheme;
use serde_json::Value;
use std::collections::BTreeMap;

/// Endings of the scales of a tensor.
const SCALES: [&str; 2] = ["_scale_inv", "_scale"];

/// Endings of scales for what is computed with a matrix, which a merge has no use for.
const ACTIVATIONS: [&str; 8] =
    [".input_scale", ".output_scale", ".activation_scale", ".input_scale_ub", ".k_scale", ".v_scale", ".q_scale", ".prob_scale"];

/// Endings of tensors that only other formats have, and whose they are.
const FOREIGN: [(&str, &str); 15] = [
    (".qweight", "GPTQ or AWQ"),
    (".qzeros", "GPTQ or AWQ"),
    (".g_idx", "GPTQ"),
    (".weight_packed", "compressed-tensors of four bits"),
    (".weight_zero_point", "compressed-tensors with zero points"),
    (".weight_global_scale", "NVFP4"),
    (".weight_scale_2", "NVFP4"),
    (".weight_shape", "compressed-tensors of four bits"),
    (".SCB", "bitsandbytes"),
    (".absmax", "bitsandbytes"),
    (".quant_map", "bitsandbytes"),
    (".quant_state.bitsandbytes__nf4", "bitsandbytes"),
    (".quant_state.bitsandbytes__fp4", "bitsandbytes"),
    ("_proj_blocks", "MXFP4"),
    (".W_q", "HQQ"),
];

const HINT: &str = "merge the checkpoint that it was made from, and quantise the result";

/// The scales of a matrix, and where they lie.
#[derive(Debug, Clone, PartialEq)]
pub struct Scales {
    /// Their name.
    pub name: String,
    /// Where they lie.
    pub info: TensorInfo,
    /// Rows and columns of the matrix.
    pub shape: [u64; 2],
    /// Rows and columns that have one scale.
    pub block: [u64; 2],
    /// The type that the matrix is taken to have.
    pub becomes: Dtype,
}

impl Scales {
    /// Reads them from the file that they lie in.
    ///
    /// # Errors
    /// A read that failed.
    pub(crate) fn read(&self, file: &DataFile) -> Result<BlockScales, MergeError> {
        let scales = read_f32(file, &self.info, &self.name)?;
        let [shape, block] = [self.shape, self.block].map(|pair| pair.map(|n| usize::try_from(n).unwrap_or(usize::MAX)));
        let refuse = |source: KernelError| MergeError::Kernel { tensor: self.name.clone(), source };
        BlockScales::new(scales, shape, block).map_err(refuse)
    }
}

impl Scales {
    /// The digest of all that they make of a matrix, their bytes among it.
    ///
    /// # Errors
    /// A read that failed.
    pub(crate) fn digest(&self, file: &DataFile) -> Result<Hash, MergeError> {
        let mut hasher = Hasher::new();
        let head = format!(
            "{} {:?} {:?} {:?} {}\n",
            self.info.dtype.name(),
            self.info.shape,
            self.shape,
            self.block,
            self.becomes.name()
        );
        Ok(hasher.update(head.as_bytes()).update(&read_bytes(file, &self.info, &self.name)?).finalize())
    }
}

impl Checkpoint {
    /// The types that tensors are taken to have which are stored in another one.
    pub(crate) fn becomes(&self) -> BTreeMap<String, Dtype> {
        self.scales.iter().map(|(name, scales)| (name.clone(), scales.becomes)).collect()
    }
}

/// Brings every matrix of eight-bit floats together with its scales.
///
/// # Errors
/// A checkpoint that is quantised in any other way; a matrix without scales, or with such as do not fit it.
pub(super) fn sort_out(checkpoint: &mut Checkpoint) -> Result<(), MergeError> {
    let path = checkpoint.root.clone();
    let refuse = |problem: String| MergeError::Checkpoint { path: path.clone(), problem, hint: Some(HINT.into()) };
    let scheme = Scheme::read(&checkpoint.config).map_err(refuse)?;
    for (name, info) in &checkpoint.tensors {
        if let Some((_, what)) = FOREIGN.iter().find(|(ending, _)| name.ends_with(ending)) {
            return Err(refuse(format!("is quantised: it has the tensor {name:?}, which is of {what}")));
        }
        let float = info.dtype.is_float() || is_eight_bit(info.dtype);
        if !float && name.ends_with(".weight") && info.shape.len() > 1 {
            let dtype = info.dtype;
            return Err(refuse(format!("is quantised: {name:?} is a matrix of {dtype}, whose meaning is not known here")));
        }
    }
    let eight: Vec<String> =
        checkpoint.tensors.iter().filter(|(_, info)| is_eight_bit(info.dtype)).map(|(name, _)| name.clone()).collect();
    let becomes = own_dtype(&checkpoint.config);
    for name in &eight {
        let scales = scales_of(&checkpoint.tensors, name, &scheme, becomes).map_err(refuse)?;
        checkpoint.scales.insert(name.clone(), scales);
    }
    if eight.is_empty() {
        return Ok(());
    }
    for scales in checkpoint.scales.values() {
        checkpoint.tensors.remove(&scales.name);
    }
    checkpoint.tensors.retain(|name, _| !ACTIVATIONS.iter().any(|ending| name.ends_with(ending)));
    scheme::forget(&mut checkpoint.config);
    Ok(())
}

fn is_eight_bit(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F8E4M3 | Dtype::F8E5M2)
}

/// The type that the config gives its weights, where it is one to compute with.
fn own_dtype(config: &serde_json::Map<String, Value>) -> Dtype {
    let named = ["dtype", "torch_dtype"].into_iter().find_map(|key| float_named(config.get(key)?.as_str()?));
    named.unwrap_or(Dtype::BF16)
}

fn scales_of(tensors: &BTreeMap<String, TensorInfo>, name: &str, scheme: &Scheme, becomes: Dtype) -> Result<Scales, String> {
    let Some(info) = tensors.get(name) else { return Err(format!("has no {name:?}")) };
    let dtype = info.dtype;
    let found: Vec<(String, &TensorInfo)> = SCALES
        .iter()
        .map(|ending| format!("{name}{ending}"))
        .filter_map(|scales| tensors.get(&scales).map(|info| (scales, info)))
        .collect();
    let (scales, of) = match found.as_slice() {
        [one] => one,
        [] => return Err(format!("is quantised: {name:?} is {dtype}, and there are no scales {name}_scale_inv or {name}_scale")),
        _ => return Err(format!("is quantised: {name:?} has both {name}_scale_inv and {name}_scale")),
    };
    let &[rows, cols] = info.shape.as_slice() else {
        return Err(format!("is quantised: {name:?} is {dtype} of shape {:?}, and only matrices are read", info.shape));
    };
    if !of.dtype.is_float() {
        return Err(format!("is quantised: the scales {scales:?} are {}, not floats", of.dtype));
    }
    let block = block([rows, cols], &of.shape, scheme.block).ok_or_else(|| {
        let blocks = scheme.block.map_or_else(|| "no blocks".into(), |block| format!("blocks of {block:?}"));
        format!(
            "is quantised: the scales {scales:?} of shape {:?} do not fit {name:?} of shape {:?} ({blocks})",
            of.shape, info.shape
        )
    })?;
    Ok(Scales { name: scales.clone(), info: (*of).clone(), shape: [rows, cols], block, becomes })
}

/// Rows and columns that have one scale, from the shape of the scales: blocks where the config says so, else one for the matrix or one for
/// each row.
fn block([rows, cols]: [u64; 2], scales: &[u64], configured: Option<[u64; 2]>) -> Option<[u64; 2]> {
    if let (Some([height, width]), [down, across]) = (configured, scales)
        && [rows.div_ceil(height), cols.div_ceil(width)] == [*down, *across]
    {
        return Some([height, width]);
    }
    match scales {
        [] | [1] | [1, 1] => Some([rows.max(1), cols.max(1)]),
        [length] | [length, 1] if *length == rows => Some([1, cols.max(1)]),
        _ => None,
    }
}
