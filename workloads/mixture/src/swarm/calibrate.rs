//! Cheap predictions (of merged experts, of smaller models) brought to the scale of real runs: `real ≈ a + b · proxy`, for each metric
//! by itself. A metric whose proxy does not order the runs is named: an average over metrics can be wrong while every other metric
//! is right.

use super::Agreement;
use crate::MixtureError;
use serde::{Deserialize, Serialize};

/// Below this rank correlation a proxy cannot be trusted to order mixtures.
const TRUSTED: f64 = 0.8;

/// The map from a proxy to the real metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// `a`.
    pub offset: f64,
    /// `b`.
    pub slope: f64,
    /// Of the calibrated proxy with the real runs.
    pub agreement: Agreement,
}

impl Calibration {
    /// Least squares over pairs of runs.
    ///
    /// # Errors
    /// Fewer than two pairs, or a proxy that is the same for all.
    pub fn fit(proxy: &[f64], real: &[f64]) -> Result<Self, MixtureError> {
        let undetermined = |problem: &str| MixtureError::Undetermined { object: "calibration", problem: problem.into() };
        if proxy.len() != real.len() || proxy.len() < 2 {
            return Err(undetermined("two mixtures at least must have both a proxy and a real run"));
        }
        let count = proxy.len() as f64;
        let (mean_proxy, mean_real) = (proxy.iter().sum::<f64>() / count, real.iter().sum::<f64>() / count);
        let spread: f64 = proxy.iter().map(|value| (value - mean_proxy).powi(2)).sum();
        let both: f64 = proxy.iter().zip(real).map(|(proxy, real)| (proxy - mean_proxy) * (real - mean_real)).sum();
        if !(spread > 0.0 && both.is_finite()) {
            return Err(undetermined("the proxy is the same for all mixtures, or not a number"));
        }
        let slope = both / spread;
        let mut made = Self { offset: mean_real - slope * mean_proxy, slope, agreement: Agreement::of(&[], &[]) };
        let predicted: Vec<f64> = proxy.iter().map(|&value| made.apply(value)).collect();
        made.agreement = Agreement::of(&predicted, real);
        Ok(made)
    }

    /// The real metric that a proxy stands for.
    pub fn apply(&self, proxy: f64) -> f64 {
        self.offset + self.slope * proxy
    }

    /// Why the proxy should not be relied on, where it should not.
    pub fn warning(&self) -> Option<String> {
        let order = self.agreement.spearman.unwrap_or(0.0);
        if self.slope <= 0.0 {
            return Some(format!("the proxy falls where the real metric rises (slope {:.3})", self.slope));
        }
        (order < TRUSTED).then(|| format!("the proxy orders the real runs at a rank correlation of {order:.2}, below {TRUSTED}"))
    }
}
