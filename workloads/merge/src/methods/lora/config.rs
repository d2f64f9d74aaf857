//! `adapter_config.json` of an adapter that Braid makes. Pure.

use crate::plan::PlannedTensor;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What PEFT puts before the names of the base.
pub(super) const PREFIX: &str = "base_model.model.";

/// Parts of the names of modules that are tables of embeddings.
const EMBEDDINGS: [&str; 6] = ["embed_tokens", "word_embeddings", "tok_embeddings", "embed_in", "wte", "wpe"];

/// The names of a module's factors.
pub(super) fn factor_names(module: &str) -> [String; 2] {
    if is_embedding(module) {
        ["A", "B"].map(|factor| format!("{PREFIX}{module}.lora_embedding_{factor}"))
    } else {
        ["A", "B"].map(|factor| format!("{PREFIX}{module}.lora_{factor}.weight"))
    }
}

/// Whether PEFT adapts a module as an embedding: as input × output.
pub(super) fn is_embedding(module: &str) -> bool {
    module.rsplit('.').next().is_some_and(|last| EMBEDDINGS.contains(&last))
}

/// The ranks of the modules whose factors are among `tensors`, and the names of the tensors that are no factors.
fn sorted(tensors: &[PlannedTensor]) -> (BTreeMap<&str, u64>, Vec<&str>) {
    let (mut ranks, mut others) = (BTreeMap::new(), Vec::new());
    for tensor in tensors {
        let name = tensor.name.strip_prefix(PREFIX).unwrap_or(&tensor.name);
        let of = |ending| name.strip_suffix(ending);
        match (of(".lora_A.weight").or_else(|| of(".lora_embedding_A")), tensor.shape.first()) {
            (Some(module), Some(&rank)) => drop(ranks.insert(module, rank)),
            _ if name.ends_with(".lora_B.weight") || name.ends_with(".lora_embedding_B") => {}
            _ => others.push(name),
        }
    }
    (ranks, others)
}

/// The config of an adapter with these tensors, whose factors carry their scale in themselves: `alpha` is the rank. What it says
/// beside that is what `like` says.
pub(super) fn config(like: &Map<String, Value>, base: Option<&str>, fan_in_fan_out: bool, tensors: &[PlannedTensor]) -> Value {
    let (ranks, others) = sorted(tensors);
    let most = ranks.values().copied().max().unwrap_or(1);
    let odd: BTreeMap<&str, u64> =
        ranks.iter().filter(|(_, rank)| **rank != most).map(|(module, rank)| (*module, *rank)).collect();
    let saved: Vec<&str> = others.iter().filter_map(|name| name.strip_suffix(".weight")).collect();
    let mut config = like.clone();
    let mut set = |key: &str, value: Value| drop(config.insert(key.into(), value));
    set("peft_type", "LORA".into());
    set("r", most.into());
    set("lora_alpha", most.into());
    set("rank_pattern", json!(odd));
    set("alpha_pattern", json!(odd));
    set("use_rslora", false.into());
    set("fan_in_fan_out", fan_in_fan_out.into());
    set("target_modules", json!(ranks.keys().collect::<Vec<_>>()));
    set("modules_to_save", if saved.is_empty() { Value::Null } else { json!(saved) });
    set("bias", if others.iter().any(|name| name.ends_with(".bias")) { "all".into() } else { "none".into() });
    for key in ["layers_to_transform", "layers_pattern", "exclude_modules", "eva_config", "loftq_config", "corda_config"] {
        set(key, Value::Null);
    }
    set("init_lora_weights", true.into());
    set("inference_mode", true.into());
    if let Some(base) = base {
        set("base_model_name_or_path", base.into());
    }
    config.into()
}
