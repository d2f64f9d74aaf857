//! `opcm` against the loop of the authors in f64, which scales its state after every expert, with full decompositions by Jacobi's rotations.

use super::super::tsvm::tests::{Columns, jacobi};
use crate::testing::{Tensor, merge, read_checkpoint, write_checkpoint};
use braid_kernels::Dtype;
use serde_json::{Value, json};
use std::{fs, path::Path};
use tempfile::TempDir;

const ROWS: usize = 14;
const COLS: usize = 9;

fn house() -> TempDir {
    let house = tempfile::tempdir().unwrap();
    for (name, seed) in [("base", 1), ("a", 20), ("b", 40), ("c", 60)] {
        let shaped = |name: &str, shape: &[u64], seed| Tensor {
            shape: shape.to_vec(),
            ..Tensor::noise(name, Dtype::F32, shape.iter().product(), seed)
        };
        let tensors = [
            shaped("model.embed_tokens.weight", &[11, 4], seed),
            shaped("model.layers.0.mlp.up_proj.weight", &[ROWS as u64, COLS as u64], seed + 1),
            shaped("model.norm.weight", &[7], seed + 2),
        ];
        write_checkpoint(&house.path().join(name), &json!({"num_hidden_layers": 1}), &tensors, 1);
    }
    house
}

fn values(root: &Path, folder: &str) -> Vec<Vec<f64>> {
    let decode = |tensor: &Tensor| tensor.bytes.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect();
    read_checkpoint(&root.join(folder)).iter().map(decode).collect()
}

/// What is left of a change beside a state.
fn left_over(state: &[f64], change: &[f64], alpha: f64) -> Vec<f64> {
    let column = |col: usize| (0..ROWS).map(|row| state[row * COLS + col]).collect();
    let (u, s, v): (Columns, Vec<f64>, Columns) = jacobi(&(0..COLS).map(column).collect());
    let total: f64 = s.iter().sum();
    let mut sum = 0.0;
    let split = s.iter().position(|value| {
        sum += value;
        sum / total > alpha
    });
    let split = split.unwrap_or(0);
    let mut out = change.to_vec();
    for (i, j) in (0..COLS).flat_map(|i| (0..COLS).map(move |j| (i, j))).filter(|(i, j)| i == j || (*i < split && *j < split)) {
        let z: f64 = (0..ROWS * COLS).map(|at| u[i][at / COLS] * change[at] * v[j][at % COLS]).sum();
        (0..ROWS * COLS).for_each(|at| out[at] -= z * u[i][at / COLS] * v[j][at % COLS]);
    }
    out
}

/// The authors' loop: a state that is scaled after every expert to the mean length of the experts so far.
fn oracle(base: &[Vec<f64>], experts: &[Vec<Vec<f64>>], alpha: f64) -> Vec<Vec<f64>> {
    let delta = |expert: &Vec<Vec<f64>>| -> Vec<Vec<f64>> {
        expert.iter().zip(base).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a - b).collect()).collect()
    };
    let norm = |tensors: &[Vec<f64>]| tensors.iter().flatten().map(|x| x * x).sum::<f64>().sqrt();
    let deltas: Vec<Vec<Vec<f64>>> = experts.iter().map(delta).collect();
    let (mut state, mut lambda) = (deltas[0].clone(), 1.0);
    let mut lengths = vec![norm(&deltas[0])];
    for delta in &deltas[1..] {
        lengths.push(norm(delta));
        let next: Vec<Vec<f64>> = state
            .iter()
            .zip(delta)
            .map(|(state, delta)| {
                let free = if state.len() == ROWS * COLS { left_over(state, delta, alpha) } else { delta.clone() };
                state.iter().zip(free).map(|(state, free)| lambda * state + free).collect()
            })
            .collect();
        lambda = norm(&next) / (lengths.iter().sum::<f64>() / lengths.len() as f64);
        state = next.iter().map(|tensor| tensor.iter().map(|x| x / lambda).collect()).collect();
    }
    state.iter().zip(base).map(|(state, base)| state.iter().zip(base).map(|(s, b)| s + b).collect()).collect()
}

fn assert_close(found: &[Vec<f64>], expected: &[Vec<f64>], within: f64) {
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!((found - expected).abs() < within, "{found} for {expected}");
    }
}

#[test]
fn it_is_the_loop_of_the_authors() {
    let house = house();
    let root = house.path();
    let base = values(root, "base");
    let experts: Vec<_> = ["a", "b", "c"].iter().map(|name| values(root, name)).collect();
    for (index, alpha) in [0.5, 0.2, 0.0, 1.0].into_iter().enumerate() {
        let recipe = format!(
            "{{merge_method: opcm, base_model: base, models: [{{model: a}}, {{model: b}}, {{model: c}}], parameters: {{alpha: {alpha}}}}}"
        );
        let out = format!("out-{index}");
        merge(root, &recipe, &out, 2).unwrap();
        assert_close(&values(root, &out), &oracle(&base, &experts, alpha), 1e-4);
    }
}

#[test]
fn one_expert_stays_what_it_is() {
    let house = house();
    merge(house.path(), "{merge_method: opcm, base_model: base, models: [{model: a}]}", "out", 2).unwrap();
    assert_close(&values(house.path(), "out"), &values(house.path(), "a"), 1e-5);
}

#[test]
fn a_result_takes_in_the_next_expert_without_the_earlier_ones() {
    let house = house();
    let root = house.path();
    merge(root, "{merge_method: opcm, base_model: base, models: [{model: a}, {model: b}, {model: c}]}", "whole", 2).unwrap();
    merge(root, "{merge_method: opcm, base_model: base, models: [{model: a}, {model: b}]}", "two", 2).unwrap();
    let said: Value = serde_json::from_str(&fs::read_to_string(root.join("two/opcm.json")).unwrap()).unwrap();
    assert_eq!(said["experts"], json!(2.0));
    let next = format!(
        "{{merge_method: opcm, base_model: base, models: [{{model: two, parameters: {{experts: {}, scale: {}}}}}, {{model: c}}]}}",
        said["experts"], said["scale"]
    );
    merge(root, &next, "next", 2).unwrap();
    assert_close(&values(root, "next"), &values(root, "whole"), 2e-4);
    let [whole, next] = ["whole", "next"]
        .map(|folder| serde_json::from_str::<Value>(&fs::read_to_string(root.join(folder).join("opcm.json")).unwrap()).unwrap());
    assert_eq!(whole["experts"], next["experts"]);
}

#[test]
fn wrong_values_and_threads_change_nothing() {
    let house = house();
    let root = house.path();
    for (parameters, of_model, expected) in [
        ("alpha: 1.5", "", "1.5 is no share of the singular values"),
        ("alpha: -1", "", "-1 is no share of the singular values"),
        ("", "experts: 0", "0 is no number of experts"),
        ("", "experts: 1.5", "1.5 is no number of experts"),
        ("", "scale: 0", "0 is a quotient of two lengths"),
        ("", "scale: [1, 2]", "`scale` is one number for a whole model"),
    ] {
        let recipe = format!(
            "{{merge_method: opcm, base_model: base, parameters: {{{parameters}}}, models: [{{model: a, parameters: {{{of_model}}}}}]}}"
        );
        let error = merge(root, &recipe, "never", 2).unwrap_err().message;
        assert!(error.contains(expected), "{recipe}: {error}");
    }
    for threads in [1, 3] {
        let recipe = "{merge_method: opcm, base_model: base, models: [{model: a}, {model: b}]}";
        merge(root, recipe, &format!("out-{threads}"), threads).unwrap();
    }
    let bytes = |threads| fs::read(root.join(format!("out-{threads}/model.safetensors"))).unwrap();
    assert_eq!(bytes(1), bytes(3));
}
