//! The formulas over whole models as one vector, written plainly in f64. Only for tests.

/// Differences to the first model, in f32, in which ties are ties.
fn deltas(models: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let of = |model: &Vec<f64>| model.iter().zip(&models[0]).map(|(a, b)| f64::from(*a as f32 - *b as f32)).collect();
    models[1..].iter().map(of).collect()
}

pub(super) fn ties(models: &[Vec<f64>], density: f64, lambda: f64) -> Vec<f64> {
    let mut deltas = deltas(models);
    let d = models[0].len();
    for delta in &mut deltas {
        let mut sizes: Vec<f64> = delta.iter().map(|x| x.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        // the k-th smallest, k counted from 1
        let k = (d - (d as f64 * density) as usize).max(1);
        let threshold = sizes[k - 1];
        delta.iter_mut().filter(|x| x.abs() < threshold).for_each(|x| *x = 0.0);
    }
    let sum = |j: usize| deltas.iter().map(|delta| delta[j]).sum::<f64>();
    let sign = |x: f64| if x == 0.0 { 0.0 } else { x.signum() };
    let majority = if (0..d).map(|j| sign(sum(j))).sum::<f64>() < 0.0 { -1.0 } else { 1.0 };
    let one = |j: usize| {
        let elected = if sum(j) == 0.0 { majority } else { sign(sum(j)) };
        let agreeing: Vec<f64> = deltas.iter().map(|delta| delta[j]).filter(|x| sign(*x) == elected).collect();
        models[0][j] + lambda * agreeing.iter().sum::<f64>() / agreeing.len().max(1) as f64
    };
    (0..d).map(one).collect()
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

pub(super) fn pcb(models: &[Vec<f64>], ratio: f64, lambda: f64) -> Vec<f64> {
    let deltas = deltas(models);
    let (n, d) = (deltas.len() as f64, models[0].len());
    let total: Vec<f64> = (0..d).map(|j| deltas.iter().fold(0.0f32, |sum, delta| sum + delta[j] as f32).into()).collect();
    let mut terms = Vec::new();
    for delta in &deltas {
        let sizes = sorted(delta.iter().map(|x| x.abs()));
        let (low, high) = (sizes[(d as f64 * 1e-4) as usize], sizes[(d as f64 * (1.0 - 1e-4) - 1.0) as usize]);
        let clamped: Vec<f64> = delta.iter().map(|x| x.abs().clamp(low, high)).collect();
        let balance = |j: usize| {
            let place = (clamped[j] - low) / (high - low);
            f64::from(((n * place * place).exp() * (delta[j] * total[j]).tanh()) as f32)
        };
        let balances: Vec<f64> = (0..d).map(balance).collect();
        let order = sorted(balances.iter().copied());
        let (floor, most) = (order[(d as f64 * (1.0 - ratio)) as usize], order[d - 1]);
        let shares = balances.iter().map(|b| (b.max(floor) - floor) / (most - floor));
        let signed = delta.iter().zip(&clamped).map(|(x, size)| if *x == 0.0 { 0.0 } else { x.signum() * size });
        terms.push(shares.zip(signed).collect::<Vec<(f64, f64)>>());
    }
    let one = |j: usize| {
        let sum: f64 = terms.iter().map(|term| term[j].0 * term[j].1).sum();
        let shares: f64 = terms.iter().map(|term| term[j].0).sum();
        models[0][j] + lambda * sum / shares.max(1e-12)
    };
    (0..d).map(one).collect()
}

pub(super) fn fisher(models: &[Vec<f64>], information: &[Vec<f64>], weights: [f64; 2], normalize: bool, favor: bool) -> Vec<f64> {
    let norm = |f: &Vec<f64>| if normalize { f.iter().map(|x| x * x).sum::<f64>().sqrt() } else { 1.0 };
    let weights: Vec<f64> = information.iter().zip(weights).map(|(f, weight)| weight / norm(f)).collect();
    let one = |j: usize| {
        let known = |i: usize| information[i][j].max(if favor && i == 0 { 1e-6 } else { 0.0 });
        let total: f64 = (0..2).map(|i| weights[i] * known(i)).sum();
        if total == 0.0 {
            return (models[0][j] + models[1][j]) / 2.0;
        }
        (0..2).map(|i| weights[i] * known(i) * models[i][j]).sum::<f64>() / total
    };
    (0..models[0].len()).map(one).collect()
}
