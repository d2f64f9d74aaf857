//! Nonlinear fits: Levenberg and Marquardt's method on Huber's loss, from one or from many starts. The number of parameters is
//! small; curvature is that of least squares with Huber's weights. Local, so that starts matter.

use super::solve;

/// A point and the mean loss there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Minimum {
    pub(crate) parameters: Vec<f64>,
    pub(crate) loss: f64,
}

/// `row(parameters, index, gradient)`: one residual, and its gradient.
pub(crate) type Row<'a> = dyn Fn(&[f64], usize, &mut [f64]) -> f64 + 'a;

/// Huber's loss: square within `delta`, linear beyond.
pub(crate) fn huber(residual: f64, delta: f64) -> f64 {
    let size = residual.abs();
    if size <= delta { 0.5 * size * size } else { delta * (size - 0.5 * delta) }
}

/// Mean of Huber's loss over `rows` residuals.
pub(crate) fn loss(rows: usize, row: &Row<'_>, parameters: &[f64], delta: f64) -> f64 {
    let mut gradient = vec![0.0; parameters.len()];
    let sum: f64 = (0..rows).map(|index| huber(row(parameters, index, &mut gradient), delta)).sum();
    sum / rows.max(1) as f64
}

/// A local minimum near `start`, after at most `iterations` accepted steps. The start itself where nothing lowers the loss.
pub(crate) fn minimize(rows: usize, row: &Row<'_>, start: &[f64], delta: f64, iterations: usize) -> Minimum {
    let mut best = Minimum { parameters: start.to_vec(), loss: loss(rows, row, start, delta) };
    let mut damping = 1e-2;
    for _ in 0..iterations {
        let (curvature, slope) = normal_equations(rows, row, &best.parameters, delta);
        let before = best.loss;
        // Scaled to a unit diagonal: parameters differ by orders of magnitude, and some have no influence here.
        let scale: Vec<f64> = (0..slope.len())
            .map(|i| if curvature[i][i] > f64::MIN_POSITIVE { 1.0 / curvature[i][i].sqrt() } else { 0.0 })
            .collect();
        let right: Vec<Vec<f64>> = slope.iter().zip(&scale).map(|(slope, scale)| vec![-slope * scale]).collect();
        while damping < 1e10 {
            let damped = (0..slope.len()).map(|i| {
                let entry = |j: usize| curvature[i.max(j)][i.min(j)] * scale[i] * scale[j];
                (0..slope.len()).map(|j| if i == j { 1.0 + damping } else { entry(j) }).collect()
            });
            let Some(step) = solve(damped.collect(), right.clone()) else {
                damping *= 8.0;
                continue;
            };
            let moved = best.parameters.iter().zip(step.iter().zip(&scale));
            let moved: Vec<f64> = moved.map(|(own, (step, scale))| own + step[0] * scale).collect();
            let reached = loss(rows, row, &moved, delta);
            if reached < best.loss {
                best = Minimum { parameters: moved, loss: reached };
                damping = (damping / 5.0).max(1e-12);
                break;
            }
            damping *= 4.0;
        }
        if before - best.loss <= 1e-13 * before {
            break;
        }
    }
    best
}

/// The best of the minima near the most promising starts: all are rated, the first `refined` of them are followed.
pub(crate) fn minimize_from(
    rows: usize,
    row: &Row<'_>,
    starts: impl IntoIterator<Item = Vec<f64>>,
    delta: f64,
    (refined, iterations): (usize, usize),
) -> Option<Minimum> {
    let mut rated: Vec<Minimum> =
        starts.into_iter().map(|start| Minimum { loss: loss(rows, row, &start, delta), parameters: start }).collect();
    rated.retain(|start| start.loss.is_finite());
    rated.sort_by(|a, b| a.loss.total_cmp(&b.loss));
    let followed = rated.iter().take(refined).map(|start| minimize(rows, row, &start.parameters, delta, iterations));
    followed.min_by(|a, b| a.loss.total_cmp(&b.loss))
}

type NormalEquations = (Vec<Vec<f64>>, Vec<f64>);

/// The lower triangle of the curvature, and the slope.
fn normal_equations(rows: usize, row: &Row<'_>, parameters: &[f64], delta: f64) -> NormalEquations {
    let size = parameters.len();
    let (mut curvature, mut slope) = (vec![vec![0.0; size]; size], vec![0.0; size]);
    let mut gradient = vec![0.0; size];
    for index in 0..rows {
        let residual = row(parameters, index, &mut gradient);
        let weight = if residual.abs() <= delta { 1.0 } else { delta / residual.abs() };
        for (i, &left) in gradient.iter().enumerate() {
            slope[i] += weight * residual * left;
            let weighted = weight * left;
            curvature[i].iter_mut().zip(&gradient).take(i + 1).for_each(|(entry, right)| *entry += weighted * right);
        }
    }
    (curvature, slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `y = exp(a x) + b` with one wild point: Huber's loss ignores it.
    #[test]
    fn finds_a_law_beside_an_outlier() {
        let data: Vec<(f64, f64)> =
            (0..20).map(|i| (i as f64 / 10.0, (-1.3 * i as f64 / 10.0).exp() + 0.7 + if i == 7 { 5.0 } else { 0.0 })).collect();
        let row = |p: &[f64], index: usize, gradient: &mut [f64]| {
            let (x, y) = data[index];
            gradient[0] = x * (p[0] * x).exp();
            gradient[1] = 1.0;
            (p[0] * x).exp() + p[1] - y
        };
        let found = minimize(data.len(), &row, &[0.5, 0.0], 1e-6, 400);
        assert!((found.parameters[0] + 1.3).abs() < 1e-6 && (found.parameters[1] - 0.7).abs() < 1e-6, "{found:?}");
        // A start that is no number is left out.
        let many = minimize_from(data.len(), &row, [vec![f64::NAN, 0.0], vec![-1.0, 1.0]], 1e-6, (2, 400)).unwrap();
        assert!((many.parameters[0] + 1.3).abs() < 1e-6);
    }
}
