//! Prices of rows, by the volume algorithm (Barahona and Anbil, Math. Prog. 87, 2000): a subgradient method on the dual whose
//! average of the answers is a near-optimal fractional x.
//!
//! For prices y ≥ 0 with Σ y = 1, every x, fractional or whole, costs at least
//!
//! ```text
//!   f(y) = Σ y(j,r) base(j,r) + Σ_i count(i) min_j ( Σ_r y(j,r) load(i,j,r) + cost(i,j) )
//! ```
//! so f(y) is a bound whatever y is; the best y is the dual of the relaxation: what a second of each row is worth.

use super::{Budget, Cancelled, Program};

/// What the relaxation says.
#[derive(Debug, Clone, PartialEq)]
pub struct Relaxed {
    /// No x has a value below this.
    pub bound: f64,
    /// What the bound falls by when a row is done a second sooner: `[node][row]`, in sum 1.
    pub prices: Vec<f64>,
    /// The share of each class on each node, near the optimum: `[class][node]`, in sum 1 for a class.
    pub shares: Vec<f64>,
}

/// Looks for prices until the bound is within `close` of `target`, a value that some x has, or the budget is spent.
///
/// # Errors
/// [`Cancelled`] when the budget was.
pub fn relax(program: &Program, target: f64, close: f64, budget: &mut Budget) -> Result<Relaxed, Cancelled> {
    let rows = program.nodes * program.rows;
    let work = program.classes() * rows + program.classes() + rows;
    let mut best = Dual::at(program, first_prices(program));
    let mut shares = best.shares(program);
    let mut busy = best.busy.clone();
    let (mut step, mut blend) = (0.5, 0.1);
    let (mut fruitless, mut checked) = (0, best.value);
    for turn in 1u32.. {
        if best.value >= target * (1.0 - close) || !budget.spend(2 * work)? {
            break;
        }
        let mean = busy.iter().sum::<f64>() / rows as f64;
        let length: f64 = busy.iter().map(|busy| (busy - mean).powi(2)).sum();
        if length <= f64::EPSILON * mean * mean {
            break;
        }
        let stride = step * (target - best.value).max(0.0) / length;
        let next = Dual::at(program, project(best.prices.iter().zip(&busy).map(|(y, v)| y + stride * (v - mean)).collect()));
        let part = best_blend(&busy, &next.busy, blend);
        shares.iter_mut().for_each(|share| *share *= 1.0 - part);
        next.choice.iter().enumerate().for_each(|(class, node)| {
            if let Some(node) = node {
                shares[class * program.nodes + node] += part;
            }
        });
        busy.iter_mut().zip(&next.busy).for_each(|(busy, next)| *busy += part * (next - *busy));
        if next.value > best.value {
            // The direction still leads upwards after the step: a longer one may be better.
            let mean = next.busy.iter().sum::<f64>() / rows as f64;
            let along: f64 = busy.iter().zip(&next.busy).map(|(a, b)| (a - mean) * (b - mean)).sum();
            step = if along > 0.0 { (step * 1.1).min(2.0) } else { step };
            best = next;
            fruitless = 0;
        } else {
            fruitless += 1;
            if fruitless >= 10 {
                step = (step * 0.66).max(1e-4);
                fruitless = 0;
            }
        }
        if turn % 100 == 0 {
            if best.value < checked * 1.01 && blend > 1e-3 {
                blend *= 0.5;
            }
            checked = best.value;
        }
    }
    Ok(Relaxed { bound: best.value, prices: best.prices, shares })
}

/// Prices at which the classes, on the whole, do not mind where they run: what is slow is cheap.
fn first_prices(program: &Program) -> Vec<f64> {
    let rows = program.nodes * program.rows;
    let (mut sums, mut tasks) = (vec![0.0; rows], vec![0.0; rows]);
    for class in 0..program.classes() {
        for node in (0..program.nodes).filter(|node| program.allows(class, *node)) {
            for (row, load) in program.load(class, node).iter().enumerate() {
                sums[node * program.rows + row] += f64::from(program.count(class)) * load;
                tasks[node * program.rows + row] += f64::from(program.count(class));
            }
        }
    }
    let mut prices: Vec<f64> = sums.iter().zip(&tasks).map(|(sum, tasks)| if *sum > 0.0 { tasks / sum } else { 0.0 }).collect();
    let sum: f64 = prices.iter().sum();
    if sum > 0.0 && sum.is_finite() {
        prices.iter_mut().for_each(|price| *price /= sum);
    } else {
        prices.fill(1.0 / rows.max(1) as f64);
    }
    prices
}

/// f at some prices, and the x that it chose.
struct Dual {
    prices: Vec<f64>,
    value: f64,
    choice: Vec<Option<usize>>,
    busy: Vec<f64>,
}

impl Dual {
    fn at(program: &Program, prices: Vec<f64>) -> Self {
        let rows = program.rows;
        let mut busy = program.base.clone();
        let mut value: f64 = prices.iter().zip(&program.base).map(|(price, base)| price * base).sum();
        let mut choice = Vec::with_capacity(program.classes());
        let classes =
            program.loads.chunks_exact((program.nodes * rows).max(1)).zip(program.costs.chunks_exact(program.nodes.max(1)));
        for ((loads, costs), count) in classes.zip(&program.counts) {
            let (mut least, mut at) = (f64::INFINITY, None);
            for (node, (load, price)) in loads.chunks_exact(rows).zip(prices.chunks_exact(rows)).enumerate() {
                // Infinite loads at a price of zero must not become a number.
                let priced: f64 = if load[0].is_finite() {
                    load.iter().zip(price).map(|(load, price)| load * price).sum()
                } else {
                    f64::INFINITY
                };
                let total = priced + costs[node];
                if total < least {
                    (least, at) = (total, Some(node));
                }
            }
            choice.push(at);
            if let Some(node) = at {
                let count = f64::from(*count);
                value += count * least;
                let (load, busy) = (&loads[node * rows..(node + 1) * rows], &mut busy[node * rows..(node + 1) * rows]);
                busy.iter_mut().zip(load).for_each(|(busy, load)| *busy += count * load);
            }
        }
        Self { prices, value, choice, busy }
    }

    fn shares(&self, program: &Program) -> Vec<f64> {
        let mut shares = vec![0.0; program.classes() * program.nodes];
        for (class, node) in self.choice.iter().enumerate() {
            if let Some(node) = node {
                shares[class * program.nodes + node] = 1.0;
            }
        }
        shares
    }
}

/// The part of the new that makes the blend most even, between a tenth of `most` and `most`.
fn best_blend(old: &[f64], new: &[f64], most: f64) -> f64 {
    let (mut cross, mut length) = (0.0, 0.0);
    let n = old.len().max(1) as f64;
    let (mean_old, mean_new) = (old.iter().sum::<f64>() / n, new.iter().sum::<f64>() / n);
    for (old, new) in old.iter().zip(new) {
        let (old, new) = (old - mean_old, new - mean_new);
        cross += old * (old - new);
        length += (old - new).powi(2);
    }
    if length > 0.0 { (cross / length).clamp(most / 10.0, most) } else { most }
}

/// The nearest point of the simplex: none below 0, in sum 1.
fn project(mut point: Vec<f64>) -> Vec<f64> {
    let mut sorted = point.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let (mut sum, mut cut) = (0.0, 0.0);
    for (rank, value) in (1u32..).zip(&sorted) {
        sum += value;
        let candidate = (sum - 1.0) / f64::from(rank);
        if *value > candidate {
            cut = candidate;
        }
    }
    point.iter_mut().for_each(|value| *value = (*value - cut).max(0.0));
    point
}
