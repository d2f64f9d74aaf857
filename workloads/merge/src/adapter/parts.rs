//! What each tensor of an adapter is, by its name: a factor of some module, or a tensor that replaces one of the base. Pure.

use super::{AdapterConfig, Factors, Orientation, Unfit};
use crate::checkpoint::TensorInfo;
use std::collections::BTreeMap;

/// What PEFT puts before the names of the base.
const PREFIX: &str = "base_model.model.";

/// How the names of factors end: that of the first, of the second, and whether they are of an embedding.
const ENDINGS: [(&str, &str, bool); 2] =
    [(".lora_A.weight", ".lora_B.weight", false), (".lora_embedding_A", ".lora_embedding_B", true)];

/// Parts of names that say that a tensor has another meaning.
const FOREIGN: [(&str, &str); 4] = [
    ("lora_magnitude_vector", "the magnitudes of DoRA"),
    ("lora_B.bias", "a bias of a factor"),
    ("trainable_tokens_delta", "single trained rows of the embedding"),
    ("lora_", "a part of LoRA that is not known here"),
];

/// The tensors of an adapter, sorted out.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Parts {
    /// The factors of each module, by its name in the base.
    pub(crate) modules: BTreeMap<String, Factors>,
    /// Tensors that replace one of the base (`modules_to_save`, biases): the base's name, and their own.
    pub(crate) saved: BTreeMap<String, String>,
}

/// Sorts out the tensors of an adapter.
pub(crate) fn parts(tensors: &BTreeMap<String, TensorInfo>, config: &AdapterConfig) -> Result<Parts, Unfit> {
    let mut parts = Parts::default();
    for (name, info) in tensors {
        let own = name.strip_prefix(PREFIX).unwrap_or(name);
        if let Some((module, second, embedding)) = first_factor(own) {
            let prefix = &name[..name.len() - own.len()];
            let other = format!("{prefix}{second}");
            let Some(up) = tensors.get(&other) else {
                return Err(Unfit::new(format!("has the tensor {name:?}, but not {other:?}")));
            };
            let turned = embedding || config.fan_in_fan_out;
            let orientation = if turned { Orientation::Turned } else { Orientation::Plain };
            let factors = Factors::new((name, info), (&other, up), config.scale(module), orientation)?;
            let expected = config.rank(module);
            if factors.rank != expected {
                let found = factors.rank;
                return Err(Unfit::new(format!("{name:?} has rank {found}, where the config says {expected} (r, rank_pattern)")));
            }
            parts.modules.insert(module.to_owned(), factors);
        } else if second_factor(own)
            .is_some_and(|first| tensors.contains_key(&format!("{}{first}", &name[..name.len() - own.len()])))
        {
            // came with the first
        } else if let Some((_, what)) = FOREIGN.iter().find(|(part, _)| own.contains(part)) {
            return Err(Unfit::new(format!("has the tensor {name:?}, {what}, which Braid cannot merge")));
        } else {
            let base = own.replace(".modules_to_save", "").replace(".base_layer", "");
            if let Some(twice) = parts.saved.insert(base.clone(), name.clone()) {
                return Err(Unfit::new(format!("has two tensors for {base:?}: {twice:?} and {name:?}")));
            }
        }
    }
    if parts.modules.is_empty() && parts.saved.is_empty() {
        return Err(Unfit::new("holds no tensors"));
    }
    Ok(parts)
}

/// The module of a first factor, the name of the second, and whether it is of an embedding.
fn first_factor(name: &str) -> Option<(&str, String, bool)> {
    ENDINGS.iter().find_map(|(first, second, embedding)| {
        let module = name.strip_suffix(first)?;
        Some((module, format!("{module}{second}"), *embedding))
    })
}

/// The name of the first factor that goes with a second one.
fn second_factor(name: &str) -> Option<String> {
    ENDINGS.iter().find_map(|(first, second, _)| Some(format!("{}{first}", name.strip_suffix(second)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_kernels::Dtype;
    use serde_json::json;

    fn sort(list: &[(&str, &[u64])]) -> Result<Parts, Unfit> {
        let config = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4});
        let config = AdapterConfig::read(config.as_object().unwrap()).unwrap();
        let info = |shape: &[u64]| TensorInfo { dtype: Dtype::F32, shape: shape.to_vec(), file: 0, offset: 0, bytes: 0 };
        parts(&list.iter().map(|(name, shape)| ((*name).to_owned(), info(shape))).collect(), &config)
    }

    #[test]
    fn names_tell_modules_embeddings_and_replacements() {
        let parts = sort(&[
            ("base_model.model.a.q_proj.lora_A.weight", &[2, 5]),
            ("base_model.model.a.q_proj.lora_B.weight", &[7, 2]),
            ("base_model.model.embed.lora_embedding_A", &[2, 9]),
            ("base_model.model.embed.lora_embedding_B", &[3, 2]),
            ("conv.lora_A.weight", &[2, 4, 3, 3]),
            ("conv.lora_B.weight", &[6, 2, 1, 1]),
            ("base_model.model.lm_head.modules_to_save.weight", &[9, 3]),
            ("base_model.model.a.q_proj.base_layer.bias", &[7]),
        ])
        .unwrap();
        let shape = |module: &str| (parts.modules[module].rows(), parts.modules[module].cols());
        assert_eq!((shape("a.q_proj"), shape("embed"), shape("conv")), ((7, 5), (9, 3), (6, 36)));
        assert_eq!(parts.modules["conv"].scale, 2.0);
        let saved: Vec<&str> = parts.saved.keys().map(String::as_str).collect();
        assert_eq!(saved, ["a.q_proj.bias", "lm_head.weight"]);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        for (tensors, expected) in [
            (&[][..], "holds no tensors"),
            (&[("m.lora_A.weight", &[2, 5][..])], "has the tensor \"m.lora_A.weight\", but not \"m.lora_B.weight\""),
            (&[("m.lora_B.weight", &[5, 2])], "a part of LoRA that is not known here"),
            (&[("m.lora_A.weight", &[3, 5]), ("m.lora_B.weight", &[5, 3])], "has rank 3, where the config says 2"),
            (&[("m.lora_A.weight", &[2, 5]), ("m.lora_B.weight", &[5, 3])], "are no factors of one product"),
            (&[("m.lora_A.weight", &[2]), ("m.lora_B.weight", &[5, 2])], "are no factors of one product"),
            (&[("m.lora_A.weight", &[2, 0]), ("m.lora_B.weight", &[5, 2])], "are no factors of one product"),
            (&[("m.lora_magnitude_vector.weight", &[2])], "the magnitudes of DoRA"),
            (&[("m.base_layer.weight", &[2]), ("m.weight", &[2])], "two tensors for \"m.weight\""),
        ] {
            let problem = sort(tensors).unwrap_err().problem;
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
