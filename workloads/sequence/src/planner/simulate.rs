//! Lengths to plan for where there is no data at hand: three distributions, from a seed.
//!
//! Wikipedia: quantiles of the million lengths in FlexSP's repository (PKU-DAIR/Hetu-Galvatron, `wikipedia.txt`), log-linear
//! in length against the logarithm of the share of longer ones. GitHub and CommonCrawl: log-normal, fitted to the two
//! static bars of FlexSP's figure 4 for the 7B model. The rest of that table is then prediction.

use super::Tokens;

/// Where sequences come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dataset {
    /// Source code: the heaviest tail.
    GitHub,
    /// Web pages.
    CommonCrawl,
    /// Articles: mostly short.
    Wikipedia,
}

/// Draws lengths. The same seed gives the same lengths on every machine.
#[derive(Debug, Clone)]
pub struct Lengths {
    dataset: Dataset,
    random: fastrand::Rng,
}

/// Share of lengths at or below, and the length.
const WIKIPEDIA: [(f64, f64); 22] = [
    (0.01, 39.0),
    (0.05, 67.0),
    (0.10, 87.0),
    (0.25, 146.0),
    (0.50, 347.0),
    (0.75, 862.0),
    (0.90, 2112.0),
    (0.95, 3721.0),
    (0.97, 5391.0),
    (0.98, 7088.0),
    (0.99, 10921.0),
    (0.995, 15987.0),
    (0.998, 26515.0),
    (0.999, 37367.0),
    (0.999_5, 51517.0),
    (0.999_8, 75451.0),
    (0.999_9, 102_060.0),
    (0.999_95, 130_879.0),
    (0.999_98, 196_066.0),
    (0.999_99, 235_328.0),
    (0.999_999, 1_823_777.0),
    (1.0, 1_823_777.0),
];

impl Dataset {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::GitHub, Self::CommonCrawl, Self::Wikipedia];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GitHub => "GitHub",
            Self::CommonCrawl => "CommonCrawl",
            Self::Wikipedia => "Wikipedia",
        }
    }

    /// The length that a share `u` of all sequences, in (0, 1), does not exceed.
    #[must_use]
    fn quantile(self, u: f64, normal: f64) -> f64 {
        match self {
            Self::GitHub => (6.8 + 1.8 * normal).exp(),
            Self::CommonCrawl => (7.0 + 1.6 * normal).exp(),
            Self::Wikipedia => {
                let i = WIKIPEDIA.partition_point(|(share, _)| *share < u).clamp(1, WIKIPEDIA.len() - 2);
                let ((p0, n0), (p1, n1)) = (WIKIPEDIA[i - 1], WIKIPEDIA[i]);
                let depth = |p: f64| -(1.0 - p).ln();
                let share = ((depth(u) - depth(p0)) / (depth(p1) - depth(p0))).clamp(0.0, 1.0);
                (n0.ln() * (1.0 - share) + n1.ln() * share).exp()
            }
        }
    }
}

impl Lengths {
    /// From the beginning.
    #[must_use]
    pub fn new(dataset: Dataset, seed: u64) -> Self {
        Self { dataset, random: fastrand::Rng::with_seed(seed) }
    }

    /// The next `count` lengths that fit into `context` on `world` GPUs (see [`super::Batch::for_context`]); longer ones are
    /// skipped, as FlexSP's loader does.
    pub fn batch(&mut self, count: usize, context: Tokens, world: u32) -> Vec<Tokens> {
        let limit = context.0.saturating_sub(2 * u64::from(world)).max(1);
        let mut lengths = Vec::with_capacity(count);
        while lengths.len() < count {
            let n = self.draw();
            if n <= limit {
                lengths.push(Tokens(n));
            }
        }
        lengths
    }

    fn draw(&mut self) -> u64 {
        // in (0, 1): the logarithms below are finite
        let u = self.random.f64().clamp(1e-12, 1.0 - 1e-12);
        let v = self.random.f64();
        let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        self.dataset.quantile(u, normal).round().max(1.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(dataset: Dataset) -> Vec<u64> {
        let mut all: Vec<u64> = Lengths::new(dataset, 1).batch(40_000, Tokens(4_000_000), 1).iter().map(|t| t.0).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn quantiles_are_those_of_the_data() {
        for (dataset, median, p90) in [
            (Dataset::Wikipedia, 347.0, 2112.0),
            (Dataset::GitHub, 6.8f64.exp(), (6.8 + 1.8 * 1.2816f64).exp()),
            (Dataset::CommonCrawl, 7.0f64.exp(), (7.0 + 1.6 * 1.2816f64).exp()),
        ] {
            let all = sorted(dataset);
            let near = |at: f64, expected: f64| (all[(at * all.len() as f64) as usize] as f64 / expected - 1.0).abs();
            assert!(near(0.5, median) < 0.05 && near(0.9, p90) < 0.07, "{dataset:?}");
        }
    }

    #[test]
    fn a_seed_decides_the_lengths_and_none_exceeds_the_context() {
        let draw = |seed| Lengths::new(Dataset::GitHub, seed).batch(512, Tokens(192_000), 64);
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
        assert!(draw(3).iter().all(|t| t.0 <= 192_000 - 128));
    }
}
