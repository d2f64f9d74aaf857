//! Mixtures through whole runs: names, shapes and configs as the architectures have them, and gates against f64 arithmetic.

use crate::{
    MergeExecute, MergeWorkload,
    testing::{Tensor, context, drive, merge, read_checkpoint, write_checkpoint},
};
use braid_kernels::Dtype;
use braid_workload::{Advance, Execute, TaskContext, TaskId, Workload};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

const WIDTH: u64 = 6;
const INNER: u64 = 10;
const TOKENS: u64 = 8;

fn shaped(name: String, shape: &[u64], seed: u64) -> Tensor {
    Tensor { shape: shape.to_vec(), ..Tensor::noise(&name, Dtype::F32, shape.iter().product(), seed) }
}

/// A dense model of two layers.
fn dense(seed: u64, biases: bool) -> Vec<Tensor> {
    let mut tensors = vec![shaped("model.embed_tokens.weight".into(), &[TOKENS, WIDTH], seed)];
    for layer in 0..2u64 {
        let named = |rest: &str| format!("model.layers.{layer}.{rest}");
        let mut seed = seed * 100 + layer * 20;
        let mut push = |rest: &str, shape: &[u64]| {
            seed += 1;
            tensors.push(shaped(named(rest), shape, seed));
        };
        for projection in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            let rows = if ["k_proj", "v_proj"].contains(&projection) { WIDTH / 2 } else { WIDTH };
            push(&format!("self_attn.{projection}.weight"), &[rows, WIDTH]);
            if biases && projection != "o_proj" {
                push(&format!("self_attn.{projection}.bias"), &[rows]);
            }
        }
        push("input_layernorm.weight", &[WIDTH]);
        push("post_attention_layernorm.weight", &[WIDTH]);
        push("mlp.gate_proj.weight", &[INNER, WIDTH]);
        push("mlp.up_proj.weight", &[INNER, WIDTH]);
        push("mlp.down_proj.weight", &[WIDTH, INNER]);
    }
    tensors.push(shaped("model.norm.weight".into(), &[WIDTH], seed + 7));
    tensors.push(shaped("lm_head.weight".into(), &[TOKENS, WIDTH], seed + 8));
    tensors
}

fn config(kind: &str) -> Value {
    json!({
        "architectures": ["X"], "model_type": kind, "hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": TOKENS, "torch_dtype": "float32", "sliding_window": 9,
    })
}

/// Three models of a type in a folder, and a tokenizer of whole words for the first.
pub(crate) fn house(kind: &str) -> TempDir {
    let house = tempfile::tempdir().unwrap();
    for (name, seed) in [("base", 1), ("one", 2), ("two", 3)] {
        write_checkpoint(&house.path().join(name), &config(kind), &dense(seed, kind == "qwen2"), 1);
    }
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [{"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {
            "type": "WordLevel", "unk_token": "?",
            "vocab": {"<s>": 0, "?": 1, "sum": 2, "poem": 3, "rhyme": 4, "number": 5, "write": 6, "far": 7},
        },
    });
    std::fs::write(house.path().join("base/tokenizer.json"), tokenizer.to_string()).unwrap();
    std::fs::write(house.path().join("base/tokenizer_config.json"), r#"{"bos_token": {"content": "<s>"}}"#).unwrap();
    house
}

const EXPERTS: &str = "experts:\n- {source_model: one, positive_prompts: [sum number, sum], negative_prompts: [poem]}\n- {source_model: two, \
                       positive_prompts: [write rhyme]}\n";

pub(crate) fn recipe(rest: &str) -> String {
    format!("base_model: base\n{EXPERTS}{rest}\n")
}

fn floats(tensor: &Tensor) -> Vec<f64> {
    assert_eq!(tensor.dtype, Dtype::F32);
    tensor.bytes.as_chunks::<4>().0.iter().map(|four| f64::from(f32::from_le_bytes(*four))).collect()
}

fn find<'a>(tensors: &'a [Tensor], name: &str) -> &'a Tensor {
    tensors.iter().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("no {name}"))
}

fn written_config(root: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(root.join("config.json")).unwrap()).unwrap()
}

#[test]
fn mixtral_has_the_mlps_of_experts_and_the_rest_of_the_base() {
    let house = house("mistral");
    merge(house.path(), &recipe("gate_mode: random"), "out", 2).unwrap();
    let out = read_checkpoint(&house.path().join("out"));
    let (base, experts) = (dense(1, false), [dense(2, false), dense(3, false)]);
    assert_eq!(out.len(), base.len() - 6 + 2 * (1 + 2 * 3));
    for tensor in base.iter().filter(|tensor| !tensor.name.contains(".mlp.")) {
        assert_eq!(find(&out, &tensor.name), tensor);
    }
    for (layer, index, (own, of)) in
        [0, 1].into_iter().flat_map(|layer| [0usize, 1].map(|index| (layer, index))).flat_map(|(layer, index)| {
            [("w1", "gate_proj"), ("w2", "down_proj"), ("w3", "up_proj")].map(|names| (layer, index, names))
        })
    {
        let found = find(&out, &format!("model.layers.{layer}.block_sparse_moe.experts.{index}.{own}.weight"));
        let source = find(&experts[index], &format!("model.layers.{layer}.mlp.{of}.weight"));
        assert_eq!((&found.shape, &found.bytes), (&source.shape, &source.bytes));
    }
    assert_eq!(find(&out, "model.layers.1.block_sparse_moe.gate.weight").shape, [2, WIDTH]);
    let config = written_config(&house.path().join("out"));
    for (key, value) in [
        ("architectures", json!(["MixtralForCausalLM"])),
        ("model_type", json!("mixtral")),
        ("num_local_experts", json!(2)),
        ("num_experts_per_tok", json!(2)),
        ("sliding_window", json!(null)),
        ("rms_norm_eps", json!(1e-6)),
        ("rope_theta", json!(10000.0)),
        ("num_key_value_heads", json!(1)),
    ] {
        assert_eq!(config[key], value, "{key}");
    }
}

#[test]
fn drawn_gates_have_their_distribution_and_hang_on_the_seed_alone() {
    let house = house("llama");
    let gate = |mode: &str, out: &str, seed: u64, threads: usize| {
        let spec = json!({
            "recipe": recipe(&format!("gate_mode: {mode}")), "recipe_file": "r.yml", "directory": house.path(),
            "out": house.path().join(out), "seed": seed,
        });
        drive(&MergeExecute::new(), &spec, &context(threads, 64 << 20)).unwrap();
        let out = read_checkpoint(&house.path().join(out));
        [0, 1].map(|layer| floats(find(&out, &format!("model.layers.{layer}.block_sparse_moe.gate.weight"))))
    };
    let drawn = gate("random", "a", 5, 1);
    assert_eq!(drawn, gate("random", "b", 5, 3));
    assert_ne!(drawn, gate("random", "c", 6, 1));
    assert_ne!(drawn[0], drawn[1]);
    assert!(drawn.iter().flatten().any(|value| value.abs() > 1.0), "{drawn:?}");
    let bound = (1.0 / WIDTH as f64).sqrt();
    let uniform = gate("uniform_random", "d", 5, 1);
    assert!(uniform.iter().flatten().all(|value| value.abs() <= bound));
    assert!(uniform.iter().flatten().any(|value| value.abs() > bound / 2.0));
}

/// The gate of prompts with these tokens, by the formula.
fn oracle(positive: &[usize], negative: &[usize]) -> Vec<f64> {
    let embedding = floats(&dense(1, false)[0]);
    let unit = |vector: Vec<f64>| {
        let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
        vector.into_iter().map(move |value| value / length).collect::<Vec<f64>>()
    };
    let mean = |tokens: &[usize]| {
        let column = |at: usize| tokens.iter().map(|token| embedding[token * WIDTH as usize + at]).sum::<f64>();
        unit((0..WIDTH as usize).map(column).collect())
    };
    let row = mean(positive);
    if negative.is_empty() {
        return row;
    }
    unit(row.iter().zip(mean(negative)).map(|(value, less)| value - less).collect())
}

#[test]
fn gates_of_prompts_are_directions_of_embeddings() {
    let house = house("llama");
    merge(house.path(), &recipe("gate_mode: cheap_embed\nexperts_per_token: 1"), "out", 2).unwrap();
    let out = read_checkpoint(&house.path().join("out"));
    // every prompt begins with the token that begins texts
    let expected = [oracle(&[0, 2, 5, 0, 2], &[0, 3]), oracle(&[0, 6, 4], &[])].concat();
    for layer in 0..2 {
        let found = floats(find(&out, &format!("model.layers.{layer}.block_sparse_moe.gate.weight")));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-7, "{found} for {expected}");
        }
        assert_eq!(found.len(), expected.len());
    }
    // another tokenizer makes another mixture: nothing of it is taken for this one
    let path = house.path().join("base/tokenizer.json");
    let text = std::fs::read_to_string(&path).unwrap().replace("\"sum\":2", "\"sum\":7").replace("\"far\":7", "\"far\":2");
    std::fs::write(path, text).unwrap();
    let failure = merge(house.path(), &recipe("gate_mode: cheap_embed\nexperts_per_token: 1"), "out", 2).unwrap_err();
    assert!(failure.message.contains("out"), "{}", failure.message);
}

#[test]
fn qwen_has_a_shared_expert_with_a_gate_and_biases() {
    for kind in ["llama", "qwen2"] {
        let house = house(kind);
        let rest = "architecture: qwen\ngate_mode: cheap_embed\nshared_experts: [{source_model: base, positive_prompts: [far], residual_scale: 0.5}]";
        merge(house.path(), &recipe(rest), "out", 2).unwrap();
        let (out, base) = (read_checkpoint(&house.path().join("out")), dense(1, kind == "qwen2"));
        let bias = find(&out, "model.layers.1.self_attn.k_proj.bias");
        match kind {
            "llama" => assert_eq!((&bias.shape, floats(bias)), (&vec![WIDTH / 2], vec![0.0; 3])),
            _ => assert_eq!(bias, find(&base, "model.layers.1.self_attn.k_proj.bias")),
        }
        assert_eq!(out.len(), dense(1, true).len() - 6 + 2 * (2 + 3 * 3));
        let down = find(&base, "model.layers.0.mlp.down_proj.weight");
        let found = find(&out, "model.layers.0.mlp.shared_expert.down_proj.weight");
        assert_eq!(floats(found), floats(down).iter().map(|value| value / 2.0).collect::<Vec<_>>());
        let up = find(&out, "model.layers.0.mlp.shared_expert.up_proj.weight");
        assert_eq!(up.bytes, find(&base, "model.layers.0.mlp.up_proj.weight").bytes);
        let gate = find(&out, "model.layers.0.mlp.shared_expert_gate.weight");
        assert_eq!(gate.shape, [1, WIDTH]);
        for (found, expected) in floats(gate).iter().zip(oracle(&[0, 7], &[])) {
            assert!((found - expected).abs() < 1e-7);
        }
        assert_eq!(find(&out, "model.layers.1.mlp.experts.1.up_proj.weight").shape, [INNER, WIDTH]);
        let config = written_config(&house.path().join("out"));
        assert_eq!(config["model_type"], "qwen2_moe");
        assert_eq!((&config["num_experts"], &config["shared_expert_intermediate_size"]), (&json!(2), &json!(INNER)));
        assert_eq!((&config["norm_topk_prob"], &config["decoder_sparse_step"]), (&json!(true), &json!(1)));
    }
}

#[test]
fn deepseek_has_a_shared_expert_without_a_gate_and_noise_is_an_elements_own() {
    let house = house("llama");
    let recipe = "base_model: base\narchitecture: deepseek\ngate_mode: random\nexperts_per_token: 1\nexperts:\n- {source_model: one, noise_scale: 0.1}\n\
                  - {source_model: one, noise_scale: 0.1, residual_scale: 2}\nshared_experts: [{source_model: two}]\n";
    merge(house.path(), recipe, "out", 2).unwrap();
    merge(house.path(), recipe, "again", 1).unwrap();
    let out = read_checkpoint(&house.path().join("out"));
    assert_eq!(out, read_checkpoint(&house.path().join("again")));
    let (one, two) = (dense(2, false), dense(3, false));
    let shared = find(&out, "model.layers.1.mlp.shared_experts.down_proj.weight");
    assert_eq!(shared.bytes, find(&two, "model.layers.1.mlp.down_proj.weight").bytes);
    let source = floats(find(&one, "model.layers.0.mlp.down_proj.weight"));
    let noise = |index: usize, scale: f64| -> Vec<f64> {
        let found = floats(find(&out, &format!("model.layers.0.mlp.experts.{index}.down_proj.weight")));
        found.iter().zip(&source).map(|(found, source)| found / scale - source).collect()
    };
    let (first, second) = (noise(0, 1.0), noise(1, 2.0));
    for noise in [&first, &second] {
        let deviation = (noise.iter().map(|value| value * value).sum::<f64>() / noise.len() as f64).sqrt();
        assert!((0.06..0.14).contains(&deviation), "{deviation}");
    }
    assert!(first.iter().zip(&second).any(|(a, b)| (a - b).abs() > 0.01), "experts have noise of their own");
    let config = written_config(&house.path().join("out"));
    assert_eq!((&config["n_routed_experts"], &config["n_shared_experts"]), (&json!(2), &json!(1)));
    assert_eq!(config["num_experts_per_tok"], 1);
}

/// Each task by another worker than the one before, with threads and memory of its own.
#[test]
fn the_example_is_the_same_whichever_workers_make_it() {
    let (house, examples) = (tempfile::tempdir().unwrap(), Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples"));
    let recipe = std::fs::read_to_string(examples.join("moe.yml")).unwrap();
    let mut outputs = Vec::new();
    for workers in 1..=3usize {
        let out = house.path().join(workers.to_string());
        let spec =
            json!({"recipe": recipe, "recipe_file": "moe.yml", "directory": examples, "out": out, "max_shard_size": 1 << 20});
        let pool: Vec<_> =
            (1..=workers).map(|threads| (MergeExecute::new(), context(threads, (16 << 20) * threads as u64))).collect();
        let mut tasks = MergeWorkload.plan(&spec).unwrap().tasks;
        let mut done = 0;
        while let Some(task) = tasks.pop() {
            let (execute, context) = &pool[done % workers];
            let context = TaskContext { task: TaskId { index: done as u32, ..context.task }, ..context.clone() };
            let value = execute.run(&spec, &task, &context).unwrap();
            if let Advance::Continue { tasks: more, .. } =
                MergeWorkload.advance(&spec, &Value::Null, &task, &value, tasks.len()).unwrap()
            {
                tasks.extend(more);
            }
            done += 1;
        }
        outputs.push(read_checkpoint(&out));
    }
    assert!(outputs[0] == outputs[1] && outputs[0] == outputs[2]);
    let gate = find(&outputs[0], "model.layers.3.block_sparse_moe.gate.weight");
    assert_eq!((gate.dtype, gate.shape.as_slice()), (Dtype::BF16, &[4, 128][..]));
    let values: Vec<f64> = gate.bytes.as_chunks::<2>().0.iter().map(|two| half::bf16::from_le_bytes(*two).to_f64()).collect();
    for row in values.chunks(128) {
        let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
        assert!((length - 1.0).abs() < 0.01, "{length}");
    }
}

#[test]
fn another_type_of_numbers_is_rounded_to() {
    let house = house("mistral");
    merge(house.path(), &recipe("gate_mode: random\ndtype: bfloat16"), "out", 2).unwrap();
    assert!(read_checkpoint(&house.path().join("out")).iter().all(|tensor| tensor.dtype == Dtype::BF16));
    assert_eq!(written_config(&house.path().join("out"))["torch_dtype"], "bfloat16");
}

#[test]
fn what_cannot_be_a_mixture_is_said() {
    let shared = "shared_experts: [{source_model: base, positive_prompts: [far]}]\n";
    for (kind, text, expected) in [
        (
            "gpt2",
            recipe("gate_mode: random"),
            "no architecture takes these models: Mixtral takes models of type llama or mistral, and `base` is of type gpt2;",
        ),
        (
            "llama",
            recipe("gate_mode: random\narchitecture: grok"),
            "there is no architecture \"grok\"; the architectures are Mixtral,",
        ),
        ("qwen2", recipe("gate_mode: random\narchitecture: qwen"), "Qwen MoE needs exactly one of `shared_experts`, not 0"),
        ("llama", recipe(&format!("gate_mode: random\narchitecture: mixtral\n{shared}")), "Mixtral has no shared experts"),
        (
            "llama",
            recipe(&format!("gate_mode: random\narchitecture: deepseek\n{shared}")),
            "DeepSeek MoE has no gate for its shared expert",
        ),
        (
            "qwen2",
            recipe("gate_mode: cheap_embed\nshared_experts: [{source_model: base}]"),
            "Qwen MoE has a gate for its shared expert, which needs `positive_prompts`",
        ),
        ("qwen3", recipe("gate_mode: random"), "model `base` has"),
        ("mistral", recipe("gate_mode: random").replace("model: two", "model: gone"), "model `gone` is not there"),
    ] {
        let house = house(kind);
        if kind == "qwen3" {
            let mut tensors = dense(1, false);
            tensors[1].name = "model.layers.0.self_attn.q_proj.extra".into();
            write_checkpoint(&house.path().join("base"), &config(kind), &tensors, 1);
            let message = merge(house.path(), &text, "out", 1).unwrap_err().message;
            assert!(
                message.contains("Qwen3 MoE has no place for the tensor \"model.layers.0.self_attn.q_proj.extra\""),
                "{message}"
            );
            continue;
        }
        let failure = merge(house.path(), &text, "out", 1).unwrap_err();
        assert!(failure.message.contains(expected), "{}", failure.message);
        assert!(!house.path().join("out").exists());
    }
    let house = house("llama");
    let failed = |text: &str| merge(house.path(), text, "out", 1).unwrap_err().message;
    let mut tensors = dense(3, false);
    let place = tensors.iter().position(|tensor| tensor.name.ends_with("1.mlp.up_proj.weight")).unwrap();
    tensors[place] = shaped(tensors[place].name.clone(), &[INNER + 1, WIDTH], 1);
    write_checkpoint(&house.path().join("two"), &config("llama"), &tensors, 1);
    let message = failed(&recipe("gate_mode: random"));
    assert!(message.contains("of model `two` is [11, 6], that of base `base` [10, 6]"), "{message}");
    assert!(message.starts_with("recipe.yml:4:3"), "{message}");
    tensors.remove(place);
    write_checkpoint(&house.path().join("two"), &config("llama"), &tensors, 1);
    assert!(failed(&recipe("gate_mode: random")).contains("model `two` has no tensor \"model.layers.1.mlp.up_proj.weight\""));
    write_checkpoint(&house.path().join("two"), &config("mistral"), &dense(3, false), 1);
    assert!(failed(&recipe("gate_mode: random")).contains("`base` is of type llama, `two` of type mistral"));
    write_checkpoint(&house.path().join("base"), &config("llama"), &dense(1, true), 1);
    write_checkpoint(&house.path().join("two"), &config("llama"), &dense(3, false), 1);
    assert!(
        failed(&recipe("gate_mode: random"))
            .contains("Mixtral has no place for the tensor \"model.layers.0.self_attn.k_proj.bias\"")
    );
    let mut config = config("llama");
    config["head_dim"] = json!(WIDTH / 2);
    write_checkpoint(&house.path().join("base"), &config, &dense(1, false), 1);
    merge(house.path(), &recipe("gate_mode: random\narchitecture: deepseek"), "plain-heads", 1).unwrap();
    config["head_dim"] = json!(WIDTH);
    write_checkpoint(&house.path().join("base"), &config, &dense(1, false), 1);
    let message = failed(&recipe("gate_mode: random\narchitecture: deepseek"));
    assert!(
        message.contains("DeepSeek MoE has heads of hidden_size / num_attention_heads elements, and those of `base` have 6"),
        "{message}"
    );
}

#[test]
fn prompts_that_give_no_gate_are_refused() {
    let house = house("llama");
    let failed = |text: &str| merge(house.path(), text, "out", 1).unwrap_err().message;
    let same = recipe("gate_mode: cheap_embed").replace("[poem]", "[sum number, sum]");
    assert!(failed(&same).contains("the prompts of expert 0 (recipe.yml:3:3) cancel each other"), "{}", failed(&same));
    let tokenizer = house.path().join("base/tokenizer.json");
    let text = std::fs::read_to_string(&tokenizer).unwrap();
    std::fs::write(&tokenizer, text.replace("\"rhyme\":4", "\"rhyme\":400")).unwrap();
    let message = failed(&recipe("gate_mode: cheap_embed"));
    assert!(message.contains("has token 400, but \"model.embed_tokens.weight\" has only 8 rows"), "{message}");
    std::fs::write(&tokenizer, "{}").unwrap();
    assert!(failed(&recipe("gate_mode: cheap_embed")).contains("tokenizer.json: "));
    std::fs::remove_file(&tokenizer).unwrap();
    assert!(failed(&recipe("gate_mode: cheap_embed")).contains("has no tokenizer.json, which `cheap_embed` reads prompts with"));
}
