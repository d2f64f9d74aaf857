//! Merges of models with different vocabularies, on disk: bytes, files, what a dry run says.

use crate::{
    MergeExecute, MergeSpec,
    checkpoint::Sources,
    dry_run,
    testing::{Tensor, context, drive, read_checkpoint, write_checkpoint},
    tokenizer::{TokenizerFile, testing::bpe},
};
use braid_kernels::Dtype;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{fs, path::Path};

const EMBED: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// Rows of 48 numbers that are small, not round, and differ from model to model.
fn rows(count: usize, seed: usize) -> Vec<Vec<f32>> {
    let value = |row: usize, column: usize| ((row * 31 + column * 7 + seed * 13) % 97) as f32 / 64.0 - 0.5;
    (0..count).map(|row| (0..48).map(|column| value(row, column)).collect()).collect()
}

fn tensor(name: &str, dtype: Dtype, rows: &[Vec<f32>]) -> Tensor {
    let values = rows.iter().flatten().copied();
    let tensor = Tensor::f32(name, &[rows.len() as u64, 48], values.clone());
    match dtype {
        Dtype::BF16 => Tensor { dtype, bytes: values.flat_map(|v| half::bf16::from_f32(v).to_le_bytes()).collect(), ..tensor },
        _ => tensor,
    }
}

/// A model with these tokens, whose rows of embedding and head are these.
fn model(root: &Path, tokens: &[&str], added: &[(u32, &str)], dtype: Dtype, rows: &[Vec<f32>]) {
    // the same one whatever the order of the tokens
    let first = rows.iter().min_by(|a, b| a.partial_cmp(b).unwrap()).unwrap();
    let norm = Tensor { shape: vec![48], ..tensor("model.norm.weight", dtype, std::slice::from_ref(first)) };
    let config = json!({"vocab_size": rows.len(), "bos_token_id": 0, "eos_token_id": [1]});
    write_checkpoint(root, &config, &[tensor(EMBED, dtype, rows), tensor(HEAD, dtype, rows), norm], 1);
    fs::write(root.join("tokenizer.json"), bpe(tokens, added).to_string()).unwrap();
    fs::write(root.join("tokenizer_config.json"), r#"{"added_tokens_decoder": {}}"#).unwrap();
    fs::write(root.join("generation_config.json"), config.to_string()).unwrap();
    fs::write(root.join("vocab.json"), "{}").unwrap();
}

fn spec(root: &Path, recipe: &str, out: &str) -> MergeSpec {
    MergeSpec {
        recipe: recipe.into(),
        recipe_file: "r.yml".into(),
        directory: root.to_owned(),
        out: root.join(out),
        max_shard_size: 1 << 30,
        seed: 3,
        reuse: None,
    }
}

fn merge(root: &Path, recipe: &str, out: &str, threads: usize) -> Vec<Tensor> {
    let spec = serde_json::to_value(spec(root, recipe, out)).unwrap();
    drive(&MergeExecute::new(), &spec, &context(threads, 256 << 20)).unwrap_or_else(|failure| panic!("{recipe}: {failure:?}"));
    read_checkpoint(&root.join(out))
}

fn row(tensors: &[Tensor], name: &str, row: usize) -> Vec<f32> {
    let tensor = tensors.iter().find(|tensor| tensor.name == name).unwrap();
    assert_eq!(tensor.dtype, Dtype::F32);
    let values: Vec<f32> = tensor.bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    values.chunks(48).nth(row).unwrap().to_vec()
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_union_has_the_tokens_and_the_embeddings_of_all() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    model(&root.join("a"), &["p", "q"], &[], Dtype::F32, &rows(2, 1));
    model(&root.join("b"), &["q", "r"], &[(2, "<s>")], Dtype::BF16, &rows(3, 2));
    let text = |weight: &str, rest: &str| {
        format!(
            "merge_method: linear\nmodels: [{{model: a, parameters: {{weight: 1}}}}, {{model: b, parameters: {{weight: {weight}}}}}]\n{rest}"
        )
    };
    let recipe = text("3", "tokenizer: {source: union, pad_to_multiple_of: 3}\n");
    let result = merge(root, &recipe, "out", 2);
    let (a, b) = (rows(2, 1), rows(3, 2));
    let mix = |x: &[f32], y: &[f32]| -> Vec<f32> {
        x.iter().zip(y).map(|(x, y)| ((f64::from(*x) + 3.0 * f64::from(*y)) / 4.0) as f32).collect()
    };
    let column = |of: [&[f32]; 4], index: usize| of.iter().map(|row| f64::from(row[index])).sum::<f64>() / 4.0;
    // p q r <s>, and the mean of these in each model
    let of_a: [&[f32]; 4] = [&a[0], &a[1], &b[1], &b[2]];
    let of_b: [&[f32]; 4] = [&a[0], &b[0], &b[1], &b[2]];
    let mean = |of: [&[f32]; 4]| -> Vec<f32> { (0..48).map(|index| column(of, index) as f32).collect() };
    for name in [EMBED, HEAD] {
        for id in 0..4 {
            let (found, expected) = (row(&result, name, id), mix(of_a[id], of_b[id]));
            let near = found.iter().zip(&expected).all(|(x, y)| (x - y).abs() <= 1e-6);
            assert!(near, "{name} {id}: {found:?}\n{expected:?}");
        }
        for id in 4..6 {
            let expected = mix(&mean(of_a), &mean(of_b));
            assert!(row(&result, name, id).iter().zip(&expected).all(|(x, y)| (x - y).abs() <= 1e-6), "{name} {id}");
        }
    }
    let tokenizer = TokenizerFile::open(&Sources::mounted(), &root.join("out")).unwrap().unwrap();
    assert_eq!(tokenizer.tokens().collect::<Vec<_>>(), [(0, "p"), (1, "q"), (2, "r"), (3, "<s>")]);
    assert_eq!(json_of(&root.join("out/config.json"))["vocab_size"], 6);
    let listed = json_of(&root.join("out/tokenizer_config.json"));
    assert_eq!(listed["added_tokens_decoder"]["3"]["special"], true);
    assert!(!root.join("out/vocab.json").exists(), "an older form of a tokenizer does not know what was added");

    let foretold = dry_run(&spec(root, &recipe, "other")).unwrap();
    assert_eq!(foretold.summary.vocabulary, Some((4, 6)));
    assert_eq!(foretold.summary.bytes_out, (2 * 6 + 1) * 48 * 4);
    // embedding and head: of a p, q and r, <s> of b; of b its own and p of a; all once more for their means. And the norms.
    let once = 48 * ((2 * 4 + 2 * 2) + (3 * 2 + 4));
    assert_eq!(foretold.summary.bytes_read, 2 * 2 * once + 48 * (4 + 2));
}

#[test]
fn the_tokenizer_of_another_model_brings_its_files_and_numbers() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    model(&root.join("a"), &["p", "q"], &[], Dtype::F32, &rows(2, 1));
    model(&root.join("b"), &["q", "p"], &[(2, "<s>")], Dtype::F32, &rows(5, 2));
    fs::create_dir(root.join("t")).unwrap();
    let text = bpe(&["q", "x", "p"], &[]).to_string();
    fs::write(root.join("t/tokenizer.json"), &text).unwrap();
    let recipe = "merge_method: passthrough\nmodels: [{model: a}]\ntokenizer_source: t\n";
    let result = merge(root, recipe, "out", 1);
    let (a, zero) = (rows(2, 1), vec![0.0; 48]);
    let found: Vec<Vec<f32>> = (0..3).map(|id| row(&result, EMBED, id)).collect();
    assert_eq!(found, [a[1].clone(), zero, a[0].clone()]);
    assert_eq!(fs::read_to_string(root.join("out/tokenizer.json")).unwrap(), text);
    for file in ["config.json", "generation_config.json"] {
        let config = json_of(&root.join("out").join(file));
        assert_eq!((&config["bos_token_id"], &config["eos_token_id"]), (&json!(2), &json!([0])), "{file}");
    }
    assert!(!root.join("out/tokenizer_config.json").exists(), "the donor's would speak of other tokens");
    // rows beyond the tokens are left out, as in mergekit
    let recipe = "merge_method: passthrough\nmodels: [{model: b}]\ntokenizer_source: base\n";
    let result = merge(root, recipe, "cut", 1);
    let embed = result.iter().find(|tensor| tensor.name == EMBED).unwrap();
    assert_eq!((embed.shape.as_slice(), &embed.bytes), (&[3, 48][..], &tensor(EMBED, Dtype::F32, &rows(5, 2)[..3]).bytes));
    assert!(root.join("cut/vocab.json").exists());
}

#[test]
fn rows_of_eight_bit_embeddings_are_read_through_their_scales() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    model(&root.join("a"), &["p", "q"], &[], Dtype::F32, &rows(2, 1));
    model(&root.join("b"), &["q", "p"], &[], Dtype::F32, &rows(2, 2));
    // 1 and 2 in E4M3, times the scales of their rows
    let codes = [[0x38; 48], [0x40; 48]].concat();
    let embed = Tensor { name: EMBED.into(), dtype: Dtype::F8E4M3, shape: vec![2, 48], bytes: codes };
    let scales = Tensor::f32(&format!("{EMBED}_scale"), &[2, 1], [0.5, 0.75]);
    let norm = Tensor { shape: vec![48], ..tensor("model.norm.weight", Dtype::F32, &rows(1, 3)) };
    let weights = json!({"num_bits": 8, "type": "float", "strategy": "channel"});
    let config = json!({"vocab_size": 2, "torch_dtype": "bfloat16", "quantization_config": {
        "quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"group_0": {"weights": weights}},
    }});
    write_checkpoint(&root.join("b"), &config, &[embed, scales, tensor(HEAD, Dtype::F32, &rows(2, 2)), norm], 1);
    let recipe = "merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: a}, {model: b}]\ntokenizer_source: base\ndtype: float32\n";
    let (result, a) = (merge(root, recipe, "out", 2), rows(2, 1));
    for (id, of_b) in [(0, 1.5), (1, 0.5)] {
        let expected: Vec<f32> = a[id].iter().map(|value| (value + of_b) / 2.0).collect();
        assert_eq!(row(&result, EMBED, id), expected, "row {id}");
    }
}

/// Recipes of every class: per element, with a mask, per row, per tensor, over whole models, whole tensors in memory.
const METHODS: [&str; 7] = [
    "merge_method: linear\nparameters: {weight: 0.7}\nmodels: [{model: base}, {model: x}, {model: v}]\n",
    "merge_method: task_arithmetic\nbase_model: base\nparameters: {weight: 0.7}\nmodels: [{model: x}, {model: v}]\n",
    "merge_method: della\nbase_model: base\nparameters: {weight: 1, density: 1, epsilon: 0}\nmodels: [{model: x}, {model: v}]\n",
    "merge_method: ties\nbase_model: base\nparameters: {weight: 1, density: 0.4}\nmodels: [{model: x}, {model: v}]\n",
    "merge_method: slerp\nbase_model: base\nparameters: {t: 0.4}\nmodels: [{model: x}]\n",
    "merge_method: ties_published\nbase_model: base\nparameters: {density: 0.4}\nmodels: [{model: x}, {model: v}]\n",
    "merge_method: tsvm\nbase_model: base\nmodels: [{model: x}, {model: v}]\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]
    /// Models that number the same tokens differently: bringing them to the base's vocabulary and merging is merging the same models
    /// with the base's numbers, to the last bit, on any number of threads.
    #[test]
    fn models_that_number_tokens_differently_merge_as_those_that_do_not(
        orders in proptest::collection::vec(Just((0..40usize).collect::<Vec<_>>()).prop_shuffle(), 2),
        method in 0..METHODS.len(),
        bf16: bool,
    ) {
        let house = tempfile::tempdir().unwrap();
        let (plain, moved) = (house.path().join("plain"), house.path().join("moved"));
        let dtype = if bf16 { Dtype::BF16 } else { Dtype::F32 };
        let names: Vec<String> = (0..40).map(|token| format!("t{token}")).collect();
        let same: Vec<usize> = (0..40).collect();
        for (seed, (name, order)) in ["base", "x", "v"].into_iter().zip([&same, &orders[0], &orders[1]]).enumerate() {
            let of = rows(40, seed);
            let tokens: Vec<&str> = names.iter().map(String::as_str).collect();
            model(&plain.join(name), &tokens, &[], dtype, &of);
            let tokens: Vec<&str> = order.iter().map(|token| names[*token].as_str()).collect();
            let of: Vec<Vec<f32>> = order.iter().map(|token| of[*token].clone()).collect();
            model(&moved.join(name), &tokens, &[], dtype, &of);
        }
        let text = METHODS[method];
        let expected = merge(&plain, text, "out", 1);
        for (source, threads) in [("base", 1), ("union", 3)] {
            let found = merge(&moved, &format!("{text}tokenizer_source: {source}\n"), &format!("out-{source}"), threads);
            prop_assert_eq!(&found, &expected, "{}", text);
        }
        let untouched = merge(&plain, &format!("{text}tokenizer_source: union\n"), "union", 2);
        prop_assert_eq!(&untouched, &expected);
        let digest = |folder: &Path| json_of(&folder.join("braid.json"))["digest"].clone();
        prop_assert_eq!(digest(&moved.join("out-base")), digest(&plain.join("out")));
    }
}
