//! The small LP of the cutting-plane method: the prices that all cuts so far think best.

use super::by_degree::Prices;
use crate::planner::CostModel;
use microlp::{ComparisonOp, OptimizationDirection, Problem, Variable};

/// The least price of a pool's GPU: 0 would be allowed, but leaves nothing to divide by.
const LEAST_PRICE: f64 = 0.02;

/// What the classes that chose each kind add up to, at some prices: a cut, valid for every larger makespan.
#[derive(Debug, Clone)]
pub(super) struct Cut {
    /// f there.
    pub(super) value: f64,
    /// Σ t_j(q) by kind.
    pub(super) time: Vec<f64>,
    /// Σ s_q by kind.
    pub(super) tokens: Vec<f64>,
}

impl Cut {
    pub(super) fn new(kinds: usize) -> Self {
        Self { value: 0.0, time: vec![0.0; kinds], tokens: vec![0.0; kinds] }
    }
}

/// The cuts so far.
pub(super) struct Master<'a> {
    cost: &'a CostModel,
    cuts: Vec<Cut>,
}

impl<'a> Master<'a> {
    pub(super) fn new(cost: &'a CostModel) -> Self {
        Self { cost, cuts: Vec::new() }
    }

    pub(super) fn add(&mut self, cut: Cut) {
        if cut.value.is_finite() {
            self.cuts.push(cut);
        }
    }

    /// The GPUs that a kind needs for a cut: by time, and by memory.
    fn needs(&self, cut: &Cut, kind: usize, makespan: f64) -> (f64, f64) {
        let k = &self.cost.kinds()[kind];
        let d = f64::from(k.degree.0);
        let time = if cut.time[kind] > 0.0 { d * cut.time[kind] / (makespan - k.fixed) } else { 0.0 };
        (time, d * cut.tokens[kind] / k.capacity as f64)
    }

    /// The prices that maximise the least of all cuts at `makespan`, and that maximum; none if the solver gives up.
    pub(super) fn solve(&self, makespan: f64) -> Option<(Prices, f64)> {
        let (kinds, pools) = (self.cost.kinds(), self.cost.pools());
        let gpus = f64::from(self.cost.world());
        let single = pools.len() == 1;
        let mut lp = Problem::new(OptimizationDirection::Maximize);
        let value = lp.add_var(1.0, (0.0, 4.0 * gpus));
        let limit = if single { 1.0 } else { gpus };
        let shares: Vec<Variable> = kinds.iter().map(|_| lp.add_var(0.0, (0.0, limit))).collect();
        let prices: Vec<Variable> =
            pools.iter().map(|_| lp.add_var(0.0, if single { (1.0, 1.0) } else { (LEAST_PRICE, limit) })).collect();
        if !single {
            let all: Vec<_> = prices.iter().zip(pools).map(|(&v, p)| (v, f64::from(p.gpus))).collect();
            lp.add_constraint(all, ComparisonOp::Eq, gpus);
            for (k, &share) in kinds.iter().zip(&shares) {
                lp.add_constraint([(share, 1.0), (prices[k.pool], -1.0)], ComparisonOp::Le, 0.0);
            }
        }
        for cut in &self.cuts {
            let mut row = vec![(value, 1.0)];
            let mut by_pool = vec![0.0; pools.len()];
            for (kind, &share) in shares.iter().enumerate() {
                let (time, memory) = self.needs(cut, kind, makespan);
                by_pool[kinds[kind].pool] += memory;
                if time != memory {
                    row.push((share, memory - time));
                }
            }
            row.extend(prices.iter().zip(by_pool).map(|(&v, memory)| (v, -memory)));
            lp.add_constraint(row, ComparisonOp::Le, 0.0);
        }
        let solution = lp.solve().ok()?.into_solution().ok()?;
        let values = |vars: &[Variable]| vars.iter().map(|&v| solution.var_value(v)).collect();
        Some((Prices { time_share: values(&shares), pool: values(&prices) }, solution.objective()))
    }
}
