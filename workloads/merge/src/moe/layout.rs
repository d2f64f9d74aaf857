//! The architectures that dense models can become, what they call their tensors, and which models fit them. Pure.

use crate::recipe::Mixture;
use serde_json::{Map, Value};

/// The weights of an MLP, as Llama, Mistral and Qwen call them.
const MLP: [&str; 3] = ["gate_proj.weight", "up_proj.weight", "down_proj.weight"];
/// The weights of a layer outside of its MLP, and outside of layers, that all of them have.
const COMMON: [&str; 9] = [
    "model.embed_tokens.weight",
    "model.norm.weight",
    "lm_head.weight",
    "input_layernorm.weight",
    "post_attention_layernorm.weight",
    "self_attn.q_proj.weight",
    "self_attn.k_proj.weight",
    "self_attn.v_proj.weight",
    "self_attn.o_proj.weight",
];
/// Biases of attention.
const BIASES: [&str; 3] = ["self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"];

/// An architecture with experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Mixtral,
    DeepSeek,
    Qwen,
    Qwen3,
}

/// What becomes of a tensor of a dense model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is the base's in the result too.
    Kept,
    /// Every expert has one of its own.
    Expert,
    /// The architecture has none such.
    Nowhere,
}

/// The length of the heads of a model whose config says nothing about it.
fn plain_head(config: &Map<String, Value>) -> Option<u64> {
    let number = |key: &str| config.get(key).and_then(Value::as_u64);
    number("hidden_size")?.checked_div(number("num_attention_heads")?)
}

impl Layout {
    /// In the order in which they are tried: the first that fits is taken.
    const ALL: [Self; 4] = [Self::Mixtral, Self::DeepSeek, Self::Qwen, Self::Qwen3];

    /// Its name, as mergekit knows it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mixtral => "Mixtral",
            Self::DeepSeek => "DeepSeek MoE",
            Self::Qwen => "Qwen MoE",
            Self::Qwen3 => "Qwen3 MoE",
        }
    }

    /// The architecture for a recipe and the configs of its models.
    ///
    /// # Errors
    /// Why none fits, as the rest of a sentence.
    pub(crate) fn choose<'a>(
        mixture: &Mixture,
        configs: impl Iterator<Item = (String, &'a Map<String, Value>)> + Clone,
    ) -> Result<Self, String> {
        let asked = mixture.architecture.as_deref().map(str::to_lowercase);
        let candidates: Vec<Self> = Self::ALL
            .into_iter()
            .filter(|layout| asked.as_ref().is_none_or(|asked| layout.name().to_lowercase().starts_with(asked)))
            .collect();
        let mut reasons = Vec::new();
        for layout in &candidates {
            match layout.fits(mixture, configs.clone()) {
                Ok(()) => return Ok(*layout),
                Err(reason) => reasons.push(format!("{} {reason}", layout.name())),
            }
        }
        match mixture.architecture.as_deref() {
            Some(asked) if candidates.is_empty() => {
                let known: Vec<&str> = Self::ALL.iter().map(|layout| layout.name()).collect();
                Err(format!("there is no architecture {asked:?}; the architectures are {}", known.join(", ")))
            }
            _ => Err(format!("no architecture takes these models: {}", reasons.join("; "))),
        }
    }

    fn fits<'a>(self, mixture: &Mixture, configs: impl Iterator<Item = (String, &'a Map<String, Value>)>) -> Result<(), String> {
        let shared = mixture.shared.len();
        let prompted = mixture.shared.iter().any(|expert| !expert.positive.is_empty());
        match self {
            Self::Mixtral | Self::Qwen3 if shared > 0 => return Err("has no shared experts".into()),
            Self::DeepSeek if shared > 1 => return Err("has at most one shared expert".into()),
            Self::DeepSeek if prompted => {
                return Err("has no gate for its shared expert, which therefore takes no prompts".into());
            }
            Self::Qwen if shared != 1 => return Err(format!("needs exactly one of `shared_experts`, not {shared}")),
            Self::Qwen if !prompted && !mixture.gates.is_random() => {
                return Err("has a gate for its shared expert, which needs `positive_prompts`".into());
            }
            _ => {}
        }
        let takes: &[&str] = match self {
            Self::Mixtral | Self::DeepSeek => &["llama", "mistral"],
            Self::Qwen => &["llama", "mistral", "qwen2"],
            Self::Qwen3 => &["qwen3"],
        };
        let mut first: Option<(String, &str)> = None;
        for (name, config) in configs {
            let kind = config.get("model_type").and_then(Value::as_str).unwrap_or("none");
            if !takes.contains(&kind) {
                return Err(format!("takes models of type {}, and `{name}` is of type {kind}", takes.join(" or ")));
            }
            if let Some(length) = config.get("head_dim").and_then(Value::as_u64).filter(|_| self == Self::DeepSeek)
                && Some(length) != plain_head(config)
            {
                return Err(format!(
                    "has heads of hidden_size / num_attention_heads elements, and those of `{name}` have {length}"
                ));
            }
            match &first {
                Some((other, wanted)) if kind != *wanted => {
                    return Err(format!("takes models of one type, and `{other}` is of type {wanted}, `{name}` of type {kind}"));
                }
                Some(_) => {}
                None => first = Some((name, kind)),
            }
        }
        Ok(())
    }

    /// What becomes of a tensor: outside of layers by its name, in a layer by what follows the number.
    pub(crate) fn place(self, name: &str) -> Place {
        let own: &[&str] = match self {
            Self::Mixtral => &[],
            Self::Qwen => &BIASES,
            // its attention has all or none
            Self::DeepSeek => &[BIASES[0], BIASES[1], BIASES[2], "self_attn.o_proj.bias"],
            Self::Qwen3 => &["self_attn.q_norm.weight", "self_attn.k_norm.weight"],
        };
        match name.strip_prefix("mlp.") {
            Some(rest) if MLP.contains(&rest) => Place::Expert,
            None if COMMON.contains(&name) || own.contains(&name) => Place::Kept,
            _ => Place::Nowhere,
        }
    }

    /// The weights of an MLP, by what follows `mlp.`; the last one writes to the residual stream.
    pub(crate) fn mlp(self) -> [&'static str; 3] {
        MLP
    }

    /// What an expert's weight is called in its layer.
    pub(crate) fn expert(self, expert: usize, weight: &str) -> String {
        match self {
            Self::Mixtral => {
                let own = match weight {
                    "gate_proj.weight" => "w1.weight",
                    "down_proj.weight" => "w2.weight",
                    _ => "w3.weight",
                };
                format!("block_sparse_moe.experts.{expert}.{own}")
            }
            _ => format!("mlp.experts.{expert}.{weight}"),
        }
    }

    /// What the shared expert's weight is called in its layer.
    pub(crate) fn shared(self, weight: &str) -> String {
        let list = if self == Self::DeepSeek { "shared_experts" } else { "shared_expert" };
        format!("mlp.{list}.{weight}")
    }

    /// What the gate is called in its layer.
    pub(crate) fn gate(self) -> &'static str {
        if self == Self::Mixtral { "block_sparse_moe.gate.weight" } else { "mlp.gate.weight" }
    }

    /// What the gate of the shared expert is called, where there is one.
    pub(crate) fn shared_gate(self) -> Option<&'static str> {
        (self == Self::Qwen).then_some("mlp.shared_expert_gate.weight")
    }

    /// Biases that its attention has and a dense model may lack.
    pub(crate) fn wanted_biases(self) -> &'static [&'static str] {
        if self == Self::Qwen { &BIASES } else { &[] }
    }
}
