//! The formulas of the papers, written plainly in f64 on whole vectors. Only for tests.

use super::super::registry::oracle::{Family, dot, norm};
use braid_kernels::{Mask, MaskKey};

const WEIGHTS: [f64; 3] = [0.5, -0.3, 0.8];

fn deltas(family: &Family) -> Vec<Vec<f64>> {
    (1..4).map(|expert| family.delta(expert)).collect()
}

fn moved(family: &Family, change: impl Fn(usize) -> f64) -> Vec<f64> {
    family.values[0].iter().enumerate().map(|(j, base)| base + change(j)).collect()
}

pub(super) fn dare(family: &Family, density: f64, lambda: f64) -> Vec<f64> {
    let deltas = deltas(family);
    let masks: Vec<Mask> = (0..3).map(|expert| Mask::new(MaskKey::new(0, expert, "w"), density)).collect();
    let kept = |i: usize, j: usize| if masks[i].keeps(j as u64) { deltas[i][j] / density } else { 0.0 };
    moved(family, |j| lambda * (0..3).map(|i| WEIGHTS[i] * kept(i, j)).sum::<f64>())
}

pub(super) fn sce_published(family: &Family, share: f64) -> Vec<f64> {
    let deltas = deltas(family);
    let n = deltas[0].len();
    let mut selected = vec![true; n];
    if share < 1.0 {
        let variance = |j: usize| {
            let mean = deltas.iter().map(|d| d[j]).sum::<f64>() / 3.0;
            (deltas.iter().map(|d| (d[j] - mean).powi(2)).sum::<f64>() / 3.0) as f32
        };
        let variances: Vec<f32> = (0..n).map(variance).collect();
        let nonzero = variances.iter().filter(|v| **v != 0.0).count();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|a, b| variances[*b].total_cmp(&variances[*a]).then(a.cmp(b)));
        order[(share * nonzero as f64) as usize..].iter().for_each(|place| selected[*place] = false);
    }
    let square = |d: &Vec<f64>| d.iter().zip(&selected).filter(|(_, s)| **s).map(|(d, _)| d * d).sum::<f64>();
    let squares: Vec<f64> = deltas.iter().map(square).collect();
    let total: f64 = squares.iter().sum();
    let weights: Vec<f64> = squares.iter().map(|s| if total == 0.0 { 1.0 / 3.0 } else { s / total }).collect();
    moved(family, |j| {
        let all: f64 = deltas.iter().map(|d| d[j]).sum();
        let agreeing = || (0..3).filter(|i| if all >= 0.0 { deltas[*i][j] > 0.0 } else { deltas[*i][j] < 0.0 });
        let divisor: f64 = agreeing().map(|i| weights[i]).sum();
        agreeing().map(|i| weights[i] * deltas[i][j]).sum::<f64>() / if divisor == 0.0 { 1.0 } else { divisor }
    })
}

pub(super) fn varm(family: &Family) -> Vec<f64> {
    let deltas = deltas(family);
    let squares: Vec<f64> = deltas.iter().map(|d| dot(d, d)).collect();
    let total: f64 = squares.iter().sum();
    moved(family, |j| (0..3).map(|i| squares[i] / total * deltas[i][j]).sum())
}

/// Scores over models, from the significance of each column in each.
fn scores(significances: &[Vec<f64>], ratio: f64, value: f64) -> Vec<Vec<f64>> {
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let means: Vec<f64> = significances.iter().map(|of| mean(of)).collect();
    let score = |i: usize, c: usize| {
        let own = significances[i][c];
        let softmax = own.exp() / significances.iter().map(|of| of[c].exp()).sum::<f64>();
        if own > means[i] * ratio { value } else { softmax }
    };
    (0..significances.len()).map(|i| (0..significances[i].len()).map(|c| score(i, c)).collect()).collect()
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<(f64, usize)> = values.iter().enumerate().map(|(c, value)| (*value, c)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut ranks = vec![0.0; values.len()];
    sorted.iter().enumerate().for_each(|(rank, (_, c))| ranks[*c] = rank as f64 / values.len() as f64);
    ranks
}

pub(super) fn widen(family: &Family, ratio: f64, value: f64) -> Vec<f64> {
    let experts = family.values.len() - 1;
    let deltas: Vec<Vec<f64>> = (1..=experts).map(|expert| family.delta(expert)).collect();
    if family.shape.len() < 2 {
        let magnitudes: Vec<Vec<f64>> = deltas.iter().map(|d| d.iter().map(|d| d.abs()).collect()).collect();
        let scores = scores(&magnitudes, ratio, value);
        return moved(family, |j| (0..experts).map(|i| scores[i][j] * deltas[i][j]).sum());
    }
    let width = family.values[0].len() / family.shape[0] as usize;
    let column = |model: usize, c: usize| family.values[model][c..].iter().step_by(width).copied().collect::<Vec<f64>>();
    let length = |i: usize, c: usize| (norm(&column(i, c)) - norm(&column(0, c))).abs();
    let direction = |i: usize, c: usize| {
        let (a, b) = (column(0, c), column(i, c));
        let (of_a, of_b) = (norm(&a), norm(&b));
        if of_a == 0.0 || of_b == 0.0 {
            return if of_a == of_b { 0.0 } else { 1.0 };
        }
        // half the square of the distance of the unit vectors
        a.iter().zip(&b).map(|(a, b)| (a / of_a - b / of_b).powi(2)).sum::<f64>() / 2.0
    };
    let ranked = |of: &dyn Fn(usize, usize) -> f64| {
        let one = |i: usize| ranks(&(0..width).map(|c| of(i, c)).collect::<Vec<_>>());
        scores(&(1..=experts).map(one).collect::<Vec<_>>(), ratio, value)
    };
    let (lengths, directions) = (ranked(&length), ranked(&direction));
    moved(family, |j| {
        let c = j % width;
        (0..experts).map(|i| 0.5 * (lengths[i][c] + directions[i][c]) * deltas[i][j]).sum()
    })
}
