//! `adapter_config.json`: the rank and scale of each module. Pure: an object in, numbers out.
//!
//! What would change the meaning of the tensors in a way that is not known here is refused, never passed over.

use super::Unfit;
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

/// Settings that give the tensors another meaning, and what they are. A value that says "not used" is fine.
const OTHER: [(&str, &str); 7] = [
    ("use_dora", "weights split into direction and magnitude (DoRA)"),
    ("lora_bias", "a bias in the second factor (lora_bias)"),
    ("trainable_token_indices", "single rows of the embedding that were trained (trainable_token_indices)"),
    ("target_parameters", "parameters adapted outside of modules (target_parameters)"),
    ("layer_replication", "layers used more than once (layer_replication)"),
    ("use_qalora", "quantised adapters (use_qalora)"),
    ("alora_invocation_tokens", "an adapter that acts from some token on (activated LoRA)"),
];

/// A pattern may compile to so many bytes: it comes from a file.
const MAX_PATTERN: usize = 1 << 20;

const MERGE_WITH_PEFT: &str = "merge the adapter into its base with PEFT (`merge_and_unload`) and give that checkpoint";

/// What the config of an adapter says about its factors.
#[derive(Debug, Clone)]
pub struct AdapterConfig {
    rank: u64,
    alpha: f64,
    /// Divide by √r instead of r.
    rank_stabilised: bool,
    /// The base keeps its matrices as input × output.
    pub(crate) fan_in_fan_out: bool,
    ranks: Vec<(Regex, u64)>,
    alphas: Vec<(Regex, f64)>,
}

impl AdapterConfig {
    /// Reads `adapter_config.json`.
    pub(crate) fn read(config: &Map<String, Value>) -> Result<Self, Unfit> {
        match config.get("peft_type").and_then(Value::as_str) {
            Some("LORA") => {}
            Some(other) => {
                let problem = format!("is an adapter of the kind {other}; only LORA can be merged");
                return Err(Unfit::hint(problem, MERGE_WITH_PEFT));
            }
            None => return Err(Unfit::new("has no `peft_type`: not the config of a PEFT adapter")),
        }
        for (key, what) in OTHER {
            let used = match config.get(key) {
                None | Some(Value::Null | Value::Bool(false)) => false,
                Some(Value::Array(list)) => !list.is_empty(),
                Some(_) => true,
            };
            if used {
                return Err(Unfit::hint(format!("uses {what}, which Braid cannot merge"), MERGE_WITH_PEFT));
            }
        }
        Ok(Self {
            rank: rank("r", config.get("r").unwrap_or(&Value::Null))?,
            alpha: alpha("lora_alpha", config.get("lora_alpha").unwrap_or(&Value::Null))?,
            rank_stabilised: flag(config, "use_rslora")?,
            fan_in_fan_out: flag(config, "fan_in_fan_out")?,
            ranks: patterns(config, "rank_pattern", rank)?,
            alphas: patterns(config, "alpha_pattern", alpha)?,
        })
    }

    /// The rank that a module should have.
    pub(crate) fn rank(&self, module: &str) -> u64 {
        matching(&self.ranks, module).unwrap_or(self.rank)
    }

    /// What the product of a module's factors is multiplied by.
    pub(crate) fn scale(&self, module: &str) -> f64 {
        let (rank, alpha) = (self.rank(module) as f64, matching(&self.alphas, module).unwrap_or(self.alpha));
        alpha / if self.rank_stabilised { rank.sqrt() } else { rank }
    }
}

impl PartialEq for AdapterConfig {
    fn eq(&self, other: &Self) -> bool {
        let text = |config: &Self| format!("{config:?}");
        text(self) == text(other)
    }
}

fn matching<T: Copy>(patterns: &[(Regex, T)], module: &str) -> Option<T> {
    patterns.iter().find(|(pattern, _)| pattern.is_match(module)).map(|(_, value)| *value)
}

/// A whole name of a module, or its end after a dot, as PEFT matches them.
fn patterns<T>(
    config: &Map<String, Value>,
    key: &str,
    read: fn(&str, &Value) -> Result<T, Unfit>,
) -> Result<Vec<(Regex, T)>, Unfit> {
    let entries = match config.get(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(entries)) => entries,
        Some(other) => return Err(Unfit::new(format!("`{key}` is {other}, not an object"))),
    };
    let compile = |(pattern, value): (&String, &Value)| {
        let regex = RegexBuilder::new(&format!(r"^(?:.*\.)?(?:{pattern})$")).size_limit(MAX_PATTERN).build();
        let regex = regex.map_err(|error| Unfit::new(format!("`{key}` has the pattern {pattern:?}: {error}")))?;
        Ok((regex, read(&format!("{key}[{pattern:?}]"), value)?))
    };
    entries.iter().map(compile).collect()
}

fn rank(key: &str, value: &Value) -> Result<u64, Unfit> {
    let rank = value.as_u64().filter(|rank| (1..=1 << 20).contains(rank));
    rank.ok_or_else(|| Unfit::new(format!("`{key}` is {value}, not a rank")))
}

fn alpha(key: &str, value: &Value) -> Result<f64, Unfit> {
    let alpha = value.as_f64().filter(|alpha| alpha.is_finite());
    alpha.ok_or_else(|| Unfit::new(format!("`{key}` is {value}, not a number")))
}

fn flag(config: &Map<String, Value>, key: &str) -> Result<bool, Unfit> {
    match config.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(Unfit::new(format!("`{key}` is {other}, neither true nor false"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(changes: Value) -> Result<AdapterConfig, Unfit> {
        let mut config = json!({"peft_type": "LORA", "r": 8, "lora_alpha": 16});
        changes.as_object().unwrap().iter().for_each(|(key, value)| config[key] = value.clone());
        AdapterConfig::read(config.as_object().unwrap())
    }

    #[test]
    fn patterns_decide_over_rank_and_alpha_of_a_module() {
        let config = read(json!({
            "rank_pattern": {"mlp.up_proj": 4, "layers\\.0\\..*q_proj": 2},
            "alpha_pattern": {"up_proj": 1.0},
        }))
        .unwrap();
        for (module, rank, scale) in [
            ("model.layers.3.self_attn.q_proj", 8, 2.0),
            ("model.layers.0.self_attn.q_proj", 2, 8.0),
            ("model.layers.3.mlp.up_proj", 4, 0.25),
            ("mlp.up_proj", 4, 0.25),
            ("my_mlp.up_proj", 8, 0.125),
            ("up_proj_2", 8, 2.0),
        ] {
            assert_eq!((config.rank(module), config.scale(module)), (rank, scale), "{module}");
        }
        assert_eq!(read(json!({"use_rslora": true, "r": 16})).unwrap().scale("x"), 4.0);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (changes, expected) in [
            (json!({"peft_type": "IA3"}), "is an adapter of the kind IA3"),
            (json!({"peft_type": 3}), "has no `peft_type`"),
            (json!({"r": 0}), "`r` is 0, not a rank"),
            (json!({"r": -3}), "`r` is -3, not a rank"),
            (json!({"r": 1e300}), "not a rank"),
            (json!({"lora_alpha": "16"}), "`lora_alpha` is \"16\", not a number"),
            (json!({"use_dora": true}), "uses weights split into direction and magnitude (DoRA)"),
            (json!({"trainable_token_indices": [3]}), "trainable_token_indices"),
            (json!({"layer_replication": [[0, 4]]}), "layer_replication"),
            (json!({"use_rslora": "yes"}), "`use_rslora` is \"yes\", neither true nor false"),
            (json!({"rank_pattern": [1]}), "`rank_pattern` is [1], not an object"),
            (json!({"rank_pattern": {"(": 1}}), "`rank_pattern` has the pattern \"(\""),
            (json!({"rank_pattern": {"a{1000}{1000}{1000}": 1}}), "`rank_pattern` has the pattern"),
            (json!({"alpha_pattern": {"a": null}}), "`alpha_pattern[\"a\"]` is null, not a number"),
        ] {
            let problem = read(changes.clone()).unwrap_err().problem;
            assert!(problem.contains(expected), "{changes}: {problem}");
        }
        assert!(read(json!({"use_dora": false, "target_parameters": [], "layer_replication": null})).is_ok());
    }
}
