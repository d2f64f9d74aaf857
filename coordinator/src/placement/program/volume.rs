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

/// Turns after which a bound that has not risen by [`RISE`] rises no more.
const STALLED: u32 = 300;
/// The least rise that is worth so many turns, as a share.
const RISE: f64 = 1e-4;

/// Looks for prices until the bound is within `close` of `target`, a value that some x has, or rises no more, or the budget is
/// spent.
///
/// # Errors
/// [`Cancelled`] when the budget was.
pub fn relax(program: &Program, target: f64, close: f64, budget: &mut Budget) -> Result<Relaxed, Cancelled> {
    let rows = program.nodes * program.rows;
    let work = program.classes() * rows + program.classes() + rows;
    let sheet = Sheet::new(program);
    let mut best = sheet.at(first_prices(program));
    let mut shares = best.shares(program);
    let mut busy = best.busy.clone();
    let (mut step, mut blend) = (0.5, 0.1);
    let (mut fruitless, mut checked, mut risen) = (0, best.value, best.value);
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
        let next = sheet.at(project(best.prices.iter().zip(&busy).map(|(y, v)| y + stride * (v - mean)).collect()));
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
        if turn % STALLED == 0 {
            if best.value < risen * (1.0 + RISE) {
                break;
            }
            risen = best.value;
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

/// The loads with those of all nodes on a row side by side, `[class][row][node]`: the loop over them is the work of a turn, and the
/// processor takes several at once.
pub(super) struct Sheet<'a> {
    program: &'a Program,
    loads: Vec<f64>,
}

impl<'a> Sheet<'a> {
    pub(super) fn new(program: &'a Program) -> Self {
        let mut loads = Vec::with_capacity(program.loads.len());
        for class in program.loads.chunks_exact((program.nodes * program.rows).max(1)) {
            for row in 0..program.rows {
                loads.extend(class.iter().skip(row).step_by(program.rows));
            }
        }
        Self { program, loads }
    }

    /// f at some prices.
    pub(super) fn at(&self, prices: Vec<f64>) -> Dual {
        let Program { nodes, rows, base, counts, costs, .. } = self.program;
        let mut busy = base.clone();
        let mut value: f64 = prices.iter().zip(base).map(|(price, base)| price * base).sum();
        let mut choice = Vec::with_capacity(counts.len());
        let by_row: Vec<f64> = (0..*rows).flat_map(|row| prices.iter().skip(row).step_by(*rows)).copied().collect();
        let mut totals = vec![0.0; *nodes];
        let classes = self.loads.chunks_exact((nodes * rows).max(1)).zip(costs.chunks_exact((*nodes).max(1)));
        for (class, ((loads, costs), count)) in classes.zip(counts).enumerate() {
            totals.copy_from_slice(costs);
            for (loads, prices) in loads.chunks_exact(*nodes).zip(by_row.chunks_exact(*nodes)) {
                totals.iter_mut().zip(loads).zip(prices).for_each(|((total, load), price)| *total += load * price);
            }
            // An infinite load at a price of zero is no number, and no number is less than another.
            let least = totals.iter().fold(f64::INFINITY, |least, total| if *total < least { *total } else { least });
            let at = totals.iter().position(|total| *total == least).filter(|_| least.is_finite());
            choice.push(at);
            if let Some(node) = at {
                let count = f64::from(*count);
                value += count * least;
                let rows = busy[node * rows..(node + 1) * rows].iter_mut();
                rows.zip(self.program.load(class, node)).for_each(|(busy, load)| *busy += count * load);
            }
        }
        Dual { prices, value, choice, busy }
    }
}

/// f at some prices, and the x that it chose.
pub(super) struct Dual {
    pub(super) prices: Vec<f64>,
    pub(super) value: f64,
    /// The node at which each class costs least.
    pub(super) choice: Vec<Option<usize>>,
    busy: Vec<f64>,
}

impl Dual {
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
