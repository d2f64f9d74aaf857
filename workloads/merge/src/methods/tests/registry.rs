//! The methods of mergekit's registry, each against its formula written plainly in f64: over types, shapes with short and long
//! rows, and bases listed first, last and not at all.

pub(super) mod oracle;

use super::{merge, numbers};
use crate::testing::Tensor;
use braid_kernels::{Dtype, GRANULE};
use oracle::{
    Family, Oracle, arcee_fusion, breadcrumbs, by_column, by_row, della, karcher, model_stock, multislerp, nearswap, nuslerp,
    plus, ram, sce, sum,
};

pub(super) const WEIGHTED: &str =
    "{model: a, parameters: {weight: 0.5}}, {model: b, parameters: {weight: -0.3}}, {model: c, parameters: {weight: 0.8}}";
const TWO: &str = "{model: a, parameters: {weight: 0.6}}, {model: b, parameters: {weight: 0.2}}";
pub(super) const PLAIN: &str = "{model: a}, {model: b}, {model: c}";
pub(super) const BASE: &str = "base_model: base, ";

/// The method, its models, whether there is a base, its parameters, and the formula.
pub(super) type Case = (&'static str, &'static str, &'static str, &'static str, Oracle);

const CASES: [Case; 24] = [
    ("nuslerp", TWO, "", "", |f| nuslerp(&f.values[1], &f.values[2], 0.25)),
    ("nuslerp", TWO, BASE, "", |f| plus(&f.values[0], &nuslerp(&f.delta(1), &f.delta(2), 0.25))),
    ("nuslerp", TWO, "", "nuslerp_flatten: false", |f| by_row(f, |r| nuslerp(r[1], r[2], 0.25))),
    ("nuslerp", TWO, "", "nuslerp_flatten: true, nuslerp_row_wise: true", |f| nuslerp(&f.values[1], &f.values[2], 0.25)),
    ("nuslerp", TWO, BASE, "nuslerp_flatten: false", |f| {
        by_row(f, |r| plus(r[0], &nuslerp(&sum(&[r[1], r[0]], &[1.0, -1.0]), &sum(&[r[2], r[0]], &[1.0, -1.0]), 0.25)))
    }),
    ("nuslerp", TWO, "", "nuslerp_flatten: false, nuslerp_row_wise: true", |f| by_column(f, |r| nuslerp(r[1], r[2], 0.25))),
    ("nuslerp", TWO, BASE, "nuslerp_flatten: false, nuslerp_row_wise: true", |f| {
        by_column(f, |r| plus(r[0], &nuslerp(&sum(&[r[1], r[0]], &[1.0, -1.0]), &sum(&[r[2], r[0]], &[1.0, -1.0]), 0.25)))
    }),
    ("multislerp", WEIGHTED, "", "", |f| multislerp(&f.values[1..], &[0.5, -0.3, 0.8])),
    ("multislerp", WEIGHTED, "", "normalize_weights: false", |f| multislerp(&f.values[1..], &[0.5, -0.3, 0.8])),
    ("multislerp", WEIGHTED, BASE, "", |f| {
        plus(&f.values[0], &multislerp(&[f.delta(1), f.delta(2), f.delta(3)], &[0.5, -0.3, 0.8]))
    }),
    ("karcher", PLAIN, "", "", |f| karcher(&f.values[1..])),
    ("karcher", PLAIN, BASE, "", |f| karcher(&f.values)),
    ("model_stock", PLAIN, BASE, "", |f| model_stock(&f.values[0], &[&f.values[1], &f.values[2], &f.values[3]])),
    ("model_stock", PLAIN, BASE, "filter_wise: true", |f| by_row(f, |r| model_stock(r[0], &r[1..]))),
    ("breadcrumbs", WEIGHTED, BASE, "density: 0.4, gamma: 0.1", |f| breadcrumbs(f, false)),
    ("breadcrumbs_ties", WEIGHTED, BASE, "density: 0.4, gamma: 0.1", |f| breadcrumbs(f, true)),
    ("ram", PLAIN, BASE, "epsilon: 0.9", |f| ram(f, false)),
    ("ramplus_tl", PLAIN, BASE, "epsilon: 0.9", |f| ram(f, true)),
    ("sce", PLAIN, BASE, "", |f| sce(f, 1.0)),
    ("sce", PLAIN, BASE, "select_topk: 0.3", |f| sce(f, 0.3)),
    ("nearswap", "{model: a}", BASE, "t: 0.7", nearswap),
    ("della", WEIGHTED, BASE, "density: 0.4, epsilon: 0.25", |f| della(f, true)),
    ("della_linear", WEIGHTED, BASE, "density: 0.4, epsilon: 0.25", |f| della(f, false)),
    ("arcee_fusion", "{model: a}", BASE, "", arcee_fusion),
];

pub(super) fn models(shape: &[u64], dtype: Dtype) -> [(&'static str, Tensor); 4] {
    let elements = shape.iter().product();
    let tensor = |seed| Tensor { shape: shape.to_vec(), ..Tensor::noise("w", dtype, elements, seed) };
    [("base", tensor(1)), ("a", tensor(2)), ("b", tensor(3)), ("c", tensor(4))]
}

fn values(tensor: &Tensor) -> Vec<f64> {
    let of = |bytes: &[u8]| match tensor.dtype {
        Dtype::F64 => f64::from(f64::from_le_bytes(bytes.try_into().unwrap()) as f32),
        Dtype::F32 => f32::from_le_bytes(bytes.try_into().unwrap()).into(),
        Dtype::F16 => half::f16::from_le_bytes(bytes.try_into().unwrap()).into(),
        _ => half::bf16::from_le_bytes(bytes.try_into().unwrap()).into(),
    };
    tensor.bytes.chunks(tensor.dtype.size()).map(of).collect()
}

#[test]
fn every_method_follows_its_formula() {
    formulas_hold(&CASES);
}

/// Every case over types and shapes, against its formula.
pub(super) fn formulas_hold(cases: &[Case]) {
    let long = GRANULE as u64 + 77;
    for (shape, dtype) in [
        (vec![1], Dtype::F32),
        (vec![7], Dtype::BF16),
        (vec![long], Dtype::F32),
        (vec![3, 5], Dtype::F64),
        (vec![9, 1], Dtype::F32),
        (vec![600, 257], Dtype::BF16),
        (vec![1001, 200], Dtype::F16),
        (vec![2, long], Dtype::BF16),
        (vec![40, 3, 5], Dtype::F32),
    ] {
        let models = models(&shape, dtype);
        let family = Family { shape: shape.clone(), values: models.iter().map(|(_, tensor)| values(tensor)).collect() };
        for &(method, listed, base, parameters, oracle) in cases {
            let recipe =
                format!("{{merge_method: {method}, {base}dtype: float32, parameters: {{{parameters}}}, models: [{listed}]}}");
            let found = numbers(&merge(&recipe, &models, 2, 1 << 30, 0).unwrap_or_else(|error| panic!("{recipe}: {error}")));
            let expected = oracle(&family);
            let largest = expected.iter().fold(0.0f64, |most, value| most.max(value.abs()));
            let wrong = found.iter().zip(&expected).filter(|(a, b)| (f64::from(**a) - **b).abs() > 5e-6 * largest).count();
            // where the sum of all, or what two columns differ by, is next to nothing, rounding decides
            let elects = ["breadcrumbs_ties", "della", "sce", "sce_published", "widen"].contains(&method);
            let allowed = if elects { expected.len() / 20_000 } else { 0 };
            assert!(wrong <= allowed, "{method} {parameters} {base}: {wrong} of {} differ for {shape:?} {dtype}", expected.len());
        }
    }
}

#[test]
fn bytes_do_not_depend_on_threads_memory_or_where_the_base_is_listed() {
    bytes_stay(&CASES);
}

/// Every case with other threads, memory and orders.
pub(super) fn bytes_stay(cases: &[Case]) {
    for shape in [vec![700, 300], vec![3, GRANULE as u64 - 5], vec![2, GRANULE as u64 + 9]] {
        let models = models(&shape, Dtype::BF16);
        for &(method, listed, base, parameters, _) in cases {
            let recipe =
                |listed: &str| format!("{{merge_method: {method}, {base}parameters: {{{parameters}}}, models: [{listed}]}}");
            let reference = merge(&recipe(listed), &models, 1, 1 << 30, 5).unwrap();
            for (threads, memory) in [(2, 0), (3, 4 << 20), (4, 1 << 30)] {
                let other = merge(&recipe(listed), &models, threads, memory, 5).unwrap();
                assert!(other == reference, "{method} {parameters}: {threads} threads, {memory} bytes, {shape:?}");
            }
            if !base.is_empty() && method != "karcher" {
                let first = merge(&recipe(&format!("{{model: base}}, {listed}")), &models, 2, 1 << 30, 5).unwrap();
                assert!(first == reference, "{method} {parameters}: base first");
            }
        }
    }
}

#[test]
fn wrong_values_are_named() {
    let models = models(&[4], Dtype::F32);
    for (method, listed, parameters, expected) in [
        ("multislerp", WEIGHTED, "eps: 0", "`eps` for tensor \"w\": 0 is added to lengths, and must be above 0"),
        (
            "multislerp",
            "{model: a, parameters: {weight: 1}}, {model: b, parameters: {weight: -1}}",
            "",
            "`weight` for tensor \"w\": the weights sum to zero, and are to be divided by their sum",
        ),
        ("karcher", PLAIN, "max_iter: 2.5", "`max_iter` for tensor \"w\": 2.5 is no number of steps from 0 to 1000000"),
        ("karcher", PLAIN, "max_iter: -1", "`max_iter` for tensor \"w\": -1 is no number of steps from 0 to 1000000"),
        ("karcher", PLAIN, "tol: -1e-3", "`tol` for tensor \"w\": -0.001 is the length of a step, and cannot be negative"),
        (
            "breadcrumbs",
            WEIGHTED,
            "density: 1.5",
            "`density` for model `a` for tensor \"w\": a density of 1.5 is no share of the elements",
        ),
        (
            "breadcrumbs_ties",
            WEIGHTED,
            "gamma: -0.1",
            "`gamma` for model `a` for tensor \"w\": a gamma of -0.1 is no share of the elements",
        ),
        (
            "della",
            WEIGHTED,
            "density: 0.9",
            "`epsilon` for model `a` for tensor \"w\": with an epsilon of 0.15 the chances go from 0.75 to 1.05",
        ),
        (
            "della_linear",
            WEIGHTED,
            "density: 0.5, epsilon: -0.1",
            "`epsilon` for model `a` for tensor \"w\": with an epsilon of -0.1",
        ),
        (
            "della",
            WEIGHTED,
            "density: -1",
            "`density` for model `a` for tensor \"w\": a density of -1 is no share of the elements",
        ),
        ("ram", PLAIN, "epsilon: -1", "`epsilon` for tensor \"w\": -1 is the size of a change, and cannot be negative"),
        (
            "ramplus_tl",
            PLAIN,
            "alpha: -1",
            "`alpha` for tensor \"w\": -1 is the most that a ratio counts, and cannot be negative",
        ),
        ("sce", PLAIN, "select_topk: 2", "`select_topk` for tensor \"w\": 2 is no share of the elements"),
        (
            "sce",
            "{model: a}",
            "select_topk: 0.5",
            "`select_topk` for tensor \"w\": elements are selected by how much the experts differ, and there is only one",
        ),
        ("nearswap", "{model: a}", "t: -1", "`t` for tensor \"w\": -1 is the length of a step, and cannot be negative"),
    ] {
        let recipe = format!("{{merge_method: {method}, base_model: base, parameters: {{{parameters}}}, models: [{listed}]}}");
        let error = merge(&recipe, &models, 1, 0, 0).unwrap_err().to_string();
        assert!(error.contains(expected), "{method} {parameters}: {error}");
    }
}

#[test]
fn contracts_are_those_of_mergekit() {
    let models = models(&[4], Dtype::F32);
    for (recipe, expected) in [
        (
            "{merge_method: nuslerp, models: [{model: a}, {model: b}, {model: c}], parameters: {weight: 1}}",
            "exactly 2 models, not 3",
        ),
        (
            "{merge_method: nuslerp, base_model: base, models: [{model: a}], parameters: {weight: 1}}",
            "exactly 2 models beside the base, not 1",
        ),
        ("{merge_method: multislerp, base_model: base, models: [], parameters: {weight: 1}}", ""),
        ("{merge_method: nuslerp, models: [{model: a}, {model: b}]}", "`weight`"),
        ("{merge_method: model_stock, models: [{model: a}, {model: b}]}", "model_stock needs a base model"),
        (
            "{merge_method: model_stock, base_model: base, models: [{model: a}]}",
            "model_stock needs at least 2 models beside the base, not 1",
        ),
        (
            "{merge_method: nearswap, base_model: base, models: [{model: a}, {model: b}], parameters: {t: 1}}",
            "exactly 1 model beside the base, not 2",
        ),
        ("{merge_method: nearswap, base_model: base, models: [{model: a}]}", "`t`"),
        ("{merge_method: ram, models: [{model: a}]}", "ram needs a base model"),
        ("{merge_method: arcee_fusion, models: [{model: a}]}", "arcee_fusion needs a base model"),
        (
            "{merge_method: arcee_fusion, base_model: base, models: [{model: a}, {model: b}]}",
            "exactly 1 model beside the base, not 2",
        ),
        ("{merge_method: della, base_model: base, models: [{model: a}]}", "`weight`"),
        ("{merge_method: sce, models: [{model: a}]}", "sce needs a base model"),
        ("{merge_method: karcher, models: [{model: a}], parameters: {weight: 1}}", "weight"),
    ] {
        let error = merge(recipe, &models, 1, 0, 0).unwrap_err().to_string();
        assert!(error.contains(expected), "{recipe}: {error}");
    }
}

#[test]
fn directions_that_cancel_have_no_mean() {
    let models = [("a", [1.0, 2.0]), ("b", [-1.0, -2.0]), ("c", [0.0, 0.0])].map(|(name, v)| (name, Tensor::f32("w", &[2], v)));
    let recipe = "{merge_method: multislerp, models: [{model: a}, {model: b}, {model: c}], parameters: {weight: 1}}";
    let error = merge(recipe, &models, 1, 0, 0).unwrap_err().to_string();
    assert_eq!(
        error,
        "tensor \"w\": the weighted directions of the models cancel each other, so that their mean has none; other weights may do"
    );
}

#[test]
fn what_is_not_a_number_is_noticed() {
    nan_is_noticed(&CASES);
}

/// Every case with a NaN in one model.
pub(super) fn nan_is_noticed(cases: &[Case]) {
    for &(method, listed, base, parameters, _) in cases {
        let mut models = models(&[40, 50], Dtype::F32);
        models[2].1.bytes[4 * 1234..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
        if listed == "{model: a}" {
            models.swap(1, 2);
            (models[1].0, models[2].0) = ("a", "b");
        }
        let recipe = format!("{{merge_method: {method}, {base}parameters: {{{parameters}}}, models: [{listed}]}}");
        let error = merge(&recipe, &models, 2, 1 << 30, 0).unwrap_err().to_string();
        assert!(error.contains("of the result is not a number"), "{method} {parameters}: {error}");
    }
}

#[test]
fn della_with_a_density_of_one_keeps_all() {
    let models = models(&[40, 50], Dtype::BF16);
    let recipe = |method: &str| {
        format!("{{merge_method: {method}, base_model: base, parameters: {{density: 1, normalize: true}}, models: [{WEIGHTED}]}}")
    };
    for (della, plain) in [("della", "ties"), ("della_linear", "task_arithmetic")] {
        let [found, expected] = [della, plain].map(|method| merge(&recipe(method), &models, 2, 1 << 30, 1).unwrap());
        assert!(found == expected, "{della}");
    }
}
