//! The bound of a whole step: however its sequences are divided into micro-batches, and whether or not ranks wait between them.
//!
//! A group of kind j with sequences q takes d_j (fixed_j + Σ t_j(q)) of GPU-time. There are at least Σ s_q / cap_j such groups, for
//! memory, and at least Σ t_j(q) / (T − fixed_j) if each is done within T. So, for any prices μ of the pools' GPUs with
//! Σ N_c μ_c = N and any share a ∈ [0, 1],
//!
//! ```text
//! f(T) = Σ_q b_q min_j d_j μ_c(j) [ t_j(q) + fixed_j ( a t_j(q) / (T − fixed_j) + (1 − a) s_q / cap_j ) ]  >  N T   ⇒   step > T
//! ```
//!
//! where class q may use kind j only if one of it alone fits there in memory and within T. f falls as T grows. [`by_rank`] then raises
//! what this finds.

use super::by_rank;
use crate::planner::{CostModel, Load};

/// Shares of time in the number of groups that are tried.
const SHARES: [f64; 3] = [0.0, 0.5, 1.0];
/// Rounds of looking for prices of pools.
const ROUNDS: u32 = 40;
/// Float error allowed for.
const SAFETY: f64 = 1e-9;

/// No step over these classes of sequences, longest first, takes less, in milliseconds.
pub(crate) fn whole_step(cost: &CostModel, classes: &[(Load, usize)]) -> f64 {
    let alone = |load: Load| {
        let fits = cost.kinds().iter().filter(|k| k.holds(load));
        fits.map(|k| k.time(load).0).fold(f64::INFINITY, f64::min)
    };
    // The longest need not be the slowest: a kind that holds it may be of a faster pool.
    let mut bound = classes.iter().map(|c| alone(c.0)).filter(|t| t.is_finite()).fold(0.0, f64::max);
    let mut prices = vec![1.0; cost.pools().len()];
    let rounds = if prices.len() == 1 { 1 } else { ROUNDS };
    for round in 1..=rounds {
        for share in SHARES {
            bound = raise(&Question { cost, classes, prices: &prices, share }, bound);
        }
        // Pools that are asked for more than the others become dearer.
        let asked = Question { cost, classes, prices: &prices, share: 0.0 }.gpu_time(bound).1;
        let gpus = |pool: usize| f64::from(cost.pools()[pool].gpus);
        let mean = asked.iter().sum::<f64>() / f64::from(cost.world());
        if mean.is_finite() && mean > 0.0 {
            let step = 0.5 / f64::from(round).sqrt();
            for (pool, price) in prices.iter_mut().enumerate() {
                *price *= (step * (asked[pool] / gpus(pool) / mean - 1.0)).clamp(-2.0, 2.0).exp();
            }
            let sum: f64 = prices.iter().enumerate().map(|(pool, price)| gpus(pool) * price).sum();
            prices.iter_mut().for_each(|price| *price *= f64::from(cost.world()) / sum);
        }
    }
    by_rank::raise(cost, classes, bound)
}

struct Question<'a> {
    cost: &'a CostModel,
    classes: &'a [(Load, usize)],
    prices: &'a [f64],
    share: f64,
}

impl Question<'_> {
    /// f, and the GPU-time that each pool is asked for.
    fn gpu_time(&self, makespan: f64) -> (f64, Vec<f64>) {
        let mut asked = vec![0.0; self.prices.len()];
        let mut sum = 0.0;
        for &(load, count) in self.classes {
            let open = self.cost.kinds().iter().filter(|k| k.holds(load) && k.time(load).0 <= makespan);
            let times = open.map(|k| {
                let variable = k.variable(load);
                let slack = makespan - k.fixed;
                let by_time = if variable > 0.0 { variable / slack } else { 0.0 };
                let groups = self.share * by_time + (1.0 - self.share) * load.tokens as f64 / k.capacity as f64;
                (f64::from(k.degree.0) * (variable + k.fixed * groups), k.pool)
            });
            let Some((time, pool)) = times.min_by(|a, b| (a.0 * self.prices[a.1]).total_cmp(&(b.0 * self.prices[b.1]))) else {
                return (f64::INFINITY, asked);
            };
            sum += count as f64 * time * self.prices[pool];
            asked[pool] += count as f64 * time;
        }
        (sum, asked)
    }

    fn refutes(&self, makespan: f64) -> bool {
        self.gpu_time(makespan).0 > f64::from(self.cost.world()) * makespan * (1.0 + SAFETY)
    }
}

/// The largest makespan from `from` on that the question refutes, or `from`.
fn raise(question: &Question<'_>, from: f64) -> f64 {
    let from = from.max(1e-9);
    let (mut low, mut high) = (from, 2.0 * from);
    if !question.refutes(low * (1.0 + 1e-6)) {
        return from;
    }
    while question.refutes(high) {
        (low, high) = (high, 2.0 * high);
        if !high.is_finite() {
            return low;
        }
    }
    while high - low > 1e-6 * low {
        let middle = 0.5 * (low + high);
        if question.refutes(middle) { low = middle } else { high = middle }
    }
    low
}
