//! A makespan to be met, or refuted: the sequences, and what each is worth under the prices by degree.

use super::{CostModel, Load, bound::by_degree::Prices};

/// A makespan that is to be met or refuted.
#[derive(Debug, Clone)]
pub(crate) struct Target<'a> {
    pub(crate) cost: &'a CostModel,
    pub(crate) makespan: f64,
    /// Equal lengths together, longest first.
    pub(crate) classes: Vec<(Load, usize)>,
    /// What one of each class is worth in GPUs; no group is worth more than its price.
    pub(crate) values: Vec<f64>,
    prices: &'a Prices,
}

impl<'a> Target<'a> {
    /// None if a sequence fits on no group within the makespan, which refutes it.
    pub(crate) fn new(cost: &'a CostModel, classes: &[(Load, usize)], prices: &'a Prices, makespan: f64) -> Option<Self> {
        let mut target = Self { cost, makespan, classes: classes.to_vec(), values: Vec::new(), prices };
        target.values = classes.iter().map(|c| target.least_cost(c.0)).collect();
        target.values.iter().all(|v| v.is_finite()).then_some(target)
    }

    fn least_cost(&self, load: Load) -> f64 {
        let cost = |kind: usize| {
            let k = &self.cost.kinds()[kind];
            let share = self.share(kind);
            self.price(kind)
                * (share * k.variable(load) / (self.makespan - k.fixed) + (1.0 - share) * load.tokens as f64 / k.capacity as f64)
        };
        self.kinds_for(load).map(cost).fold(f64::INFINITY, f64::min)
    }

    /// All GPUs at their prices, which is their number.
    pub(crate) fn gpus(&self) -> f64 {
        f64::from(self.cost.world())
    }

    /// The price of a group of this kind.
    pub(crate) fn price(&self, kind: usize) -> f64 {
        let k = &self.cost.kinds()[kind];
        f64::from(k.degree.0) * self.prices.pool[k.pool]
    }

    /// The price of one GPU of a pool.
    pub(crate) fn pool_price(&self, pool: usize) -> f64 {
        self.prices.pool[pool]
    }

    /// The share of a kind's price that is paid for time.
    pub(crate) fn share(&self, kind: usize) -> f64 {
        let price = self.prices.pool[self.cost.kinds()[kind].pool];
        if price > 0.0 { (self.prices.time_share[kind] / price).clamp(0.0, 1.0) } else { 1.0 }
    }

    /// The kinds that leave any time at all.
    pub(crate) fn open_kinds(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.cost.kinds().len()).filter(|&k| self.makespan > self.cost.kinds()[k].fixed)
    }

    /// The kinds that a sequence fits on by itself.
    pub(crate) fn kinds_for(&self, load: Load) -> impl Iterator<Item = usize> + '_ {
        self.open_kinds().filter(move |&k| {
            let kind = &self.cost.kinds()[k];
            kind.holds(load) && kind.time(load).0 <= self.makespan
        })
    }
}
