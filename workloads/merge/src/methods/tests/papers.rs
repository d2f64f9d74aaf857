//! The papers' methods that need one tensor at a time, each against its formula written plainly in f64 from the paper, and against what
//! must hold of it.

mod oracle;

use super::{
    merge, numbers,
    registry::{BASE, Case, PLAIN, WEIGHTED, bytes_stay, formulas_hold, models, nan_is_noticed},
};
use crate::testing::Tensor;
use braid_kernels::Dtype;
use oracle::{dare, sce_published, varm, widen};

const CASES: [Case; 8] = [
    ("dare_published", WEIGHTED, BASE, "density: 0.3, lambda: 0.8", |f| dare(f, 0.3, 0.8)),
    ("dare_published", PLAIN, BASE, "", everything),
    ("sce_published", PLAIN, BASE, "", |f| sce_published(f, 1.0)),
    ("sce_published", PLAIN, BASE, "select_topk: 0.1", |f| sce_published(f, 0.1)),
    ("varm", PLAIN, BASE, "", varm),
    ("widen", PLAIN, BASE, "", |f| widen(f, 1.0, 1.0)),
    ("widen", PLAIN, BASE, "above_average_value_ratio: 1.5, score_calibration_value: 0.7", |f| widen(f, 1.5, 0.7)),
    ("widen", "{model: a}", BASE, "", |f| f.values[1].clone()),
];

/// All of every task vector.
fn everything(family: &super::registry::oracle::Family) -> Vec<f64> {
    let deltas: Vec<Vec<f64>> = (1..4).map(|expert| family.delta(expert)).collect();
    (0..deltas[0].len()).map(|j| family.values[0][j] + deltas.iter().map(|d| d[j]).sum::<f64>()).collect()
}

#[test]
fn every_method_follows_its_paper() {
    formulas_hold(&CASES);
}

#[test]
fn bytes_do_not_depend_on_threads_memory_or_where_the_base_is_listed() {
    bytes_stay(&CASES);
}

#[test]
fn what_is_not_a_number_is_noticed() {
    nan_is_noticed(&CASES);
}

#[test]
fn the_mean_of_dare_over_many_masks_is_the_expert() {
    let values = [0.5f32, -2.0, 1.0, 0.25];
    let models = [("base", Tensor::f32("w", &[4], [1.0, 1.0, 1.0, 1.0])), ("a", Tensor::f32("w", &[4], values))];
    let recipe = "{merge_method: dare_published, base_model: base, parameters: {density: 0.25}, models: [{model: a}]}";
    let mut sums = [0.0f64; 4];
    for seed in 0..4000 {
        for (sum, found) in sums.iter_mut().zip(numbers(&merge(recipe, &models, 1, 0, seed).unwrap())) {
            *sum += f64::from(found) / 4000.0;
        }
    }
    for (mean, expected) in sums.iter().zip(values) {
        // five deviations: δ · √((1/p − 1)/4000)
        let allowed = 5.0 * f64::from((expected - 1.0).abs()) * (3.0f64 / 4000.0).sqrt() + 1e-6;
        assert!((mean - f64::from(expected)).abs() < allowed, "{mean} for {expected}");
    }
    let all = recipe.replace("0.25", "1").replace("dare_published", "task_arithmetic").replace("density: 1", "weight: 1");
    let none = recipe.replace("0.25", "0");
    assert_eq!(merge(&recipe.replace("0.25", "1"), &models, 1, 0, 3).unwrap(), merge(&all, &models, 1, 0, 3).unwrap());
    assert_eq!(merge(&none, &models, 1, 0, 3).unwrap(), models[0].1.bytes, "nothing is kept, and nothing divided by zero");
}

#[test]
fn experts_that_changed_alike_are_averaged() {
    // one expert twice: each weighs a half, and neither is erased
    let models = models(&[30, 20], Dtype::F32);
    let twins = [models[0].clone(), models[1].clone(), ("b", models[1].1.clone())];
    for method in ["sce_published", "varm"] {
        let recipe = format!("{{merge_method: {method}, base_model: base, models: [{{model: a}}, {{model: b}}]}}");
        let found = numbers(&merge(&recipe, &twins, 2, 0, 0).unwrap());
        for (found, expected) in found.iter().zip(numbers(&models[1].1.bytes)) {
            assert!((found - expected).abs() < 1e-5, "{method}: {found} for {expected}");
        }
    }
}

#[test]
fn nothing_changed_is_nothing_added() {
    let models = models(&[30, 20], Dtype::F32);
    let same = [models[0].clone(), ("a", models[0].1.clone()), ("b", models[0].1.clone())];
    for method in ["sce_published", "varm", "widen", "dare_published"] {
        let recipe = format!("{{merge_method: {method}, base_model: base, models: [{{model: a}}, {{model: b}}]}}");
        assert!(merge(&recipe, &same, 2, 0, 0).unwrap() == models[0].1.bytes, "{method}");
    }
}

/// The rows of an embedding are its columns, and a token that was never used has no direction.
#[test]
fn widen_ranks_the_tokens_of_an_embedding() {
    let [base, a, b, _] = models(&[50, 8], Dtype::F32).map(|(_, tensor)| tensor);
    let unused = |tensor: &Tensor| {
        let mut tensor = Tensor { name: "model.embed_tokens.weight".into(), ..tensor.clone() };
        tensor.bytes[8 * 4 * 7..8 * 4 * 8].fill(0);
        tensor
    };
    let house = tempfile::tempdir().unwrap();
    let root = house.path();
    let tensors = [("base", unused(&base)), ("a", unused(&a)), ("b", unused(&b))];
    for (name, tensor) in &tensors {
        crate::testing::write_checkpoint(&root.join(name), &serde_json::json!({}), std::slice::from_ref(tensor), 1);
    }
    let recipe = "{merge_method: widen, base_model: base, models: [{model: a}, {model: b}]}";
    crate::testing::merge(root, recipe, "out", 2).unwrap();
    let found = numbers(&crate::testing::read_checkpoint(&root.join("out"))[0].bytes);
    let turned = |tensor: &Tensor| {
        let values = numbers(&tensor.bytes);
        (0..8 * 50).map(|place| f64::from(values[place % 50 * 8 + place / 50])).collect::<Vec<f64>>()
    };
    let values = tensors.iter().map(|(_, tensor)| turned(tensor)).collect();
    let expected = widen(&super::registry::oracle::Family { shape: vec![8, 50], values }, 1.0, 1.0);
    for (place, expected) in expected.iter().enumerate() {
        let found = f64::from(found[place % 50 * 8 + place / 50]);
        assert!((found - expected).abs() < 1e-5, "token {}: {found} for {expected}", place % 50);
    }
}

#[test]
fn wrong_values_are_named() {
    let models = models(&[4], Dtype::F32);
    for (method, listed, parameters, expected) in [
        ("dare_published", PLAIN, "density: 1.5", "a density of 1.5 is no share of the elements"),
        ("dare_published", PLAIN, "rescale: false", "`rescale` is no parameter of dare_published"),
        ("sce_published", PLAIN, "select_topk: -1", "`select_topk` for tensor \"w\": -1 is no share of the elements"),
        ("sce_published", "{model: a}", "select_topk: 0.5", "and there is only one"),
        ("varm", PLAIN, "weight: 1", "`weight` is no parameter of varm"),
        ("widen", PLAIN, "above_average_value_ratio: -1", "-1 is how many times the mean is significant"),
        ("widen", PLAIN, "score_calibration_value: much", "`score_calibration_value`: expected a number"),
    ] {
        let recipe = format!("{{merge_method: {method}, base_model: base, parameters: {{{parameters}}}, models: [{listed}]}}");
        let error = merge(&recipe, &models, 1, 0, 0).unwrap_err().to_string();
        assert!(error.contains(expected), "{method} {parameters}: {error}");
    }
    for method in ["dare_published", "sce_published", "varm", "widen"] {
        let error = merge(&format!("{{merge_method: {method}, models: [{{model: a}}]}}"), &models, 1, 0, 0).unwrap_err();
        assert!(error.to_string().contains(&format!("{method} needs a base model")), "{error}");
    }
}
