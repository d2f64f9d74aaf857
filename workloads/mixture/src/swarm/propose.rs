//! The best mixture by fitted laws: minimize `Σ_i w_i f_i(p) + λ KL(p ‖ prior)` over the simplex with caps (Olmix, arXiv 2602.12237), by
//! mirror descent; or, for laws without a slope too, the mean of the best of many simulated mixtures (RegMix, arXiv 2407.01492).
//!
//! A cap says how much of a domain there is: `p_j ≤ tokens_j · repetitions / target`. Domains that the prior gives nothing get
//! nothing.

use super::Law;
use crate::{
    Domains, MixtureError, Proportions,
    draw::{Draws, Purpose},
};

/// The largest share of each domain.
#[derive(Debug, Clone, PartialEq)]
pub struct Caps(Vec<f64>);

/// What is to be small.
#[derive(Debug, Clone)]
pub struct Objective<'a> {
    /// Laws of metrics, each with its weight.
    pub laws: Vec<(f64, &'a Law)>,
    /// `λ` (0.05 in Olmix).
    pub closeness: f64,
    /// What the mixture is kept close to.
    pub prior: &'a Proportions,
    /// What it must stay below.
    pub caps: &'a Caps,
}

/// How mixtures are simulated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Simulation {
    /// How many (100 000 in RegMix).
    pub draws: u64,
    /// Of how many of the best the mean is taken (128).
    pub best: usize,
    /// The sum of the Dirichlet's parameters (1).
    pub strength: f64,
    /// Keys the chance.
    pub seed: u64,
}

impl Default for Simulation {
    fn default() -> Self {
        Self { draws: 100_000, best: 128, strength: 1.0, seed: 0 }
    }
}

impl Caps {
    /// None.
    pub fn none(domains: usize) -> Self {
        Self(vec![1.0; domains])
    }

    /// For a run of `target` tokens over data of which each token may be seen `repetitions` times.
    ///
    /// # Errors
    /// [`MixtureError::Data`] when all the data, so often repeated, is less than the target, naming the smallest domain;
    /// [`MixtureError::Entries`] when sizes are not one a domain.
    pub fn of_data(domains: &Domains, sizes: &[u64], repetitions: f64, target: u64) -> Result<Self, MixtureError> {
        domains.check_len("sizes", sizes.len())?;
        let repetitions = if repetitions.is_finite() { repetitions.max(0.0) } else { 0.0 };
        let caps: Vec<f64> = sizes.iter().map(|&size| (size as f64 * repetitions / target.max(1) as f64).min(1.0)).collect();
        if caps.iter().sum::<f64>() < 1.0 {
            let smallest = sizes.iter().enumerate().min_by_key(|(_, size)| **size).map_or(0, |(index, _)| index);
            let all: u128 = sizes.iter().map(|&size| u128::from(size)).sum();
            let problem = format!(
                "it has {} tokens; with all domains there are {all}, and seen {repetitions} times they do not fill a run of {target}",
                sizes.get(smallest).copied().unwrap_or(0)
            );
            return Err(MixtureError::Data { domain: domains.name(smallest), problem });
        }
        Ok(Self(caps))
    }

    /// The caps by domain.
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// The point of the capped simplex that is nearest in Kullback and Leibler's sense: every share times one factor, but none above
    /// its cap. None where what has weight is capped below one in sum.
    fn project(&self, weights: &[f64]) -> Option<Vec<f64>> {
        let mut capped = vec![false; weights.len()];
        loop {
            let taken: f64 = self.0.iter().zip(&capped).filter(|(_, capped)| **capped).map(|(cap, _)| cap).sum();
            let free: f64 = weights.iter().zip(&capped).filter(|(_, capped)| !**capped).map(|(weight, _)| weight).sum();
            let factor = if free > 0.0 { (1.0 - taken).max(0.0) / free } else { 0.0 };
            let over = |index: usize| !capped[index] && weights[index] * factor > self.0[index];
            let more: Vec<usize> = (0..weights.len()).filter(|&index| over(index)).collect();
            if more.is_empty() {
                let shares = weights.iter().zip(&self.0).zip(&capped);
                let shares: Vec<f64> =
                    shares.map(|((weight, cap), capped)| if *capped { *cap } else { weight * factor }).collect();
                return ((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9).then_some(shares);
            }
            more.into_iter().for_each(|index| capped[index] = true);
        }
    }
}

impl Objective<'_> {
    /// Its value at a mixture.
    pub fn value(&self, mixture: &Proportions) -> f64 {
        let laws: f64 = self.laws.iter().map(|(weight, law)| weight * law.predict(mixture)).sum();
        let pairs = mixture.iter().zip(self.prior.iter()).filter(|(share, prior)| *share > 0.0 && *prior > 0.0);
        laws + self.closeness * pairs.map(|(share, prior)| share * libm::log(share / prior)).sum::<f64>()
    }

    /// Its slope, as far as directions within the simplex see it; none where a law has none.
    fn gradient(&self, mixture: &Proportions) -> Option<Vec<f64>> {
        let log = |(share, prior): (f64, f64)| if share > 0.0 && prior > 0.0 { libm::log(share / prior) } else { 0.0 };
        let mut sum: Vec<f64> = mixture.iter().zip(self.prior.iter()).map(|pair| self.closeness * log(pair)).collect();
        for (weight, law) in &self.laws {
            sum.iter_mut().zip(law.gradient(mixture)?).for_each(|(sum, slope)| *sum += weight * slope);
        }
        Some(sum)
    }

    fn check(&self) -> Result<(), MixtureError> {
        let (expected, found) = (self.prior.len(), self.caps.0.len());
        if expected != found {
            return Err(MixtureError::Entries { what: "caps".into(), expected, found });
        }
        if !(self.closeness >= 0.0 && self.closeness.is_finite()) {
            let (value, wanted) = (self.closeness.to_string(), "a number of 0 or more".into());
            return Err(MixtureError::Setting { object: "propose", name: "closeness", value, wanted });
        }
        Ok(())
    }
}

/// Minimizes by mirror descent from the prior: `p ∝ p e^{-s ∇}`, projected below the caps, with a step `s` that grows while the
/// objective falls and shrinks when it would not.
///
/// # Errors
/// A law without a slope, caps of another number of domains, or caps that leave less than one to the domains of the prior.
pub fn mirror_descent(objective: &Objective<'_>) -> Result<Proportions, MixtureError> {
    objective.check()?;
    let undetermined = |problem: &str| MixtureError::Undetermined { object: "propose", problem: problem.into() };
    let land = |weights: &[f64]| objective.caps.project(weights).and_then(|shares| Proportions::normalize(shares).ok());
    let mut here = land(objective.prior.as_slice())
        .ok_or_else(|| undetermined("the caps leave less than the whole to the domains of the prior"))?;
    let (mut value, mut step) = (objective.value(&here), 1.0f64);
    for _ in 0..5000 {
        let slope =
            objective.gradient(&here).ok_or_else(|| undetermined("trees have no slope; take the mean of simulated mixtures"))?;
        let before = value;
        while step > 1e-12 {
            let gains: Vec<f64> = slope.iter().map(|slope| -step * slope).collect();
            let Some(moved) = land(here.exponentiated(&gains).as_slice()) else { break };
            let reached = objective.value(&moved);
            if reached < value {
                (here, value) = (moved, reached);
                step *= 2.0;
                break;
            }
            step *= 0.5;
        }
        if before - value <= 1e-14 * before.abs() {
            break;
        }
    }
    Ok(here)
}

/// The mean of the best of many Dirichlet variates about the prior that stay below the caps.
///
/// # Errors
/// Fewer mixtures within the caps than the mean is to be of.
pub fn simulate(objective: &Objective<'_>, simulation: Simulation) -> Result<Proportions, MixtureError> {
    objective.check()?;
    let parameters: Vec<f64> = objective.prior.iter().map(|share| share * simulation.strength).collect();
    let mut rated: Vec<(f64, u64, Proportions)> = vec![];
    for number in 0..simulation.draws {
        let drawn = Draws::new(simulation.seed, Purpose::Simulation, number).dirichlet(&parameters);
        let within = drawn.iter().zip(&objective.caps.0).all(|(share, cap)| share <= cap);
        if let (true, Ok(mixture)) = (within, Proportions::normalize(drawn)) {
            rated.push((objective.value(&mixture), number, mixture));
        }
        // Only the best are kept, now and then, so that memory does not grow with the draws.
        if rated.len() >= 16 * simulation.best.max(64) {
            keep_best(&mut rated, simulation.best);
        }
    }
    keep_best(&mut rated, simulation.best);
    if rated.len() < simulation.best.max(1) {
        let problem = format!("only {} of {} simulated mixtures stay below the caps", rated.len(), simulation.draws);
        return Err(MixtureError::Undetermined { object: "propose", problem });
    }
    let mut sum = vec![0.0; objective.prior.len()];
    for (_, _, mixture) in &rated {
        sum.iter_mut().zip(mixture.iter()).for_each(|(sum, share)| *sum += share);
    }
    Proportions::normalize(sum).map_err(|problem| MixtureError::Proportions { what: "the simulated mean".into(), problem })
}

fn keep_best(rated: &mut Vec<(f64, u64, Proportions)>, best: usize) {
    rated.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    rated.truncate(best);
}
