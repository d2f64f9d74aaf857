//! Chance that can be repeated: Philox words keyed by the seed, counted by purpose, step and draw. Not a stream that is handed
//! around: who draws for step 9 needs nothing of step 8.

use crate::Proportions;
use braid_kernels::philox4x32;

/// What is drawn, so that no two uses share a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The domains of a batch.
    Batch = 1,
    /// The order in which a sweep tries the domains.
    Sweep = 2,
    /// The mixtures of a swarm.
    Design = 3,
    /// Where fits begin.
    Starts = 4,
    /// Mixtures that a fitted law is asked about.
    Simulation = 5,
}

/// The draws of one purpose at one step.
#[derive(Debug, Clone)]
pub(crate) struct Draws {
    key: [u32; 2],
    step: u64,
    purpose: u32,
    drawn: u32,
}

impl Draws {
    pub(crate) fn new(seed: u64, purpose: Purpose, step: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], step, purpose: purpose as u32, drawn: 0 }
    }

    /// Uniform in `[0, 1)`, with 53 bits.
    pub(crate) fn uniform(&mut self) -> f64 {
        let counter = [self.drawn, self.step as u32, (self.step >> 32) as u32, self.purpose];
        let [high, low, ..] = philox4x32(counter, self.key);
        self.drawn = self.drawn.wrapping_add(1);
        ((u64::from(high) << 32 | u64::from(low)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One domain, each with the probability of its share.
    pub(crate) fn pick(&mut self, proportions: &Proportions) -> usize {
        let mut left = self.uniform();
        let mut last = 0;
        for (index, share) in proportions.iter().enumerate().filter(|(_, share)| *share > 0.0) {
            if left < share {
                return index;
            }
            left -= share;
            last = index;
        }
        last // rounding left a little over
    }

    /// Standard normal (Box and Muller; one of the pair).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        radius * libm::cos(std::f64::consts::TAU * self.uniform())
    }

    /// The logarithm of a gamma variate of this shape (Marsaglia and Tsang; shapes below one by a power of a uniform). As a
    /// logarithm because small shapes underflow.
    fn log_gamma(&mut self, shape: f64) -> f64 {
        let (raised, boost) = if shape < 1.0 { (shape + 1.0, libm::log(1.0 - self.uniform()) / shape) } else { (shape, 0.0) };
        let d = raised - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = 1.0 + c * x;
            if v <= 0.0 {
                continue;
            }
            let cube = v * v * v;
            if libm::log(1.0 - self.uniform()) < 0.5 * x * x + d - d * cube + d * libm::log(cube) {
                return libm::log(d * cube) + boost;
            }
        }
    }

    /// A Dirichlet variate; domains whose parameter is not above zero get nothing.
    pub(crate) fn dirichlet(&mut self, parameters: &[f64]) -> Vec<f64> {
        let logs: Vec<Option<f64>> =
            parameters.iter().map(|&parameter| (parameter > 0.0).then(|| self.log_gamma(parameter))).collect();
        let largest = logs.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = logs.iter().map(|log| log.map_or(0.0, |log| libm::exp(log - largest))).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| if sum > 0.0 { weight / sum } else { 0.0 }).collect()
    }

    /// The numbers below `count` in any order, each order alike (Fisher and Yates).
    pub(crate) fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for index in (1..count).rev() {
            let other = (self.uniform() * (index + 1) as f64) as usize;
            order.swap(index, other.min(index));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_a_dirichlet() {
        for strength in [0.2, 1.0, 30.0] {
            let parameters = [0.5 * strength, 0.3 * strength, 0.0, 0.2 * strength];
            let mut draws = Draws::new(3, Purpose::Simulation, 0);
            let (mut mean, mut square) = ([0.0; 4], 0.0);
            for _ in 0..20_000 {
                let drawn = draws.dirichlet(&parameters);
                assert!((drawn.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                mean.iter_mut().zip(&drawn).for_each(|(mean, share)| *mean += share / 20_000.0);
                square += drawn[0] * drawn[0] / 20_000.0;
            }
            for (mean, wanted) in mean.iter().zip([0.5, 0.3, 0.0, 0.2]) {
                assert!((mean - wanted).abs() < 0.012, "{mean} instead of {wanted} at {strength}");
            }
            let variance = 0.25 / (strength + 1.0);
            assert!((square - mean[0] * mean[0] - variance).abs() < 0.03 * variance + 1e-3, "strength {strength}");
        }
    }

    #[test]
    fn permutations_are_fair_and_whole() {
        let mut first = [0; 4];
        for step in 0..4000 {
            let order = Draws::new(9, Purpose::Sweep, step).permutation(4);
            first[order[0]] += 1;
            let mut sorted = order;
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3]);
        }
        assert!(first.iter().all(|count| (900..1100).contains(count)), "{first:?}");
    }
}
