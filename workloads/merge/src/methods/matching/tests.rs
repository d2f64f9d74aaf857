//! Weight matching through whole merges: a model whose units were shuffled comes back, to the bit.

use crate::testing::{Tensor, merge, read_checkpoint, write_checkpoint};
use braid_kernels::Dtype;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};

const WIDTH: u64 = 8;
const HIDDEN: u64 = 24;
const HEAD: u64 = 4;
const HEADS: u64 = 4;
const KEYS: u64 = 2;

type Model = BTreeMap<String, (Vec<u64>, Vec<f32>)>;

fn shapes() -> Vec<(String, Vec<u64>)> {
    let mut shapes =
        vec![("model.embed_tokens.weight".to_owned(), vec![10, WIDTH]), ("model.norm.weight".to_owned(), vec![WIDTH])];
    for layer in 0..2 {
        let name = |rest: &str| format!("model.layers.{layer}.{rest}");
        shapes.extend([
            (name("mlp.gate_proj.weight"), vec![HIDDEN, WIDTH]),
            (name("mlp.up_proj.weight"), vec![HIDDEN, WIDTH]),
            (name("mlp.up_proj.bias"), vec![HIDDEN]),
            (name("mlp.down_proj.weight"), vec![WIDTH, HIDDEN]),
            (name("self_attn.q_proj.weight"), vec![HEADS * HEAD, WIDTH]),
            (name("self_attn.q_proj.bias"), vec![HEADS * HEAD]),
            (name("self_attn.k_proj.weight"), vec![KEYS * HEAD, WIDTH]),
            (name("self_attn.v_proj.weight"), vec![KEYS * HEAD, WIDTH]),
            (name("self_attn.o_proj.weight"), vec![WIDTH, HEADS * HEAD]),
        ]);
    }
    shapes
}

fn model(seed: u64) -> Model {
    let tensor = |(seed, (name, shape)): (u64, (String, Vec<u64>))| {
        let noise = Tensor::noise(&name, Dtype::F32, shape.iter().product(), seed);
        let values = noise.bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        (name, (shape, values))
    };
    (seed * 1000..).zip(shapes()).map(tensor).collect()
}

fn write(root: &Path, model: &Model) {
    let tensors: Vec<Tensor> =
        model.iter().map(|(name, (shape, values))| Tensor::f32(name, shape, values.iter().copied())).collect();
    let config = json!({"num_hidden_layers": 2, "num_attention_heads": HEADS, "num_key_value_heads": KEYS});
    write_checkpoint(root, &config, &tensors, 2);
}

/// Puts the blocks of `length` along an axis into another order.
fn shuffle(model: &mut Model, name: &str, axis: usize, length: usize, order: &[usize]) {
    let (shape, values) = model.get_mut(name).unwrap();
    let cols = if shape.len() == 2 { shape[1] as usize } else { 1 };
    let from = |place: usize| order[place / length] * length + place % length;
    let old = values.clone();
    for (place, value) in values.iter_mut().enumerate() {
        let (row, col) = (place / cols, place % cols);
        *value = if axis == 0 { old[from(row) * cols + col] } else { old[row * cols + from(col)] };
    }
}

/// The model with hidden units of every layer shuffled, and its heads: the same function.
fn shuffled(mut model: Model) -> Model {
    let units: Vec<usize> = (0..HIDDEN as usize).map(|unit| (unit * 7 + 5) % HIDDEN as usize).collect();
    for layer in 0..2 {
        let name = |rest: &str| format!("model.layers.{layer}.{rest}");
        for (rest, axis) in [("gate_proj.weight", 0), ("up_proj.weight", 0), ("up_proj.bias", 0), ("down_proj.weight", 1)] {
            shuffle(&mut model, &name(&format!("mlp.{rest}")), axis, 1, &units);
        }
        let (keys, queries) = ([1, 0], [3, 2, 0, 1]);
        for (rest, axis, order) in [
            ("q_proj.weight", 0, &queries[..]),
            ("q_proj.bias", 0, &queries),
            ("k_proj.weight", 0, &keys),
            ("v_proj.weight", 0, &keys),
            ("o_proj.weight", 1, &queries),
        ] {
            shuffle(&mut model, &name(&format!("self_attn.{rest}")), axis, HEAD as usize, order);
        }
    }
    model
}

const RECIPE: &str = "merge_method: weight_matching\nbase_model: base\nmodels: [{model: model}]\n";

#[test]
fn a_shuffled_model_comes_back_to_the_bit_whoever_does_it() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    // trained on from the base: near to it, and not the same
    let near: Model = model(1)
        .into_iter()
        .zip(model(2).into_values())
        .map(|((name, (shape, values)), (_, other))| {
            (name, (shape, values.iter().zip(other).map(|(a, b)| a + 0.05 * b).collect()))
        })
        .collect();
    write(&root.join("base"), &model(1));
    write(&root.join("near"), &near);
    write(&root.join("model"), &shuffled(near));
    for threads in [1, 2, 3] {
        let out = format!("out-{threads}");
        merge(root, RECIPE, &out, threads).unwrap();
        assert_eq!(read_checkpoint(&root.join(&out)), read_checkpoint(&root.join("near")));
    }
    let report = |threads| fs::read(root.join(format!("out-{threads}/weight_matching.json"))).unwrap();
    assert_eq!(report(1), report(2));
    assert_eq!(report(1), report(3));
    let report: Value = serde_json::from_slice(&report(1)).unwrap();
    let groups = report["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 4);
    for group in groups {
        let correlation = &group["correlation"];
        assert!(correlation["before"].as_f64().unwrap() < 0.5, "{group}");
        assert!(correlation["least"].as_f64().unwrap() > 0.9, "{group}");
        assert_eq!(correlation["taken_by_any"], group["units"]);
    }
    assert!(report["moved"].as_u64().unwrap() > 2 * (HIDDEN - 3));
}

#[test]
fn a_model_in_the_order_of_its_base_is_left_as_it_is() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    write(&root.join("base"), &model(1));
    write(&root.join("model"), &model(1));
    merge(root, RECIPE, "out", 2).unwrap();
    assert_eq!(read_checkpoint(&root.join("out")), read_checkpoint(&root.join("model")));
    let report: Value = serde_json::from_slice(&fs::read(root.join("out/weight_matching.json")).unwrap()).unwrap();
    assert_eq!(report["moved"], 0);
}

#[test]
fn models_without_known_groups_are_refused() {
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    for name in ["base", "model"] {
        write_checkpoint(&root.join(name), &json!({}), &[Tensor::noise("x.weight", Dtype::F32, 9, 1)], 1);
    }
    let message = merge(root, RECIPE, "out", 1).unwrap_err().message;
    assert!(message.contains("weight_matching: no group of tensors with hidden units is known"), "{message}");
    assert!(!root.join(".out.braid").exists());
}
