//! The methods of mergekit's registry, each against its formula written plainly in f64: over types, shapes with short and long
//! rows, and bases listed first, last and not at all.

use super::{merge, numbers};
use crate::testing::Tensor;
use braid_kernels::{Dtype, GRANULE, Mask, MaskKey, magnitude};

/// Values of a base and three experts, as f32 sees them.
struct Family {
    shape: Vec<u64>,
    values: Vec<Vec<f64>>,
}

type Oracle = fn(&Family) -> Vec<f64>;

impl Family {
    fn delta(&self, expert: usize) -> Vec<f64> {
        // in f32, in which ties are ties
        self.values[expert].iter().zip(&self.values[0]).map(|(a, b)| f64::from(*a as f32 - *b as f32)).collect()
    }

    fn row(&self) -> usize {
        *self.shape.last().unwrap() as usize
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// Σ cᵢ·xᵢ.
fn sum(vectors: &[&[f64]], coefficients: &[f64]) -> Vec<f64> {
    (0..vectors[0].len()).map(|j| vectors.iter().zip(coefficients).map(|(v, c)| v[j] * c).sum()).collect()
}

fn plus(base: &[f64], delta: &[f64]) -> Vec<f64> {
    base.iter().zip(delta).map(|(b, d)| b + d).collect()
}

fn nuslerp(a: &[f64], b: &[f64], t: f64) -> Vec<f64> {
    let cosine = (dot(a, b) / norm(a).max(1e-7) / norm(b).max(1e-7)).clamp(-1.0, 1.0);
    if 1.0 - cosine * cosine <= 1e-12 {
        return sum(&[a, b], &[1.0 - t, t]);
    }
    let angle = cosine.acos();
    sum(&[a, b], &[((1.0 - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin()])
}

fn multislerp(vectors: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let units: Vec<f64> = vectors.iter().zip(weights).map(|(v, w)| w / (norm(v) + 1e-8)).collect();
    let vectors: Vec<&[f64]> = vectors.iter().map(Vec::as_slice).collect();
    let mean = sum(&vectors, &units);
    let scale: f64 = vectors.iter().zip(weights).map(|(v, w)| w * norm(v)).sum();
    let length = norm(&mean);
    mean.iter().map(|x| x / length * scale).collect()
}

fn karcher(vectors: &[Vec<f64>]) -> Vec<f64> {
    let count = vectors.len() as f64;
    let unit_of = |v: &Vec<f64>| {
        let length = norm(v);
        v.iter().map(|x| x / length).collect::<Vec<_>>()
    };
    let units: Vec<Vec<f64>> = vectors.iter().map(unit_of).collect();
    let refs: Vec<&[f64]> = units.iter().map(Vec::as_slice).collect();
    let mut mean = sum(&refs, &vec![1.0 / count; refs.len()]);
    let unit = |v: &mut Vec<f64>| {
        let length = norm(v);
        v.iter_mut().for_each(|x| *x /= length);
    };
    unit(&mut mean);
    for _ in 0..10 {
        let mut step = vec![0.0; mean.len()];
        for u in &units {
            let cosine = dot(u, &mean).clamp(-1.0, 1.0);
            if cosine.acos() >= 1e-5 && cosine.acos() < std::f64::consts::PI - 1e-6 {
                let pull = cosine.acos() / cosine.acos().sin() / count;
                step.iter_mut().zip(u).zip(&mean).for_each(|((s, u), m)| *s += pull * (u - cosine * m));
            }
        }
        let length = norm(&step);
        if length < 1e-5 {
            break;
        }
        mean = sum(&[&mean, &step], &[length.cos(), length.sin() / length]);
        unit(&mut mean);
    }
    let scale = vectors.iter().map(|v| norm(v)).sum::<f64>() / count;
    mean.iter().map(|x| x * scale).collect()
}

fn model_stock(base: &[f64], experts: &[&[f64]]) -> Vec<f64> {
    let deltas: Vec<Vec<f64>> =
        experts.iter().map(|e| e.iter().zip(base).map(|(a, b)| f64::from(*a as f32 - *b as f32)).collect()).collect();
    let (mut cosines, mut pairs) = (0.0, 0.0);
    for i in 0..deltas.len() {
        for j in i + 1..deltas.len() {
            let norms = norm(&deltas[i]) * norm(&deltas[j]);
            cosines += if norms == 0.0 { 0.0 } else { (dot(&deltas[i], &deltas[j]) / norms).clamp(-1.0, 1.0) };
            pairs += 1.0;
        }
    }
    let (count, cosine) = (deltas.len() as f64, cosines / pairs);
    let denominator = 1.0 + (count - 1.0) * cosine;
    let t = if denominator.abs() < 1e-6 { 0.0 } else { count * cosine / denominator };
    let mean = sum(experts, &vec![1.0 / count; experts.len()]);
    sum(&[&mean, base], &[t, 1.0 - t])
}

fn breadcrumbs(family: &Family, elect: bool) -> Vec<f64> {
    let weights = [0.5, -0.3, 0.8];
    let deltas: Vec<Vec<f64>> = (1..4)
        .map(|expert| {
            let mut delta = family.delta(expert);
            let n = delta.len();
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by(|a, b| delta[*b].abs().total_cmp(&delta[*a].abs()).then(a.cmp(b)));
            let (kept, outliers) = ((0.4 * n as f64) as usize, (0.1 * n as f64) as usize);
            order[..outliers].iter().chain(&order[outliers + kept..]).for_each(|place| delta[*place] = 0.0);
            delta.iter().map(|d| d * weights[expert - 1]).collect()
        })
        .collect();
    let one = |j: usize| {
        let total: f64 = deltas.iter().map(|d| d[j]).sum();
        let agrees = |d: f64| !elect || (if total >= 0.0 { d > 0.0 } else { d < 0.0 });
        family.values[0][j] + deltas.iter().map(|d| if agrees(d[j]) { d[j] } else { 0.0 }).sum::<f64>()
    };
    (0..family.values[0].len()).map(one).collect()
}

fn ram(family: &Family, plus: bool) -> Vec<f64> {
    let deltas: Vec<Vec<f64>> = (1..4).map(|expert| family.delta(expert)).collect();
    let changed = |i: usize, j: usize| deltas[i][j].abs() > f64::from(0.9f32);
    let count = |j: usize| (0..3).filter(|i| changed(*i, j)).count();
    let factors: Vec<f64> = (0..3)
        .map(|i| {
            let (mut unique, mut shared) = (0.0f64, 0.0);
            for j in (0..deltas[0].len()).filter(|j| changed(i, *j)) {
                *(if count(j) == 1 { &mut unique } else { &mut shared }) += 1.0;
            }
            if plus { 1.0 + 0.1 * (shared / unique.max(1e-5)).clamp(0.0, 0.2) } else { 1.0 }
        })
        .collect();
    let one = |j: usize| {
        let whole = |i: usize| if count(j) == 1 { deltas[i][j] * factors[i] } else { deltas[i][j] / count(j) as f64 };
        family.values[0][j] + (0..3).filter(|i| changed(*i, j)).map(whole).sum::<f64>()
    };
    (0..deltas[0].len()).map(one).collect()
}

fn sce(family: &Family, share: f64) -> Vec<f64> {
    let mut deltas: Vec<Vec<f64>> = (1..4).map(|expert| family.delta(expert)).collect();
    let n = deltas[0].len();
    if share < 1.0 {
        let variance = |j: usize| {
            let mean = deltas.iter().map(|d| d[j]).sum::<f64>() / 3.0;
            (deltas.iter().map(|d| (d[j] - mean).powi(2)).sum::<f64>() / 3.0) as f32
        };
        let variances: Vec<f32> = (0..n).map(variance).collect();
        let nonzero = variances.iter().filter(|v| **v != 0.0).count();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|a, b| variances[*b].total_cmp(&variances[*a]).then(a.cmp(b)));
        for place in &order[(share * nonzero as f64) as usize..] {
            deltas.iter_mut().for_each(|d| d[*place] = 0.0);
        }
    }
    let squares: Vec<f64> = deltas.iter().map(|d| dot(d, d)).collect();
    let total: f64 = squares.iter().sum();
    let weights: Vec<f64> = squares.iter().map(|s| if total / (n as f64) < 1e-6 { 1.0 / 3.0 } else { s / total }).collect();
    let one = |j: usize| {
        let all: f64 = deltas.iter().map(|d| d[j]).sum();
        let agreeing = || (0..3).filter(|i| if all >= 0.0 { deltas[*i][j] > 0.0 } else { deltas[*i][j] < 0.0 });
        let divisor: f64 = agreeing().map(|i| weights[i]).sum();
        family.values[0][j] + agreeing().map(|i| weights[i] * deltas[i][j]).sum::<f64>() / divisor.max(1e-6)
    };
    (0..n).map(one).collect()
}

fn nearswap(family: &Family) -> Vec<f64> {
    let one = |(a, b): (&f64, &f64)| {
        let weight = (0.7 / (a - b).abs().max(1e-6)).min(1.0);
        weight * b + (1.0 - weight) * a
    };
    family.values[0].iter().zip(&family.values[1]).map(one).collect()
}

/// Ranks of one row in the steps that are told apart, equals in the middle.
fn chances(row: &[f64], density: f64, epsilon: f64) -> Vec<f64> {
    let steps: Vec<u32> = row.iter().map(|d| magnitude(*d as f32) >> 17).collect();
    let top = *steps.iter().max().unwrap();
    let steps: Vec<u32> = steps.iter().map(|step| *step.max(&(top + 1).saturating_sub(1024))).collect();
    let mut sorted = steps.clone();
    sorted.sort_unstable();
    let middle = |step: &u32| {
        let (below, up_to) = (sorted.partition_point(|s| s < step), sorted.partition_point(|s| s <= step));
        (below + up_to - 1) as f64 / 2.0
    };
    let chance = |step| match row.len() {
        1 => density,
        n => density - epsilon + 2.0 * epsilon * middle(step) / (n - 1) as f64,
    };
    steps.iter().map(chance).collect()
}

fn della(family: &Family, elect: bool) -> Vec<f64> {
    let weights = [0.5, -0.3, 0.8];
    let deltas: Vec<Vec<f64>> = (1..4)
        .map(|expert| {
            let delta = family.delta(expert);
            let key = MaskKey::new(0, expert as u32 - 1, "w");
            let chances: Vec<f64> = delta.chunks(family.row()).flat_map(|row| chances(row, 0.4, 0.25)).collect();
            let stays = |j: usize| Mask::new(key, chances[j]).keeps(j as u64);
            let kept: Vec<f64> = delta.iter().enumerate().map(|(j, d)| if stays(j) { *d } else { 0.0 }).collect();
            let norm = |v: &[f64]| v.iter().map(|d| d.abs()).sum::<f64>();
            let scale = if norm(&kept) < 1e-7 { 1.0 } else { norm(&delta) / norm(&kept) };
            kept.iter().map(|d| d * scale * weights[expert - 1]).collect()
        })
        .collect();
    let one = |j: usize| {
        let total: f64 = deltas.iter().map(|d| d[j]).sum();
        let agrees = |d: f64| !elect || (if total >= 0.0 { d > 0.0 } else { d < 0.0 });
        let (mut sum, mut divisor) = (0.0, 0.0);
        for (delta, weight) in deltas.iter().zip(weights).filter(|(delta, _)| agrees(delta[j])) {
            sum += delta[j];
            divisor += weight;
        }
        family.values[0][j] + if elect && divisor != 0.0 { sum / divisor } else { sum }
    };
    (0..family.values[0].len()).map(one).collect()
}

fn arcee_fusion(family: &Family) -> Vec<f64> {
    let softmax = |row: &[f64]| {
        let max = row.iter().fold(f64::NEG_INFINITY, |max, x| max.max(*x));
        let sum: f64 = row.iter().map(|x| (x - max).exp()).sum();
        row.iter().map(|x| (x - max).exp() / sum + 1e-8).collect::<Vec<_>>()
    };
    let rows = family.values[0].chunks(family.row()).zip(family.values[1].chunks(family.row()));
    let divergences: Vec<f32> =
        rows.map(|(a, b)| softmax(b).iter().zip(softmax(a)).map(|(p, q)| p * (p / q).ln()).sum::<f64>() as f32).collect();
    let delta = family.delta(1);
    let importance: Vec<f32> = delta.iter().enumerate().map(|(j, d)| (*d as f32 * divergences[j / family.row()]).abs()).collect();
    let mut sorted = importance.clone();
    sorted.sort_by(f32::total_cmp);
    let quartile = |quarters: usize| sorted[(sorted.len() - 1) * quarters / 4];
    let threshold = quartile(2) + 1.5 * (quartile(3) - quartile(1));
    let one = |j: usize| family.values[0][j] + if importance[j] >= threshold { delta[j] } else { 0.0 };
    (0..delta.len()).map(one).collect()
}

/// Vectors along the last dimension, merged by `f` from the base and the experts.
fn by_row(family: &Family, f: impl Fn(&[&[f64]]) -> Vec<f64>) -> Vec<f64> {
    let rows = |j: usize| family.values.iter().map(|v| &v[j..j + family.row()]).collect::<Vec<_>>();
    (0..family.values[0].len()).step_by(family.row()).flat_map(|j| f(&rows(j))).collect()
}

/// Vectors along the first dimension.
fn by_column(family: &Family, f: impl Fn(&[&[f64]]) -> Vec<f64>) -> Vec<f64> {
    let n = family.values[0].len();
    let width = if family.shape.len() < 2 { 1 } else { n / family.shape[0] as usize };
    let mut out = vec![0.0; n];
    for column in 0..width {
        let columns: Vec<Vec<f64>> = family.values.iter().map(|v| v[column..].iter().step_by(width).copied().collect()).collect();
        let merged = f(&columns.iter().map(Vec::as_slice).collect::<Vec<_>>());
        merged.iter().enumerate().for_each(|(row, value)| out[row * width + column] = *value);
    }
    out
}

const WEIGHTED: &str =
    "{model: a, parameters: {weight: 0.5}}, {model: b, parameters: {weight: -0.3}}, {model: c, parameters: {weight: 0.8}}";
const TWO: &str = "{model: a, parameters: {weight: 0.6}}, {model: b, parameters: {weight: 0.2}}";
const PLAIN: &str = "{model: a}, {model: b}, {model: c}";
const BASE: &str = "base_model: base, ";

/// The method, its models, whether there is a base, its parameters, and the formula.
const CASES: [(&str, &str, &str, &str, Oracle); 24] = [
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

fn models(shape: &[u64], dtype: Dtype) -> [(&'static str, Tensor); 4] {
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
        for (method, listed, base, parameters, oracle) in CASES {
            let recipe =
                format!("{{merge_method: {method}, {base}dtype: float32, parameters: {{{parameters}}}, models: [{listed}]}}");
            let found = numbers(&merge(&recipe, &models, 2, 1 << 30, 0).unwrap_or_else(|error| panic!("{recipe}: {error}")));
            let expected = oracle(&family);
            let largest = expected.iter().fold(0.0f64, |most, value| most.max(value.abs()));
            let wrong = found.iter().zip(&expected).filter(|(a, b)| (f64::from(**a) - **b).abs() > 5e-6 * largest).count();
            // where the sum of all is next to nothing, rounding decides the election
            let allowed = if ["breadcrumbs_ties", "della", "sce"].contains(&method) { expected.len() / 20_000 } else { 0 };
            assert!(wrong <= allowed, "{method} {parameters} {base}: {wrong} of {} differ for {shape:?} {dtype}", expected.len());
        }
    }
}

#[test]
fn bytes_do_not_depend_on_threads_memory_or_where_the_base_is_listed() {
    for shape in [vec![700, 300], vec![3, GRANULE as u64 - 5], vec![2, GRANULE as u64 + 9]] {
        let models = models(&shape, Dtype::BF16);
        for (method, listed, base, parameters, _) in CASES {
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
    for (method, listed, base, parameters, _) in CASES {
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
