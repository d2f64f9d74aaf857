//! `tsvm` against the formula of the paper in f64, with decompositions by Jacobi's rotations.

use crate::testing::{Tensor, merge, read_checkpoint, write_checkpoint};
use braid_kernels::Dtype;
use serde_json::json;
use std::{fs, path::Path};
use tempfile::TempDir;

/// Column vectors.
pub(in super::super) type Columns = Vec<Vec<f64>>;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Left vectors, values, right vectors, largest first, of a matrix with no fewer rows than columns.
pub(in super::super) fn jacobi(matrix: &Columns) -> (Columns, Vec<f64>, Columns) {
    let n = matrix.len();
    let mut left = matrix.clone();
    let mut right: Columns = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..60 {
        for (i, j) in (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))) {
            let (a, b, c) = (dot(&left[i], &left[i]), dot(&left[j], &left[j]), dot(&left[i], &left[j]));
            if c.abs() <= 1e-300 {
                continue;
            }
            let zeta = (b - a) / (2.0 * c);
            let t = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
            let cos = 1.0 / (1.0 + t * t).sqrt();
            for columns in [&mut left, &mut right] {
                let (x, y) = (columns[i].clone(), columns[j].clone());
                columns[i] = x.iter().zip(&y).map(|(x, y)| cos * (x - t * y)).collect();
                columns[j] = x.iter().zip(&y).map(|(x, y)| cos * (t * x + y)).collect();
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    let values: Vec<f64> = left.iter().map(|column| dot(column, column).sqrt()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let unit = |i: &usize| left[*i].iter().map(|x| x / values[*i]).collect();
    (
        order.iter().map(unit).collect(),
        order.iter().map(|&i| values[i]).collect(),
        order.iter().map(|&i| right[i].clone()).collect(),
    )
}

/// The nearest orthonormal columns: left times right vectors.
fn polar(columns: &Columns) -> Columns {
    let (left, _, right) = jacobi(columns);
    let rows = columns[0].len();
    (0..columns.len())
        .map(|col| (0..rows).map(|row| (0..left.len()).map(|k| left[k][row] * right[k][col]).sum()).collect())
        .collect()
}

/// The sum over tasks as the paper has it, for matrices with no fewer rows than columns.
fn oracle(rows: usize, cols: usize, deltas: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let kept = cols / deltas.len();
    let (mut u, mut s, mut v) = (Columns::new(), Vec::new(), Columns::new());
    for (delta, weight) in deltas.iter().zip(weights) {
        let columns: Columns = (0..cols).map(|col| (0..rows).map(|row| delta[row * cols + col]).collect()).collect();
        let (left, values, right) = jacobi(&columns);
        u.extend(left.into_iter().take(kept));
        s.extend(values.into_iter().take(kept).map(|value| value * weight));
        v.extend(right.into_iter().take(kept));
    }
    let (u, v) = (polar(&u), polar(&v));
    let element = |row: usize, col: usize| (0..s.len()).map(|k| u[k][row] * s[k] * v[k][col]).sum();
    (0..rows * cols).map(|i| element(i / cols, i % cols)).collect()
}

const ROWS: usize = 20;
const COLS: usize = 12;

fn tensors(seed: u64) -> Vec<Tensor> {
    let shaped = |name: &str, shape: &[u64], seed| {
        let noise = Tensor::noise(name, Dtype::F32, shape.iter().product(), seed);
        Tensor { shape: shape.to_vec(), ..noise }
    };
    vec![
        shaped("model.embed_tokens.weight", &[30, 4], seed),
        shaped("model.layers.0.mlp.up_proj.weight", &[ROWS as u64, COLS as u64], seed + 1),
        shaped("model.norm.weight", &[7], seed + 2),
    ]
}

fn house() -> TempDir {
    let house = tempfile::tempdir().unwrap();
    for (name, seed) in [("base", 1), ("a", 20), ("b", 40), ("c", 60)] {
        write_checkpoint(&house.path().join(name), &json!({"num_hidden_layers": 1}), &tensors(seed), 1);
    }
    house
}

fn values(root: &Path, folder: &str) -> Vec<Vec<f64>> {
    let decode = |tensor: &Tensor| tensor.bytes.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect();
    read_checkpoint(&root.join(folder)).iter().map(decode).collect()
}

fn recipe(models: &str) -> String {
    format!("merge_method: tsvm\nbase_model: base\nparameters: {{lambda: 0.8}}\nmodels: {models}\n")
}

#[test]
fn it_is_the_formula_of_the_paper() {
    let house = house();
    let root = house.path();
    merge(root, &recipe("[{model: a}, {model: b, parameters: {weight: 0.5}}, {model: c}]"), "out", 2).unwrap();
    let (found, base) = (values(root, "out"), values(root, "base"));
    let experts: Vec<_> = ["a", "b", "c"].iter().map(|name| values(root, name)).collect();
    let weights = [1.0, 0.5, 1.0];
    for (tensor, found) in found.iter().enumerate() {
        let delta =
            |expert: &Vec<Vec<f64>>| -> Vec<f64> { expert[tensor].iter().zip(&base[tensor]).map(|(a, b)| a - b).collect() };
        let deltas: Vec<Vec<f64>> = experts.iter().map(delta).collect();
        let change = match tensor {
            1 => oracle(ROWS, COLS, &deltas, &weights),
            _ => (0..found.len())
                .map(|i| deltas.iter().zip(weights).map(|(delta, weight)| delta[i] * weight / 3.0).sum())
                .collect(),
        };
        for (i, found) in found.iter().enumerate() {
            let expected = base[tensor][i] + 0.8 * change[i];
            assert!((found - expected).abs() < 2e-4, "tensor {tensor}, element {i}: {found} for {expected}");
        }
    }
}

#[test]
fn one_expert_stays_what_it_is() {
    let house = house();
    let root = house.path();
    merge(root, "merge_method: tsvm\nbase_model: base\nmodels: [{model: a}]\n", "out", 2).unwrap();
    for (found, expected) in values(root, "out").iter().flatten().zip(values(root, "a").iter().flatten()) {
        assert!((found - expected).abs() < 2e-5, "{found} for {expected}");
    }
}

#[test]
fn threads_change_nothing() {
    let house = house();
    let root = house.path();
    for threads in [1, 2, 3] {
        merge(root, &recipe("[{model: a}, {model: b}]"), &format!("out-{threads}"), threads).unwrap();
    }
    let bytes = |threads| fs::read(root.join(format!("out-{threads}/model.safetensors"))).unwrap();
    assert_eq!(bytes(1), bytes(2));
    assert_eq!(bytes(1), bytes(3));
}

/// The paper's sum of task vectors whose columns are weighed, with ranks shared out; worked out here anew, in f64.
#[test]
fn reweighted_it_is_what_its_file_says() {
    let house = house();
    let root = house.path();
    let recipe = "merge_method: tsvm_reweighted\nbase_model: base\nparameters: {outliers: 1.2, lambda: 0.8}\nmodels: [{model: a}, {model: b}, {model: c}]\n";
    let refused = merge(root, &recipe.replace("1.2", "-1"), "out", 2).unwrap_err();
    assert!(refused.message.ends_with("-1 standard deviations above the mean cannot be negative"), "{}", refused.message);
    merge(root, recipe, "out", 2).unwrap();
    let (found, base) = (values(root, "out"), values(root, "base"));
    let mut deltas: Vec<Vec<f64>> =
        ["a", "b", "c"].iter().map(|name| values(root, name)[1].iter().zip(&base[1]).map(|(a, b)| a - b).collect()).collect();
    let root_of = ((ROWS * COLS) as f64).sqrt();
    let dense: Vec<f64> = deltas
        .iter()
        .map(|delta| {
            let (l1, l2) = (delta.iter().map(|x| x.abs()).sum::<f64>(), dot(delta, delta).sqrt());
            1.0 - (root_of - l1 / l2) / (root_of - 1.0)
        })
        .collect();
    let ranks: Vec<usize> = dense.iter().map(|own| (COLS as f64 * own / dense.iter().sum::<f64>()) as usize).collect();
    let scores: Vec<Vec<f64>> = deltas
        .iter()
        .map(|delta| {
            let mut scores = vec![0.0; COLS];
            for row in delta.chunks(COLS) {
                let mean = row.iter().map(|x| x.abs()).sum::<f64>() / COLS as f64;
                let deviation = (row.iter().map(|x| (x.abs() - mean).powi(2)).sum::<f64>() / COLS as f64).sqrt();
                for (score, x) in scores.iter_mut().zip(row).filter(|(_, x)| x.abs() > mean + 1.2 * deviation) {
                    *score += x.abs();
                }
            }
            scores
        })
        .collect();
    for (delta, own) in deltas.iter_mut().zip(&scores) {
        for (index, x) in delta.iter_mut().enumerate() {
            let total: f64 = scores.iter().map(|scores| scores[index % COLS]).sum();
            *x *= if total > 0.0 { 3.0 * own[index % COLS] / total } else { 1.0 };
        }
    }
    let (mut u, mut s, mut v) = (Columns::new(), Vec::new(), Columns::new());
    for (delta, kept) in deltas.iter().zip(ranks) {
        let columns: Columns = (0..COLS).map(|col| (0..ROWS).map(|row| delta[row * COLS + col]).collect()).collect();
        let (left, values, right) = jacobi(&columns);
        u.extend(left.into_iter().take(kept));
        s.extend(values.into_iter().take(kept));
        v.extend(right.into_iter().take(kept));
    }
    let (u, v) = (polar(&u), polar(&v));
    for (i, found) in found[1].iter().enumerate() {
        let change: f64 = (0..s.len()).map(|k| u[k][i / COLS] * s[k] * v[k][i % COLS]).sum();
        let expected = base[1][i] + 0.8 * change;
        assert!((found - expected).abs() < 5e-4, "element {i}: {found} for {expected}");
    }
}
