//! What names and configs say about the matrices of modules.

use serde_json::{Map, Value};

/// Model types that keep the matrices of their layers as input × output.
const INPUT_FIRST: [&str; 3] = ["gpt2", "openai-gpt", "imagegpt"];

/// Whether the model of this config keeps the matrices of its layers as input × output.
pub(crate) fn input_first(config: &Map<String, Value>) -> bool {
    config.get("model_type").and_then(Value::as_str).is_some_and(|kind| INPUT_FIRST.contains(&kind))
}

/// The module whose weight a tensor of this name is.
pub(crate) fn module_of(tensor: &str) -> Option<&str> {
    tensor.strip_suffix(".weight").filter(|module| !module.is_empty())
}
