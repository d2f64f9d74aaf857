//! The formulas of mergekit's registry, written plainly in f64 on whole vectors. Only for tests.

use braid_kernels::{Mask, MaskKey, magnitude};

/// Values of a base and three experts, as f32 sees them.
pub(in super::super) struct Family {
    pub(in super::super) shape: Vec<u64>,
    pub(in super::super) values: Vec<Vec<f64>>,
}

pub(in super::super) type Oracle = fn(&Family) -> Vec<f64>;

impl Family {
    pub(in super::super) fn delta(&self, expert: usize) -> Vec<f64> {
        // in f32, in which ties are ties
        self.values[expert].iter().zip(&self.values[0]).map(|(a, b)| f64::from(*a as f32 - *b as f32)).collect()
    }

    pub(in super::super) fn row(&self) -> usize {
        *self.shape.last().unwrap() as usize
    }
}

pub(in super::super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(in super::super) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// Σ cᵢ·xᵢ.
pub(super) fn sum(vectors: &[&[f64]], coefficients: &[f64]) -> Vec<f64> {
    (0..vectors[0].len()).map(|j| vectors.iter().zip(coefficients).map(|(v, c)| v[j] * c).sum()).collect()
}

pub(super) fn plus(base: &[f64], delta: &[f64]) -> Vec<f64> {
    base.iter().zip(delta).map(|(b, d)| b + d).collect()
}

pub(super) fn nuslerp(a: &[f64], b: &[f64], t: f64) -> Vec<f64> {
    let cosine = (dot(a, b) / norm(a).max(1e-7) / norm(b).max(1e-7)).clamp(-1.0, 1.0);
    if 1.0 - cosine * cosine <= 1e-12 {
        return sum(&[a, b], &[1.0 - t, t]);
    }
    let angle = cosine.acos();
    sum(&[a, b], &[((1.0 - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin()])
}

pub(super) fn multislerp(vectors: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let units: Vec<f64> = vectors.iter().zip(weights).map(|(v, w)| w / (norm(v) + 1e-8)).collect();
    let vectors: Vec<&[f64]> = vectors.iter().map(Vec::as_slice).collect();
    let mean = sum(&vectors, &units);
    let scale: f64 = vectors.iter().zip(weights).map(|(v, w)| w * norm(v)).sum();
    let length = norm(&mean);
    mean.iter().map(|x| x / length * scale).collect()
}

pub(super) fn karcher(vectors: &[Vec<f64>]) -> Vec<f64> {
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

pub(super) fn model_stock(base: &[f64], experts: &[&[f64]]) -> Vec<f64> {
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

pub(super) fn breadcrumbs(family: &Family, elect: bool) -> Vec<f64> {
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

pub(super) fn ram(family: &Family, plus: bool) -> Vec<f64> {
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

pub(super) fn sce(family: &Family, share: f64) -> Vec<f64> {
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

pub(super) fn nearswap(family: &Family) -> Vec<f64> {
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

pub(super) fn della(family: &Family, elect: bool) -> Vec<f64> {
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

pub(super) fn arcee_fusion(family: &Family) -> Vec<f64> {
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
pub(super) fn by_row(family: &Family, f: impl Fn(&[&[f64]]) -> Vec<f64>) -> Vec<f64> {
    let rows = |j: usize| family.values.iter().map(|v| &v[j..j + family.row()]).collect::<Vec<_>>();
    (0..family.values[0].len()).step_by(family.row()).flat_map(|j| f(&rows(j))).collect()
}

/// Vectors along the first dimension.
pub(super) fn by_column(family: &Family, f: impl Fn(&[&[f64]]) -> Vec<f64>) -> Vec<f64> {
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
