//! Families of checkpoints made by the test: a base and experts near it, Llama-shaped, bf16, in shards.

use half::bf16;
use safetensors::{Dtype, serialize_to_file, tensor::TensorView};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// How large a family is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) layers: usize,
    pub(crate) hidden: usize,
    pub(crate) vocabulary: usize,
    pub(crate) experts: usize,
    pub(crate) shards: usize,
}

/// A base and its experts, each a folder beside the others.
#[derive(Debug)]
pub(crate) struct Family {
    folder: PathBuf,
    experts: usize,
    /// Bytes of tensors of one checkpoint.
    pub(crate) bytes: u64,
}

/// About 49 MB a checkpoint and 195 MB in all: enough for several tasks, done within a second.
pub(crate) const SMALL: Size = Size { layers: 3, hidden: 768, vocabulary: 2048, experts: 3, shards: 2 };

impl Family {
    /// Writes one into `folder`; the same `seed` gives the same bytes.
    pub(crate) fn write(folder: &Path, size: Size, seed: u64) -> Self {
        let mut bytes = 0;
        for model in 0..=size.experts {
            bytes = write_checkpoint(&folder.join(name(model)), size, seed, model, false);
        }
        Self { folder: folder.to_owned(), experts: size.experts, bytes }
    }

    /// Writes beside each expert of a family of this size and seed a checkpoint of numbers that are not negative: what it knows about
    /// its elements.
    pub(crate) fn inform(&self, size: Size, seed: u64) {
        for expert in 1..=size.experts {
            write_checkpoint(&self.folder.join(information(expert)), size, seed + 1, expert, true);
        }
    }

    /// A recipe that merges the experts by a method, or as many as it takes; `density` is the share that stays, where it has one.
    pub(crate) fn recipe(&self, method: &str, density: f64) -> String {
        let path = |model| self.folder.join(name(model)).display().to_string();
        let experts = match method {
            "slerp" | "nearswap" | "arcee_fusion" => 1,
            "nuslerp" => 2,
            _ => self.experts,
        };
        let mut recipe = format!("merge_method: {method}\ndtype: bfloat16\nmodels:\n");
        for expert in 1..=experts {
            let weight = 0.2 + 0.1 * expert as f64;
            let parameters = match method {
                "linear" | "task_arithmetic" | "nuslerp" | "multislerp" => format!("weight: {weight}"),
                "slerp" | "nearswap" | "arcee_fusion" | "model_stock" | "karcher" | "ram" | "ramplus_tl" | "sce"
                | "sce_published" | "varm" | "widen" | "pcb" | "monna" | "fisher" => String::new(),
                "ties_published" => format!("density: {density}"),
                _ => format!("weight: {weight}, density: {density}"),
            };
            writeln!(recipe, "  - model: {}\n    parameters: {{{parameters}}}", path(expert)).unwrap();
            if method == "fisher" {
                writeln!(recipe, "    fisher: {}", self.folder.join(information(expert)).display()).unwrap();
            }
        }
        if !["linear", "nuslerp", "multislerp", "karcher", "fisher"].contains(&method) {
            writeln!(recipe, "base_model: {}", path(0)).unwrap();
        }
        match method {
            "slerp" => recipe.push_str("parameters: {t: 0.4}\n"),
            "nearswap" => recipe.push_str("parameters: {t: 0.0005}\n"),
            "sce" | "sce_published" => writeln!(recipe, "parameters: {{select_topk: {density}}}").unwrap(),
            "monna" => recipe.push_str("parameters: {faulty: 1}\n"),
            _ => {}
        }
        recipe
    }
}

fn name(model: usize) -> String {
    if model == 0 { "base".into() } else { format!("expert{model}") }
}

fn information(expert: usize) -> String {
    format!("fisher{expert}")
}

fn shapes(size: Size) -> Vec<(String, Vec<usize>)> {
    let (hidden, wide) = (size.hidden, size.hidden * 3);
    let mut shapes = vec![("model.embed_tokens.weight".to_owned(), vec![size.vocabulary, hidden])];
    for layer in 0..size.layers {
        for (tensor, shape) in [
            ("self_attn.q_proj", vec![hidden, hidden]),
            ("self_attn.k_proj", vec![hidden / 2, hidden]),
            ("self_attn.v_proj", vec![hidden / 2, hidden]),
            ("self_attn.o_proj", vec![hidden, hidden]),
            ("mlp.gate_proj", vec![wide, hidden]),
            ("mlp.up_proj", vec![wide, hidden]),
            ("mlp.down_proj", vec![hidden, wide]),
            ("input_layernorm", vec![hidden]),
            ("post_attention_layernorm", vec![hidden]),
        ] {
            shapes.push((format!("model.layers.{layer}.{tensor}.weight"), shape));
        }
    }
    shapes.push(("model.norm.weight".into(), vec![hidden]));
    shapes.push(("lm_head.weight".into(), vec![size.vocabulary, hidden]));
    shapes
}

/// Returns the bytes of its tensors.
fn write_checkpoint(folder: &Path, size: Size, seed: u64, model: usize, positive: bool) -> u64 {
    fs::create_dir_all(folder).unwrap();
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16",
        "hidden_size": size.hidden, "intermediate_size": size.hidden * 3, "num_hidden_layers": size.layers,
        "vocab_size": size.vocabulary, "tie_word_embeddings": false,
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let shapes = shapes(size);
    let of_shard = shapes.len().div_ceil(size.shards);
    let (mut map, mut total) = (BTreeMap::new(), 0);
    for (shard, tensors) in shapes.chunks(of_shard).enumerate() {
        let file = format!("model-{:05}-of-{:05}.safetensors", shard + 1, size.shards);
        let mut data: Vec<Vec<u8>> =
            tensors.iter().map(|(name, shape)| values(seed, model, name, shape.iter().product())).collect();
        if positive {
            // the sign of a bfloat16 is the highest bit of its second byte
            data.iter_mut().flat_map(|data| data.iter_mut().skip(1).step_by(2)).for_each(|byte| *byte &= 0x7f);
        }
        let views = tensors
            .iter()
            .zip(&data)
            .map(|((name, shape), data)| (name.clone(), TensorView::new(Dtype::BF16, shape.clone(), data).unwrap()));
        serialize_to_file(views, None, &folder.join(&file)).unwrap();
        total += data.iter().map(|data| data.len() as u64).sum::<u64>();
        map.extend(tensors.iter().map(|(name, _)| (name.clone(), file.clone())));
    }
    let index = serde_json::json!({"metadata": {"total_size": total}, "weight_map": map});
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
    total
}

/// Weights of a base, plus a small difference for an expert. Sums of uniform numbers: cheap, and bell-shaped enough.
fn values(seed: u64, model: usize, name: &str, elements: usize) -> Vec<u8> {
    let of_name = name.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mut base = fastrand::Rng::with_seed(of_name);
    let mut own = fastrand::Rng::with_seed(of_name ^ (model as u64) << 32);
    let mut bytes = Vec::with_capacity(elements * 2);
    for _ in 0..elements {
        let mut value = 0.04 * bell(base.u32(..));
        if model > 0 {
            value += 0.002 * bell(own.u32(..));
        }
        bytes.extend_from_slice(&bf16::from_f32(value).to_le_bytes());
    }
    bytes
}

/// The sum of the four bytes, centred, from -1 to 1.
fn bell(random: u32) -> f32 {
    let sum: u32 = random.to_le_bytes().into_iter().map(u32::from).sum();
    sum as f32 / 510.0 - 1.0
}
