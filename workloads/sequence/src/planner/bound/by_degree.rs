//! The bound aggregated by degree: groups of one kind become one pot of GPUs.
//!
//! For a makespan T, with τ_j = T − fixed_j, relax "which group" to "which kind of group", fractionally:
//!
//! ```text
//! min Σ_j d_j n_j   s.t.  Σ_j A_qj = b_q,   Σ_q t_j(q) A_qj ≤ τ_j n_j,   Σ_q s_q A_qj ≤ cap_j n_j
//! ```
//!
//! where class q may use kind j only if one sequence of it fits there in memory and within τ_j. If that needs more than N
//! GPUs, no plan takes T or less. Its dual has one number a_j ∈ [0, 1] for each kind, the share of its price that is paid
//! for time rather than memory (with several pools also a price μ for each pool's GPUs, Σ N_c μ_c = N):
//!
//! ```text
//! f(a, T) = Σ_q b_q min_j d_j [ a_j t_j(q) / τ_j + (μ_c(j) − a_j) s_q / cap_j ]   >  N   ⇒   makespan > T
//! ```
//!
//! Every (a, μ) gives a valid bound by itself: the largest T with f > N. The best is found by cutting planes: each
//! evaluation of f is a cut of a small LP, T rises as soon as some f allows, and cuts stay valid as T rises.

use super::master::{Cut, Master};
use crate::planner::instance::Instance;

/// How close to the LP's optimum is close enough, as a share of the GPUs.
const TOLERANCE: f64 = 2e-4;
/// Where the next makespan to be refuted lies: a little above the last, where a class that just fits on a kind does so.
const ABOVE: f64 = 1.0 + 1e-5;
/// Float error allowed for before f > N counts.
pub(super) const SAFETY: f64 = 1e-9;

/// Shares and pool prices: a point of the dual.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prices {
    /// a_j by kind.
    pub(crate) time_share: Vec<f64>,
    /// μ_c by pool.
    pub(crate) pool: Vec<f64>,
}

/// What the relaxation says of a micro-batch.
#[derive(Debug, Clone)]
pub(crate) struct Relaxed {
    /// No plan takes less, in milliseconds.
    pub(crate) bound: f64,
    /// The prices that prove it.
    pub(crate) prices: Prices,
}

/// The bound, after at most `cuts` cutting planes; more cuts never make it worse.
pub(crate) fn relax(instance: &Instance<'_>, cuts: usize) -> Relaxed {
    let kinds = instance.kinds();
    let pools = instance.cost.pools();
    let gpus = f64::from(instance.cost.world());
    let mut best = Prices { time_share: vec![1.0; kinds.len()], pool: vec![1.0; pools.len()] };
    let mut bound = raise(instance, &best, instance.longest_alone());
    let mut master = Master::new(instance.cost);
    let mut cut = evaluate(instance, &best, bound * ABOVE);
    let mut best_value = cut.value;
    master.add(cut);
    for _ in 0..cuts {
        let Some((prices, ceiling)) = master.solve(bound * ABOVE) else { break };
        if ceiling <= gpus * (1.0 + TOLERANCE) {
            break;
        }
        // halfway between the best point and the master's: fewer cuts than at the master's point alone
        let query = prices.between(&best);
        let reached = raise(instance, &query, bound * ABOVE);
        cut = evaluate(instance, &query, reached * ABOVE);
        if reached > bound * ABOVE {
            (bound, best, best_value) = (reached, query, cut.value);
        } else if cut.value > best_value {
            (best, best_value) = (query, cut.value);
        }
        master.add(cut);
    }
    Relaxed { bound, prices: best }
}

impl Prices {
    fn between(&self, other: &Self) -> Self {
        let mean = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| 0.5 * (a + b)).collect();
        Self { time_share: mean(&self.time_share, &other.time_share), pool: mean(&self.pool, &other.pool) }
    }
}

/// Coefficients of a class's cost at a kind, for one T: cost = Σ over `per_square`·s² + `per_token`·s.
struct Line {
    kind: usize,
    slack: f64,
    per_square: f64,
    per_token: f64,
}

fn lines(instance: &Instance<'_>, prices: &Prices, makespan: f64) -> Vec<Line> {
    let lines = instance.kinds().iter().enumerate().filter_map(|(kind, k)| {
        let slack = makespan - k.fixed;
        (slack > 0.0).then(|| {
            let d = f64::from(k.degree.0);
            let time = d * prices.time_share[kind] / slack;
            let memory = d * (prices.pool[k.pool] - prices.time_share[kind]) / k.capacity as f64;
            Line { kind, slack, per_square: time * k.per_square, per_token: time * k.per_token + memory }
        })
    });
    lines.collect()
}

/// f at these prices and this makespan; infinite if a class fits nowhere.
fn evaluate(instance: &Instance<'_>, prices: &Prices, makespan: f64) -> Cut {
    let kinds = instance.kinds();
    let lines = lines(instance, prices, makespan);
    let mut cut = Cut::new(kinds.len());
    for &(load, count) in &instance.classes {
        let (tokens, squares) = (load.tokens as f64, load.squares as f64);
        let allowed = lines.iter().filter(|l| {
            let k = &kinds[l.kind];
            load.tokens <= k.capacity && k.variable(load) <= l.slack
        });
        let costs = allowed.map(|l| (l.per_square * squares + l.per_token * tokens, l.kind));
        match costs.min_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((cost, kind)) => {
                let count = count as f64;
                cut.value += cost * count;
                cut.time[kind] += kinds[kind].variable(load) * count;
                cut.tokens[kind] += tokens * count;
            }
            None => cut.value = f64::INFINITY,
        }
    }
    cut
}

/// The largest makespan from `from` on that these prices refute, or `from`. f falls as the makespan grows.
fn raise(instance: &Instance<'_>, prices: &Prices, from: f64) -> f64 {
    let limit = f64::from(instance.cost.world()) * (1.0 + SAFETY);
    let refuted = |makespan: f64| evaluate(instance, prices, makespan).value > limit;
    if !refuted(from) {
        return from;
    }
    let (mut low, mut high) = (from, from.max(1e-3) * 2.0);
    while refuted(high) {
        (low, high) = (high, high * 2.0);
        if !high.is_finite() {
            return low;
        }
    }
    while high - low > 1e-6 * low {
        let middle = 0.5 * (low + high);
        if refuted(middle) { low = middle } else { high = middle }
    }
    low
}
