//! The bound of a whole step by what one rank can do: it runs a whole number of groups, each with its fixed time and its memory.
//!
//! A rank of pool c that is in n groups has at most T − n · fixed_c for sequences, and room for n · cap_c tokens of them, when of every
//! sequence it counts the share 1 / d that is its own in a group of degree d. Let every class have a value π_q. Where, with w_q the
//! least GPU-time d_j t_j(q) of a kind of c and for some λ, μ ≥ 0, no class is worth more than λ w_q + μ s_q, such a rank does no more
//! than λ (T − n fixed_c) + μ n cap_c. So
//!
//! ```text
//! Σ_q b_q π_q  >  Σ_c N_c max_n min_(λ,μ) [ λ (T − n fixed_c) + μ n cap_c ]   ⇒   step > T
//! ```
//!
//! for any values. Those tried mix time and tokens, in each pool as is best there, at the pool where a class is cheapest. What is lost where groups are counted in
//! fractions, as in [`super::whole_step`], is much where a rank runs but one or two.

use super::by_degree::SAFETY;
use crate::planner::{CostModel, Load};

/// Shares of time in what a class is worth in a pool; the rest is for its tokens.
const SHARES: [f64; 5] = [1.0, 0.75, 0.5, 0.25, 0.0];
/// The directions (λ, μ) tried lie so far apart.
const DIRECTIONS: u32 = 16;
/// A rank that runs more groups than these is bounded by its time alone.
const GROUPS: u32 = 64;
/// Rounds of looking for prices of pools.
const ROUNDS: i32 = 12;
/// A price is multiplied or divided by this at first.
const STEP: f64 = 1.5;

/// No step over these classes takes less, in milliseconds; `from` is known to be such a bound.
pub(super) fn raise(cost: &CostModel, classes: &[(Load, usize)], from: f64) -> f64 {
    let pools = cost.pools().len();
    let mut best = Question { cost, classes, prices: vec![1.0; pools], shares: vec![1.0; pools] };
    let mut bound = best.raise(from.max(1e-9));
    for round in 0..if pools == 1 { 1 } else { ROUNDS } {
        let step = STEP.powf(0.75f64.powi(round));
        for pool in 0..pools {
            let shares = SHARES.map(|share| best.with(pool, best.prices[pool], share));
            let prices = [step, 1.0 / step].map(|by| best.with(pool, best.prices[pool] * by, best.shares[pool]));
            let above = bound * ABOVE;
            let tries = shares.into_iter().chain(prices.into_iter().take(if pools == 1 { 0 } else { 2 }));
            let rated = tries.map(|question| (question.scarcity(above), question));
            if let Some((scarcity, question)) = rated.max_by(|a, b| a.0.total_cmp(&b.0))
                && scarcity > best.scarcity(above)
            {
                best = question;
                bound = best.raise(bound);
            }
        }
    }
    bound
}

/// The next makespan to be refuted, in terms of the last.
const ABOVE: f64 = 1.0 + 1e-5;

/// Which values the classes get: the least over pools of price · (share · time + (1 − share) · tokens).
#[derive(Clone)]
struct Question<'a> {
    cost: &'a CostModel,
    classes: &'a [(Load, usize)],
    prices: Vec<f64>,
    shares: Vec<f64>,
}

/// A pool at some makespan.
struct Ranks {
    count: f64,
    fixed: f64,
    capacity: f64,
    /// The least GPU-time of each class; none where it does not fit.
    times: Vec<Option<f64>>,
    /// Of all classes that fit, for each token.
    time_per_token: f64,
}

impl Question<'_> {
    fn with(&self, pool: usize, price: f64, share: f64) -> Self {
        let mut other = self.clone();
        (other.prices[pool], other.shares[pool]) = (price, share);
        other
    }

    /// The value of all classes, as a share of the most that all ranks can do.
    fn scarcity(&self, makespan: f64) -> f64 {
        let pools: Vec<Ranks> = (0..self.prices.len()).map(|pool| self.ranks(pool, makespan)).collect();
        let mut asked = 0.0;
        let mut values = Vec::with_capacity(self.classes.len());
        for (class, &(load, count)) in self.classes.iter().enumerate() {
            let worth = |(pool, ranks): (usize, &Ranks)| {
                let tokens = ranks.time_per_token * load.tokens as f64;
                Some(self.prices[pool] * (self.shares[pool] * ranks.times[class]? + (1.0 - self.shares[pool]) * tokens))
            };
            let value = pools.iter().enumerate().filter_map(worth).fold(f64::INFINITY, f64::min);
            values.push(value);
            asked += count as f64 * value;
        }
        if asked.is_infinite() {
            return f64::INFINITY;
        }
        asked / pools.iter().map(|ranks| ranks.count * ranks.most(self.classes, &values, makespan)).sum::<f64>()
    }

    fn ranks(&self, pool: usize, makespan: f64) -> Ranks {
        let kinds = || self.cost.kinds().iter().filter(|k| k.pool == pool);
        let times: Vec<Option<f64>> = self
            .classes
            .iter()
            .map(|&(load, _)| {
                let open = kinds().filter(|k| k.holds(load) && k.time(load).0 <= makespan);
                open.map(|k| f64::from(k.degree.0) * k.variable(load)).min_by(f64::total_cmp)
            })
            .collect();
        let fitting =
            || self.classes.iter().zip(&times).filter_map(|(&(load, count), time)| Some((load, count as f64, (*time)?)));
        let tokens: f64 = fitting().map(|(load, count, _)| count * load.tokens as f64).sum();
        Ranks {
            count: f64::from(self.cost.pools()[pool].gpus),
            fixed: kinds().map(|k| k.fixed).fold(f64::INFINITY, f64::min),
            capacity: kinds().map(|k| k.capacity as f64 / f64::from(k.degree.0)).fold(0.0, f64::max),
            time_per_token: fitting().map(|(_, count, time)| count * time).sum::<f64>() / tokens.max(1.0),
            times,
        }
    }

    fn refutes(&self, makespan: f64) -> bool {
        self.scarcity(makespan) > 1.0 + SAFETY
    }

    /// The largest makespan from `from` on that is refuted, or `from`.
    fn raise(&self, from: f64) -> f64 {
        let (mut low, mut high) = (from, 2.0 * from);
        if !self.refutes(low * ABOVE) {
            return from;
        }
        while self.refutes(high) {
            (low, high) = (high, 2.0 * high);
            if !high.is_finite() {
                return low;
            }
        }
        while high - low > 1e-5 * low {
            let middle = 0.5 * (low + high);
            if self.refutes(middle) { low = middle } else { high = middle }
        }
        low
    }
}

impl Ranks {
    /// The most value that one rank can do within the makespan.
    fn most(&self, classes: &[(Load, usize)], values: &[f64], makespan: f64) -> f64 {
        // λ w + μ s in the direction, and how often it has to be taken to be no less than any value.
        let direction = |step: u32| {
            let time = f64::from(step) / f64::from(DIRECTIONS);
            let tokens = (1.0 - time) * self.time_per_token;
            let worth = classes
                .iter()
                .zip(&self.times)
                .zip(values)
                .filter_map(|((&(load, _), &w), value)| Some(value / (time * w? + tokens * load.tokens as f64)));
            let scale = worth.fold(0.0, f64::max);
            (scale * time, scale * tokens)
        };
        let directions: Vec<(f64, f64)> = (0..=DIRECTIONS).map(direction).collect();
        let with = |groups: u32| {
            let (left, room) = (makespan - f64::from(groups) * self.fixed, f64::from(groups) * self.capacity);
            directions.iter().map(|(time, tokens)| time * left + tokens * room).fold(f64::INFINITY, f64::min)
        };
        let possible = (1..=GROUPS).take_while(|&groups| f64::from(groups) * self.fixed < makespan);
        let more = directions.last().map_or(0.0, |d| d.0) * (makespan - f64::from(GROUPS) * self.fixed).max(0.0);
        possible.map(with).fold(more, f64::max)
    }
}
