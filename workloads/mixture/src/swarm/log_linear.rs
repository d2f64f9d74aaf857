//! The mixing law `e^c + e^{t·p}` (data mixing laws, arXiv 2403.16952; in this form Olmix, arXiv 2602.12237): a floor, and a part that
//! each domain's share changes by a factor. One number a domain, and one.
//!
//! Fitted by Huber's loss from many starts, with `δ = 0.02` as Olmix. What differs: Levenberg and Marquardt instead of L-BFGS, which
//! needs a few dozen steps instead of thousands, so that 30 starts do instead of 300.

use crate::{
    MixtureError, Proportions,
    draw::{Draws, Purpose},
    numerics::minimize_from,
};
use serde::{Deserialize, Serialize};

/// Where Huber's loss turns linear.
const DELTA: f64 = 0.02;
/// Floors to start from, as parts of the least value, and exponents to each.
const FLOORS: u32 = 10;
const EXPONENTS: u64 = 3;
/// Starts that are followed, and for how many steps.
const FOLLOWED: (usize, usize) = (4, 100);

/// A law of one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLinear {
    /// `c`.
    pub floor: f64,
    /// `t`, one a domain.
    pub exponents: Vec<f64>,
}

impl LogLinear {
    /// Fits values, all positive.
    pub(super) fn fit(mixtures: &[Proportions], values: &[f64]) -> Result<Self, MixtureError> {
        let undetermined = |problem: String| MixtureError::Undetermined { object: "log-linear law", problem };
        if let Some((run, value)) = values.iter().enumerate().find(|(_, value)| **value <= 0.0) {
            return Err(undetermined(format!(
                "run {run} (counted from 0) has the value {value}, and only positive ones can be fitted"
            )));
        }
        let domains = mixtures.first().map_or(0, Proportions::len);
        let row = |parameters: &[f64], index: usize, gradient: &mut [f64]| {
            let (Some((floor, exponents)), Some((to_floor, to_exponents))) =
                (parameters.split_first(), gradient.split_first_mut())
            else {
                return 0.0;
            };
            let mixture = &mixtures[index];
            let lowest = libm::exp(*floor);
            let rest = libm::exp(dot(exponents, mixture));
            *to_floor = lowest;
            to_exponents.iter_mut().zip(mixture.iter()).for_each(|(entry, share)| *entry = rest * share);
            lowest + rest - values[index]
        };
        let found = minimize_from(values.len(), &row, starts(values, domains), DELTA, FOLLOWED)
            .ok_or_else(|| undetermined("no start gives a number".into()))?;
        let (floor, exponents) = found.parameters.split_first().ok_or_else(|| undetermined("there is no domain".into()))?;
        Ok(Self { floor: *floor, exponents: exponents.to_vec() })
    }

    /// The metric that a mixture would have.
    pub fn predict(&self, mixture: &Proportions) -> f64 {
        libm::exp(self.floor) + self.reducible(mixture)
    }

    /// The part above the floor.
    pub fn reducible(&self, mixture: &Proportions) -> f64 {
        libm::exp(dot(&self.exponents, mixture))
    }

    /// The slope in each proportion.
    pub fn gradient(&self, mixture: &Proportions) -> Vec<f64> {
        let reducible = self.reducible(mixture);
        self.exponents.iter().map(|exponent| exponent * reducible).collect()
    }
}

fn dot(exponents: &[f64], mixture: &Proportions) -> f64 {
    exponents.iter().zip(mixture.iter()).map(|(exponent, share)| exponent * share).sum()
}

/// Floors from a twentieth of the least value up to nearly all of it; exponents such that the mean is met, then disturbed.
fn starts(values: &[f64], domains: usize) -> impl Iterator<Item = Vec<f64>> {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (0..FLOORS).flat_map(move |level| {
        let floor = least * (0.05 + 0.93 * f64::from(level) / f64::from(FLOORS - 1));
        (0..EXPONENTS).map(move |number| {
            let mut draws = Draws::new(number, Purpose::Starts, u64::from(level));
            let spread = 0.3 * number as f64;
            let center = libm::log(mean - floor);
            std::iter::once(libm::log(floor)).chain((0..domains).map(|_| center + spread * draws.normal())).collect()
        })
    })
}
