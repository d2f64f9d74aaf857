//! What a config says about quantisation. Pure.

use serde_json::{Map, Value};

/// Keys under which configs say it.
const KEYS: [&str; 2] = ["quantization_config", "compression_config"];
/// Parts of configs of several models, which may say it too.
const PARTS: [&str; 2] = ["text_config", "llm_config"];

/// A way to quantise that can be undone here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Scheme {
    /// Rows and columns of the blocks that have a scale each.
    pub(super) block: Option<[u64; 2]>,
}

impl Scheme {
    /// Reads it.
    ///
    /// # Errors
    /// Any other way, as the rest of a sentence that begins with the checkpoint.
    pub(super) fn read(config: &Map<String, Value>) -> Result<Self, String> {
        let parts = PARTS.iter().filter_map(|part| config.get(*part)?.as_object());
        for object in std::iter::once(config).chain(parts) {
            for key in KEYS {
                match object.get(key) {
                    Some(Value::Object(found)) => return Self::of(key, found),
                    None | Some(Value::Null) => {}
                    Some(_) => return Err(format!("has a `{key}` that is no object")),
                }
            }
        }
        Ok(Self::default())
    }

    fn of(key: &str, found: &Map<String, Value>) -> Result<Self, String> {
        let text = |key: &str| found.get(key).and_then(Value::as_str);
        let method = match text("quant_method") {
            Some(method) => method,
            None if key == "compression_config" => "compressed-tensors",
            None if found.contains_key("load_in_4bit") || found.contains_key("load_in_8bit") => "bitsandbytes",
            None => return Err(format!("is quantised: its `{key}` names no `quant_method`")),
        };
        match method {
            "fp8" | "fbgemm_fp8" => Ok(Self { block: pair(found.get("weight_block_size"))? }),
            "modelopt" if text("quant_algo") == Some("FP8") => Ok(Self::default()),
            "compressed-tensors" => compressed(found),
            other => {
                let bits = ["bits", "w_bit", "num_bits"].iter().find_map(|key| found.get(*key)?.as_u64());
                let bits = bits.map_or_else(String::new, |bits| format!(" ({bits} bits)"));
                let algorithm = text("quant_algo").map_or_else(String::new, |algorithm| format!(" ({algorithm})"));
                Err(format!(
                    "is quantised by {other}{bits}{algorithm}; of quantised checkpoints only those of eight-bit floats are read"
                ))
            }
        }
    }
}

/// compressed-tensors: groups of modules, each with its own scheme.
fn compressed(found: &Map<String, Value>) -> Result<Scheme, String> {
    if let Some(format) =
        found.get("sparsity_config").and_then(|sparsity| sparsity.get("format")?.as_str()).filter(|format| *format != "dense")
    {
        return Err(format!("is compressed ({format}), which is not read"));
    }
    let groups = found.get("config_groups").and_then(Value::as_object).into_iter().flat_map(Map::values);
    let mut scheme = Scheme::default();
    for weights in groups.filter_map(|group| group.get("weights").filter(|weights| weights.is_object())) {
        let kind = weights.get("type").and_then(Value::as_str).unwrap_or("int");
        let bits = weights.get("num_bits").and_then(Value::as_u64).unwrap_or(8);
        if (kind, bits) != ("float", 8) {
            return Err(format!(
                "is quantised by compressed-tensors ({kind}, {bits} bits); of quantised checkpoints only those of eight-bit floats are read"
            ));
        }
        if let Some(block) = pair(weights.get("block_structure"))? {
            scheme.block = Some(block);
        }
    }
    Ok(scheme)
}

/// Rows and columns of a block.
fn pair(value: Option<&Value>) -> Result<Option<[u64; 2]>, String> {
    let numbers = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value.as_array().map(|list| list.iter().map(Value::as_u64).collect::<Vec<_>>()),
    };
    match numbers.as_deref() {
        Some([Some(rows @ 1..), Some(cols @ 1..)]) => Ok(Some([*rows, *cols])),
        _ => Err("is quantised in blocks whose size is not two numbers".into()),
    }
}

/// Takes out what a config says about quantisation.
pub(super) fn forget(config: &mut Map<String, Value>) {
    for key in KEYS {
        config.shift_remove(key);
    }
    for part in PARTS {
        if let Some(Value::Object(part)) = config.get_mut(part) {
            for key in KEYS {
                part.shift_remove(key);
            }
        }
    }
}
