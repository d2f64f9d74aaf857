//! `braid.json`: what the result is made of, exactly. The same merge gives the same text, wherever and whenever it runs.

use super::{
    layout::TensorShape,
    progress::{Digest, Record},
};
use crate::MergeError;
use blake3::{Hash, Hasher};
use serde::Serialize;
use serde_json::Value;

/// What the manifest says beside the tensors.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Provenance<'a> {
    /// The version of Braid.
    pub braid: &'a str,
    /// The digest of the plan: equal for equal recipes and equal headers.
    pub plan: &'a str,
    /// The method.
    pub method: &'a str,
    /// What decided the random masks.
    pub seed: u64,
    /// The models as the recipe names them; inputs of tensors refer to them by number.
    pub models: Vec<&'a str>,
    /// The text of the recipe.
    pub recipe: &'a str,
}

/// What one tensor is made of.
#[derive(Debug, Clone)]
pub(crate) struct MadeOf<'a> {
    /// The digest of its part of the recipe.
    pub part: Hash,
    /// The number of each input's model, and its name there.
    pub inputs: Vec<InputName<'a>>,
}

/// An input of a tensor: the number of its model, and its name there.
pub(crate) type InputName<'a> = (usize, &'a str);

/// One digest for all tensors: of their names, types, shapes and bytes.
pub(crate) fn digest(tensors: &[TensorShape<'_>], records: &[Record]) -> Hash {
    result_digest(tensors.iter().copied().zip(records.iter().map(|record| record.output)))
}

/// One digest for all tensors, each with the digest of its bytes.
pub(crate) fn result_digest<'a>(tensors: impl Iterator<Item = (TensorShape<'a>, Digest)>) -> Hash {
    let mut hasher = Hasher::new();
    for (tensor, digest) in tensors {
        let line = format!("{} {} {:?} {}\n", digest.0, tensor.dtype.name(), tensor.shape, tensor.name);
        hasher.update(line.as_bytes());
    }
    hasher.finalize()
}

/// The text of the manifest. `records` and `made_of` have an entry for each tensor, in the same order.
///
/// # Errors
/// Text that JSON cannot hold.
pub(crate) fn manifest<'a>(
    provenance: &Provenance<'_>,
    tensors: &[TensorShape<'_>],
    records: &[Record],
    made_of: impl IntoIterator<Item = MadeOf<'a>>,
) -> Result<String, MergeError> {
    #[derive(Serialize)]
    struct Tensor<'a> {
        name: &'a str,
        dtype: &'static str,
        shape: &'a [u64],
        blake3: String,
        part: String,
        /// What the work that made it said.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<&'a Value>,
        inputs: Vec<Input<'a>>,
    }
    #[derive(Serialize)]
    struct Input<'a> {
        model: usize,
        /// Only where it is not that of the output.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        blake3: String,
    }
    let wrong = |error: serde_json::Error| MergeError::Task(format!("cannot write the manifest: {error}"));
    let mut head = serde_json::to_string_pretty(provenance).map_err(wrong)?;
    // A line for each tensor: a file of many megabytes that a person may still look into, and compare.
    head.truncate(head.trim_end_matches(['\n', '}']).len());
    let mut text = format!("{head},\n  \"digest\": \"{}\",\n  \"tensors\": [", digest(tensors, records));
    for (index, ((tensor, record), made)) in tensors.iter().zip(records).zip(made_of).enumerate() {
        let input = |((model, name), digest): (InputName<'a>, &Digest)| Input {
            model,
            name: (name != tensor.name).then_some(name),
            blake3: digest.0.to_string(),
        };
        let line = Tensor {
            name: tensor.name,
            dtype: tensor.dtype.name(),
            shape: tensor.shape,
            blake3: record.output.0.to_string(),
            part: made.part.to_string(),
            note: record.note.as_ref(),
            inputs: made.inputs.into_iter().zip(&record.inputs).map(input).collect(),
        };
        text += if index == 0 { "\n    " } else { ",\n    " };
        text += &serde_json::to_string(&line).map_err(wrong)?;
    }
    text += "\n  ]\n}\n";
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_kernels::Dtype;

    #[test]
    fn it_is_json_with_a_line_for_each_tensor() {
        let tensors = [("a", [2u64, 3]), ("b", [0, 1])];
        let shapes: Vec<_> = tensors.iter().map(|(name, shape)| TensorShape { name, dtype: Dtype::BF16, shape }).collect();
        let hash = |bytes: &[u8]| Digest(blake3::hash(bytes));
        let records: Vec<_> = (0..2)
            .map(|tensor| Record { tensor, output: hash(b"out"), inputs: vec![hash(b"x"), hash(b"y")], note: None, taken: false })
            .collect();
        let provenance = Provenance {
            braid: "1",
            plan: "p",
            method: "linear",
            seed: 3,
            models: vec!["x", "y"],
            recipe: "merge_method: \"}\"\n}",
        };
        let part = blake3::hash(b"part");
        let made_of = [vec![(0, "a"), (1, "a")], vec![(0, "b"), (1, "layers.7")]].map(|inputs| MadeOf { part, inputs });
        let text = manifest(&provenance, &shapes, &records, made_of).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["recipe"], "merge_method: \"}\"\n}");
        assert_eq!(value["digest"], digest(&shapes, &records).to_string());
        assert_eq!(value["tensors"][0]["shape"], serde_json::json!([2, 3]));
        assert_eq!(value["tensors"][1]["inputs"][1]["name"], "layers.7");
        assert_eq!(value["tensors"][1]["inputs"][0].get("name"), None);
        assert_eq!(value["tensors"][0]["part"], part.to_string());
        assert_eq!(value["tensors"][1]["blake3"], blake3::hash(b"out").to_string());
        assert_eq!(text.lines().filter(|line| line.contains("\"dtype\"")).count(), 2);
    }
}
