//! Methods over whole tensors: against plain f64 arithmetic, and against themselves under other threads, memory and orders.

mod lines;
mod papers;
mod reads;
mod recipes;
mod registry;
mod whole;

use super::*;
use crate::{
    plan::{MergePlan, ModelHeader, PlanOptions, TensorHeader},
    recipe::Recipe,
    testing::{Tensor, context, merge_tensor},
};
use braid_kernels::{Dtype, GRANULE};
use proptest::prelude::*;
use std::{path::PathBuf, sync::LazyLock};

/// Several tiles, the last of them short.
const ELEMENTS: u64 = 2 * GRANULE as u64 + 1001;

/// The tensor `w` that a recipe makes of these models, each with a tensor `w` only.
fn merge(recipe: &str, models: &[(&str, Tensor)], threads: usize, memory: u64, seed: u64) -> Result<Vec<u8>, MergeError> {
    let recipe = Recipe::parse(recipe, "r.yml")?;
    let find = |path: &str| &models.iter().find(|(name, _)| *name == path).unwrap().1;
    let header = |path: &str| {
        let tensor = find(path);
        let header = TensorHeader { dtype: tensor.dtype, shape: tensor.shape.clone() };
        ModelHeader { tensors: [("w".to_owned(), header)].into(), ..Default::default() }
    };
    let headers = recipe.models.iter().map(|model| (PathBuf::from(&model.path), header(&model.path))).collect();
    let plan = MergePlan::new(&recipe, headers, &PlanOptions { seed, ..PlanOptions::default() })?;
    let tensor = &plan.tensors[0];
    let inputs: Vec<Tensor> = tensor.sources.iter().map(|source| find(&recipe.models[source.model].path).clone()).collect();
    let context = context(threads, memory);
    Ok(merge_tensor(&inputs, tensor.dtype, &context, |tiles| tensor.method.run(&tensor.parameters, tiles))?.0)
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn noise(seed: u64) -> Tensor {
    Tensor::noise("w", Dtype::F32, ELEMENTS, seed)
}

/// A base and three experts.
static FAMILY: LazyLock<[(&str, Tensor); 4]> =
    LazyLock::new(|| [("base", noise(1)), ("a", noise(2)), ("b", noise(3)), ("c", noise(4))]);

fn gta(method: &str, density: f64, more: &str) -> String {
    format!(
        "{{merge_method: {method}, base_model: base, parameters: {{density: {density}{more}}}, models: [\
         {{model: a, parameters: {{weight: 0.5}}}}, {{model: b, parameters: {{weight: -0.3}}}}, {{model: c, parameters: {{weight: 0.8}}}}]}}"
    )
}

/// The family of task arithmetic as its definition says, in f64, with a sort for the trimming; no random masks.
fn oracle(models: &[(&str, Tensor); 4], density: f64, elect: bool, normalize: bool, rescale: bool) -> Vec<f64> {
    let values = models.each_ref().map(|(_, tensor)| numbers(&tensor.bytes));
    let weights = [0.5, -0.3, 0.8];
    let vectors: Vec<Vec<f64>> = (1..4)
        .map(|expert| {
            // differences are taken in f32, in which ties are ties
            let mut delta: Vec<f64> = values[expert].iter().zip(&values[0]).map(|(a, b)| f64::from(a - b)).collect();
            let keep = ((density * delta.len() as f64) as usize).max(1);
            let mut order: Vec<usize> = (0..delta.len()).collect();
            order.sort_by(|a, b| delta[*b].abs().total_cmp(&delta[*a].abs()).then(a.cmp(b)));
            let total: f64 = delta.iter().map(|d| d.abs()).sum();
            order[keep..].iter().for_each(|index| delta[*index] = 0.0);
            let kept: f64 = delta.iter().map(|d| d.abs()).sum();
            let factor = if rescale { total / kept } else { 1.0 };
            delta.iter().map(|d| d * factor * weights[expert - 1]).collect()
        })
        .collect();
    (0..values[0].len())
        .map(|j| {
            let sum: f64 = vectors.iter().map(|v| v[j]).sum();
            let agrees = |d: f64| !elect || (if sum >= 0.0 { d > 0.0 } else { d < 0.0 });
            let (mut out, mut divisor) = (0.0, 0.0);
            for (vector, weight) in vectors.iter().zip(weights) {
                if agrees(vector[j]) {
                    out += vector[j];
                    divisor += weight;
                }
            }
            if normalize {
                out /= if divisor == 0.0 { 1.0 } else { divisor };
            }
            f64::from(values[0][j]) + out
        })
        .collect()
}

#[test]
fn task_vectors_are_added_as_defined() {
    for (method, density, more, elect, normalize, rescale) in [
        ("task_arithmetic", 1.0, "", false, false, false),
        ("task_arithmetic", 1.0, ", normalize: true", false, true, false),
        ("ties", 1.0, "", true, true, false),
        ("ties", 0.3, "", true, true, false),
        ("ties", 0.0, ", normalize: false", true, false, false),
        ("ties", 0.3, ", normalize: false, rescale: true", true, false, true),
        ("dare_ties", 1.0, "", true, false, false),
        ("dare_linear", 1.0, ", normalize: true", false, true, false),
    ] {
        let found = numbers(&merge(&gta(method, density, more), &*FAMILY, 2, 1 << 30, 0).unwrap());
        let expected = oracle(&FAMILY, density, elect, normalize, rescale);
        // where the sum of all is next to nothing, rounding decides the election
        let wrong = found.iter().zip(&expected).filter(|(a, b)| (f64::from(**a) - **b).abs() > 1e-5 * b.abs().max(1.0)).count();
        assert!(wrong <= 5, "{method} at {density}{more}: {wrong} of {ELEMENTS} differ");
    }
}

#[test]
fn masks_keep_the_density_and_the_norm() {
    let mut models = FAMILY.clone();
    models[0].1 = Tensor::f32("w", &[ELEMENTS], vec![0.0; ELEMENTS as usize]);
    let one = "{merge_method: dare_linear, base_model: base, models: [{model: a}], parameters: {weight: 1, density: 0.2}}";
    let (found, expert) = (numbers(&merge(one, &models, 2, 1 << 30, 7).unwrap()), numbers(&models[1].1.bytes));
    let kept =
        found.iter().filter(|value| **value != 0.0).count() as f64 / expert.iter().filter(|value| **value != 0.0).count() as f64;
    assert!((kept - 0.2).abs() < 5.0 * (0.16 / ELEMENTS as f64).sqrt(), "{kept}");
    let norm = |values: &[f32]| values.iter().map(|value| f64::from(value.abs())).sum::<f64>();
    assert!((norm(&found) / norm(&expert) - 1.0).abs() < 1e-5, "the rescaled task vector has the norm of the whole");
    let factors: Vec<f32> = found.iter().zip(&expert).filter(|(a, _)| **a != 0.0).map(|(a, b)| a / b).collect();
    assert!(factors.iter().all(|factor| (factor - factors[0]).abs() < 1e-4), "one factor for all elements");
    let raw = one.replace("weight", "rescale: false, weight");
    let raw = numbers(&merge(&raw, &models, 2, 1 << 30, 7).unwrap());
    assert!(raw.iter().zip(&expert).all(|(a, b)| *a == 0.0 || a == b), "without rescaling, what stays is as it was");
    assert_ne!(merge(one, &models, 2, 1 << 30, 8).unwrap(), merge(one, &models, 2, 1 << 30, 7).unwrap(), "another seed");
}

#[test]
fn the_same_bytes_whether_the_base_is_listed_or_not() {
    for method in ["dare_ties", "dare_linear", "ties"] {
        let recipe = gta(method, 0.5, "");
        let listed = recipe.replace("{model: a,", "{model: base, parameters: {weight: 9, density: 0.1}}, {model: a,");
        assert_eq!(
            merge(&recipe, &*FAMILY, 2, 1 << 30, 3).unwrap(),
            merge(&listed, &*FAMILY, 2, 1 << 30, 3).unwrap(),
            "{method}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn bytes_do_not_depend_on_threads_or_memory(
        method in prop::sample::select(vec!["task_arithmetic", "ties", "dare_linear", "dare_ties"]),
        density in prop::sample::select(vec![0.1, 0.5, 1.0]),
        rescale: bool,
        threads in 1usize..5,
        memory in prop::sample::select(vec![0u64, 4 << 20, 1 << 30]),
        seed: u64,
    ) {
        let recipe = gta(method, density, &format!(", rescale: {rescale}"));
        let reference = merge(&recipe, &*FAMILY, 1, 1 << 30, seed).unwrap();
        prop_assert!(merge(&recipe, &*FAMILY, threads, memory, seed).unwrap() == reference);
    }
}

#[test]
fn slerp_goes_from_the_base_to_the_other_whatever_the_order() {
    for (listed, t, expected) in [
        ("{model: base}, {model: a}", 0.0, 0),
        ("{model: a}, {model: base}", 0.0, 0),
        ("{model: a}", 0.0, 0),
        ("{model: base}, {model: a}", 1.0, 1),
        ("{model: a}, {model: base}", 1.0, 1),
    ] {
        let recipe = format!("{{merge_method: slerp, base_model: base, models: [{listed}], parameters: {{t: {t}}}}}");
        assert_eq!(merge(&recipe, &*FAMILY, 2, 0, 0).unwrap(), FAMILY[expected].1.bytes, "{listed} at {t}");
    }
    // noise is at about a right angle to noise: halfway lies on the arc, not on the line
    let recipe = "{merge_method: slerp, base_model: base, models: [{model: a}], parameters: {t: 0.5}}";
    let [found, base, other] =
        [&merge(recipe, &*FAMILY, 2, 0, 0).unwrap(), &FAMILY[0].1.bytes, &FAMILY[1].1.bytes].map(|b| numbers(b));
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let angle = (dot(&base, &other) / (dot(&base, &base) * dot(&other, &other)).sqrt()).acos();
    let factor = (0.5 * angle).sin() / angle.sin();
    assert!((1.3..1.8).contains(&angle), "{angle}");
    for ((found, base), other) in found.iter().zip(&base).zip(&other) {
        assert!((f64::from(*found) - factor * (f64::from(*base) + f64::from(*other))).abs() < 1e-5);
    }
}

#[test]
fn linear_adds_or_averages() {
    let models = [("a", Tensor::f32("w", &[2], [1.0, -4.0])), ("b", Tensor::f32("w", &[2], [3.0, 0.5]))];
    let recipe = |more: &str| {
        format!(
            "{{merge_method: linear, models: [{{model: a, parameters: {{weight: 1}}}}, {{model: b, parameters: {{weight: 3}}}}]{more}}}"
        )
    };
    assert_eq!(numbers(&merge(&recipe(""), &models, 1, 0, 0).unwrap()), [2.5, -0.625]);
    assert_eq!(numbers(&merge(&recipe(", parameters: {normalize: false}"), &models, 1, 0, 0).unwrap()), [10.0, -2.5]);
    let opposite = recipe(", parameters: {normalize: false}").replace("weight: 3", "weight: -1");
    assert_eq!(numbers(&merge(&opposite, &models, 1, 0, 0).unwrap()), [-2.0, -4.5], "weights may cancel where none divides");
}

#[test]
fn passthrough_copies_converts_or_scales() {
    // a NaN with a payload: a copy keeps its bits, arithmetic would not
    let bits = [0x7fc0_1234u32, 1.5f32.to_bits(), (-0.0f32).to_bits()];
    let models = [("a", Tensor { bytes: bits.iter().flat_map(|b| b.to_le_bytes()).collect(), ..Tensor::f32("w", &[3], []) })];
    let copied = |more: &str| merge(&format!("{{merge_method: passthrough, models: [{{model: a}}]{more}}}"), &models, 1, 0, 0);
    assert_eq!(copied("").unwrap(), models[0].1.bytes);
    assert_eq!(copied(", parameters: {scale: 1}").unwrap(), models[0].1.bytes);
    assert_eq!(copied(", dtype: bfloat16").unwrap()[2..], [0xc0, 0x3f, 0, 0x80]);
    let error = copied(", parameters: {scale: 2}").unwrap_err().to_string();
    assert!(error.contains("element 0 of the result is not a number: model m0 holds NaN there"), "{error}");
}

#[test]
fn buffers_are_copied_if_all_agree() {
    let buffer = |values: &[i64]| Tensor {
        name: "w".into(),
        dtype: Dtype::I64,
        shape: vec![values.len() as u64],
        bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    };
    let recipe = "{merge_method: linear, dtype: bfloat16, models: [{model: a}, {model: b}, {model: c}], parameters: {weight: 1}}";
    let same = buffer(&[1, 2, 3]);
    let models = |third: Tensor| [("a", same.clone()), ("b", same.clone()), ("c", third)];
    assert_eq!(merge(recipe, &models(same.clone()), 1, 0, 0).unwrap(), same.bytes);
    assert_eq!(
        merge(recipe, &models(buffer(&[1, 2, 259])), 1, 0, 0).unwrap_err().to_string(),
        "tensor \"w\" is of I64, which is copied and not merged, but differs between m0 and m2 (first in element 2)"
    );
}
