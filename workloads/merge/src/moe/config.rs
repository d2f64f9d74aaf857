//! The `config.json` of a mixture: that of the base under another name, with what is said about experts. Pure.

use super::Layout;
use crate::recipe::Mixture;
use serde_json::{Map, Value, json};

/// What configs leave out because it is the default of their type, where the mixtures' types have another one.
const DEFAULTS: [(&str, &[(&str, u64)]); 3] = [
    ("llama", &[("max_position_embeddings", 2048), ("bos_token_id", 1), ("eos_token_id", 2)]),
    ("mistral", &[("max_position_embeddings", 131_072), ("num_key_value_heads", 8), ("bos_token_id", 1), ("eos_token_id", 2)]),
    ("qwen2", &[("max_position_embeddings", 32_768), ("num_key_value_heads", 32)]),
];

/// The config of a mixture in this layout.
pub(crate) fn config(layout: Layout, base: &Map<String, Value>, mixture: &Mixture) -> Map<String, Value> {
    let mut config = base.clone();
    spell_out(&mut config, base.get("model_type").and_then(Value::as_str).unwrap_or_default());
    let (experts, per_token) = (mixture.experts.len(), mixture.experts_per_token);
    let inner = config.get("intermediate_size").cloned().unwrap_or(Value::Null);
    config.shift_remove("auto_map");
    let own = match layout {
        Layout::Mixtral => json!({
            "architectures": ["MixtralForCausalLM"],
            "model_type": "mixtral",
            "num_local_experts": experts,
            "num_experts_per_tok": per_token,
            "sliding_window": null,
        }),
        Layout::Qwen => json!({
            "architectures": ["Qwen2MoeForCausalLM"],
            "model_type": "qwen2_moe",
            "num_experts": experts,
            "num_experts_per_tok": per_token,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "norm_topk_prob": true,
            "moe_intermediate_size": inner,
            "shared_expert_intermediate_size": inner,
            "sliding_window": null,
            "use_sliding_window": false,
        }),
        Layout::Qwen3 => json!({
            "architectures": ["Qwen3MoeForCausalLM"],
            "model_type": "qwen3_moe",
            "num_experts": experts,
            "num_experts_per_tok": per_token,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "norm_topk_prob": true,
            "moe_intermediate_size": inner,
        }),
        Layout::DeepSeek => {
            let code = |name: &str| format!("deepseek-ai/deepseek-moe-16b-base--{name}");
            json!({
                "architectures": ["DeepseekForCausalLM"],
                "model_type": "deepseek",
                "n_routed_experts": experts,
                "n_shared_experts": Some(mixture.shared.len()).filter(|count| *count > 0),
                "num_experts_per_tok": per_token,
                "first_k_dense_replace": 0,
                "moe_layer_freq": 1,
                "scoring_func": "softmax",
                "norm_topk_prob": true,
                "moe_intermediate_size": inner,
                "auto_map": {
                    "AutoConfig": code("configuration_deepseek.DeepseekConfig"),
                    "AutoModel": code("modeling_deepseek.DeepseekModel"),
                    "AutoModelForCausalLM": code("modeling_deepseek.DeepseekForCausalLM"),
                },
            })
        }
    };
    if let Value::Object(own) = own {
        config.extend(own);
    }
    if layout == Layout::DeepSeek
        && let Some(theta) = config.get("rope_parameters").and_then(|rope| rope.get("rope_theta")).cloned()
    {
        // its code is older than that form
        config.insert("rope_theta".into(), theta);
    }
    if matches!(layout, Layout::Mixtral | Layout::Qwen)
        && let Some(Value::Array(types)) = config.get_mut("layer_types")
    {
        // no window slides any more
        types.fill("full_attention".into());
    }
    config
}

fn spell_out(config: &mut Map<String, Value>, kind: &str) {
    let mut default = |key: &str, value: Value| {
        if !config.contains_key(key) {
            config.insert(key.into(), value);
        }
    };
    let known = DEFAULTS.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, list)| list);
    for (key, value) in known {
        default(key, (*value).into());
    }
    if !known.is_empty() {
        default("rms_norm_eps", json!(1e-6));
    }
    if kind == "llama"
        && let Some(heads) = config.get("num_attention_heads").cloned()
        && !config.contains_key("num_key_value_heads")
    {
        config.insert("num_key_value_heads".into(), heads);
    }
    if !known.is_empty() && !config.contains_key("rope_parameters") && !config.contains_key("rope_theta") {
        config.insert("rope_theta".into(), json!(10000.0));
    }
}
