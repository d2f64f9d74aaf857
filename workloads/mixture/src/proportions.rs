//! A point of the simplex: what share of the tokens each domain gets. Not the counts of a batch, which [`compose`](crate::compose)
//! makes of it.

use serde::{Deserialize, Serialize};
use std::ops::Index;

/// How far from one a sum may be that a person wrote down with few digits.
const TOLERANCE: f64 = 1e-6;

/// Shares by domain, none negative, in sum one up to the last bits.
///
/// Its JSON is the list of shares; what is written and read again is the same to the last bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Proportions(Vec<f64>);

/// Why numbers are no proportions.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProportionsProblem {
    /// There is none.
    #[error("there are no proportions")]
    Empty,
    /// One is negative, infinite or not a number.
    #[error("entry {index} (counted from 0) is {value}; each must be a number and none negative")]
    Entry {
        /// Its place.
        index: usize,
        /// Its value.
        value: f64,
    },
    /// They do not sum to one.
    #[error("they sum to {sum}, not to 1")]
    Sum {
        /// To what they sum.
        sum: f64,
    },
}

impl Proportions {
    /// Takes shares that sum to one within 1e-6, and removes that last difference.
    ///
    /// # Errors
    /// What [`ProportionsProblem`] lists.
    pub fn new(shares: Vec<f64>) -> Result<Self, ProportionsProblem> {
        let sum = checked_sum(&shares)?;
        if (sum - 1.0).abs() > TOLERANCE {
            return Err(ProportionsProblem::Sum { sum });
        }
        Ok(Self::divided(shares, sum))
    }

    /// Divides weights of any positive sum by it.
    ///
    /// # Errors
    /// No weight, one that is negative or no number, or a sum that is zero or too large.
    pub fn normalize(weights: Vec<f64>) -> Result<Self, ProportionsProblem> {
        let sum = checked_sum(&weights)?;
        if sum < f64::MIN_POSITIVE || !sum.is_finite() {
            return Err(ProportionsProblem::Sum { sum });
        }
        Ok(Self::divided(weights, sum))
    }

    /// The same share for each of `domains` (one at least).
    pub fn uniform(domains: usize) -> Self {
        let domains = domains.max(1);
        Self(vec![1.0 / domains as f64; domains])
    }

    /// Shares proportional to `sizes^exponent`: 1 is proportional to the data, 0 uniform over the domains that have data, 0.5 the
    /// prior of RegMix (arXiv 2407.01492).
    ///
    /// # Errors
    /// No size, or none above zero.
    pub fn tempered(sizes: &[u64], exponent: f64) -> Result<Self, ProportionsProblem> {
        // Relative to the largest, so that no power overflows.
        let largest = sizes.iter().copied().max().unwrap_or(0).max(1) as f64;
        let weight = |&size: &u64| if size == 0 { 0.0 } else { libm::pow(size as f64 / largest, exponent) };
        Self::normalize(sizes.iter().map(weight).collect())
    }

    /// These, raised to a power and normalized: 0.5 flattens them, 0 makes those above zero alike.
    ///
    /// # Errors
    /// A power that leaves nothing.
    pub fn sharpened(&self, exponent: f64) -> Result<Self, ProportionsProblem> {
        Self::normalize(self.0.iter().map(|&share| if share > 0.0 { libm::pow(share, exponent) } else { 0.0 }).collect())
    }

    /// `(1 - smoothing) e_hot + smoothing / m` (Aioli, Algorithm 2): nearly all on one domain.
    pub fn one_hot(domains: usize, hot: usize, smoothing: f64) -> Self {
        let spread = smoothing / domains.max(1) as f64;
        Self((0..domains.max(1)).map(|domain| if domain == hot { 1.0 - smoothing + spread } else { spread }).collect())
    }

    /// Shares proportional to `p_j exp(gain_j)`: one step of exponentiated gradient. Missing gains count as zero.
    pub fn exponentiated(&self, gains: &[f64]) -> Self {
        // Subtracting the largest changes no ratio, and keeps the exponentials finite.
        let largest = gains.iter().copied().filter(|gain| gain.is_finite()).fold(f64::NEG_INFINITY, f64::max);
        let raised = |(index, &share): (usize, &f64)| match gains.get(index) {
            Some(gain) if largest.is_finite() => share * libm::exp(gain - largest),
            _ => share,
        };
        // All can underflow only where no share of the best domain was left; then nothing moves.
        Self::normalize(self.0.iter().enumerate().map(raised).collect()).unwrap_or_else(|_| self.clone())
    }

    /// `(1 - part) self + part · other`, entry by entry. Both must have as many entries.
    pub fn mixed_with(&self, other: &Self, part: f64) -> Self {
        let part = part.clamp(0.0, 1.0);
        let sum = self.0.iter().zip(&other.0).map(|(own, theirs)| (1.0 - part) * own + part * theirs).collect();
        Self::normalize(sum).unwrap_or_else(|_| self.clone())
    }

    /// How many domains.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The shares in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = f64> + '_ {
        self.0.iter().copied()
    }

    /// The shares as a slice.
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// A sum that is one but for rounding is left alone, so that reading what was written changes nothing.
    fn divided(mut shares: Vec<f64>, sum: f64) -> Self {
        if (sum - 1.0).abs() > shares.len() as f64 * f64::EPSILON {
            shares.iter_mut().for_each(|share| *share /= sum);
        }
        Self(shares)
    }
}

fn checked_sum(shares: &[f64]) -> Result<f64, ProportionsProblem> {
    if shares.is_empty() {
        return Err(ProportionsProblem::Empty);
    }
    for (index, &value) in shares.iter().enumerate() {
        if !value.is_finite() || value < 0.0 {
            return Err(ProportionsProblem::Entry { index, value });
        }
    }
    Ok(shares.iter().sum())
}

impl Index<usize> for Proportions {
    type Output = f64;

    fn index(&self, domain: usize) -> &f64 {
        &self.0[domain]
    }
}

impl TryFrom<Vec<f64>> for Proportions {
    type Error = ProportionsProblem;

    fn try_from(shares: Vec<f64>) -> Result<Self, ProportionsProblem> {
        Self::new(shares)
    }
}

impl From<Proportions> for Vec<f64> {
    fn from(proportions: Proportions) -> Self {
        proportions.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_point_of_the_simplex() {
        let text = |shares: &[f64]| Proportions::new(shares.to_vec()).unwrap_err().to_string();
        assert_eq!(text(&[]), "there are no proportions");
        assert_eq!(text(&[0.5, 0.6]), "they sum to 1.1, not to 1");
        assert_eq!(text(&[1.5, -0.5]), "entry 1 (counted from 0) is -0.5; each must be a number and none negative");
        assert!(text(&[f64::NAN, 1.0]).starts_with("entry 0 (counted from 0) is NaN"));
        assert!(Proportions::normalize(vec![0.0, 0.0]).is_err());
        assert!(Proportions::normalize(vec![f64::MAX, f64::MAX]).is_err());
        assert!(Proportions::tempered(&[0, 0], 0.5).is_err());
    }

    #[test]
    fn by_hand() {
        assert_eq!(Proportions::tempered(&[1, 4, 0], 0.5).unwrap().as_slice(), [1.0 / 3.0, 2.0 / 3.0, 0.0]);
        assert_eq!(Proportions::one_hot(4, 2, 0.4).as_slice(), [0.1, 0.1, 0.7, 0.1]);
        let moved = Proportions::uniform(2).exponentiated(&[3f64.ln(), 0.0]);
        assert!((moved[0] - 0.75).abs() < 1e-15, "{moved:?}");
        // A gain that no exponential holds.
        assert_eq!(Proportions::uniform(2).exponentiated(&[1e6, 0.0]).as_slice(), [1.0, 0.0]);
        assert_eq!(Proportions::uniform(2).mixed_with(&Proportions::one_hot(2, 0, 0.0), 0.5).as_slice(), [0.75, 0.25]);
    }

    proptest! {
        #[test]
        fn json_changes_no_bit(weights in prop::collection::vec(0.0f64..1e9, 1..20)) {
            if let Ok(made) = Proportions::normalize(weights) {
                let text = serde_json::to_string(&made).unwrap();
                prop_assert_eq!(serde_json::from_str::<Proportions>(&text).unwrap(), made);
            }
        }

        #[test]
        fn a_step_stays_on_the_simplex(
            weights in prop::collection::vec(1e-3f64..1.0, 2..9),
            gains in prop::collection::vec(-800.0f64..800.0, 9),
        ) {
            let moved = Proportions::normalize(weights).unwrap().exponentiated(&gains);
            prop_assert!((moved.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            prop_assert!(moved.iter().all(|share| (0.0..=1.0).contains(&share)));
        }
    }
}
