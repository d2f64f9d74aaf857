//! Laws of a metric in the proportions, and how well they hold.

use super::{LogLinear, Trees};
use crate::{
    MixtureError, Proportions,
    numerics::{explained, solve, spearman},
};
use serde::{Deserialize, Serialize};

/// Which law to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LawKind {
    /// [`LogLinear`]: right from few runs on, and across sizes of models.
    LogLinear,
    /// Least squares.
    Linear,
    /// [`Trees`]: with hundreds of runs, at the size that they were run at.
    Trees,
}

/// A fitted law of one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Law {
    /// `e^c + e^{t·p}`.
    LogLinear(LogLinear),
    /// `t·p`; a constant is in it, as proportions sum to one.
    Linear {
        /// One a domain.
        slopes: Vec<f64>,
    },
    /// A sum of regression trees.
    Trees(Trees),
}

/// How predictions agree with what was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Spearman's rank correlation; none where one side has no order.
    pub spearman: Option<f64>,
    /// R²; none where nothing varies.
    pub explained: Option<f64>,
    /// The mean absolute error.
    pub error: f64,
}

/// Fits a law to the values of runs.
///
/// # Errors
/// Fewer than two runs, values that are no numbers, mixtures of different lengths; for the log-linear law values that are not
/// positive.
pub fn fit(kind: LawKind, mixtures: &[Proportions], values: &[f64]) -> Result<Law, MixtureError> {
    const OBJECT: &str = "fit";
    let undetermined = |problem: String| MixtureError::Undetermined { object: OBJECT, problem };
    if mixtures.len() != values.len() || values.len() < 2 {
        return Err(undetermined(format!(
            "{} mixtures and {} values, but two runs at least must have both",
            mixtures.len(),
            values.len()
        )));
    }
    if let Some((run, value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        return Err(undetermined(format!("run {run} (counted from 0) has the value {value}")));
    }
    let domains = mixtures.first().map_or(0, Proportions::len);
    if mixtures.iter().any(|mixture| mixture.len() != domains) {
        return Err(undetermined("mixtures are of different numbers of domains".into()));
    }
    match kind {
        LawKind::LogLinear => LogLinear::fit(mixtures, values).map(Law::LogLinear),
        LawKind::Linear => linear(mixtures, values, domains)
            .map(|slopes| Law::Linear { slopes })
            .ok_or_else(|| undetermined("least squares have no solution".into())),
        LawKind::Trees => Ok(Law::Trees(Trees::fit(mixtures, values))),
    }
}

/// Least squares, with as much ridge as rounding needs: domains that no run trains on get a slope of zero.
fn linear(mixtures: &[Proportions], values: &[f64], domains: usize) -> Option<Vec<f64>> {
    let mut normal = vec![vec![0.0; domains]; domains];
    let mut right = vec![vec![0.0]; domains];
    for (mixture, value) in mixtures.iter().zip(values) {
        for (i, share) in mixture.iter().enumerate() {
            right[i][0] += share * value;
            normal[i].iter_mut().zip(mixture.iter()).for_each(|(entry, other)| *entry += share * other);
        }
    }
    for (i, row) in normal.iter_mut().enumerate() {
        row[i] += 1e-9;
    }
    Some(solve(normal, right)?.into_iter().flatten().collect())
}

impl Law {
    /// The metric that a mixture would have.
    pub fn predict(&self, mixture: &Proportions) -> f64 {
        match self {
            Self::LogLinear(law) => law.predict(mixture),
            Self::Linear { slopes } => slopes.iter().zip(mixture.iter()).map(|(slope, share)| slope * share).sum(),
            Self::Trees(trees) => trees.predict(mixture),
        }
    }

    /// Its slope in each proportion at a mixture; none for trees, which have none.
    pub fn gradient(&self, mixture: &Proportions) -> Option<Vec<f64>> {
        match self {
            Self::LogLinear(law) => Some(law.gradient(mixture)),
            Self::Linear { slopes } => Some(slopes.clone()),
            Self::Trees(_) => None,
        }
    }

    /// How its predictions agree with values, of these runs or of others.
    pub fn agreement(&self, mixtures: &[Proportions], values: &[f64]) -> Agreement {
        let predicted: Vec<f64> = mixtures.iter().map(|mixture| self.predict(mixture)).collect();
        Agreement::of(&predicted, values)
    }
}

impl Agreement {
    /// Between predictions and values in the same order.
    pub fn of(predicted: &[f64], values: &[f64]) -> Self {
        let error = predicted.iter().zip(values).map(|(found, wanted)| (found - wanted).abs()).sum::<f64>();
        Self {
            spearman: spearman(predicted, values),
            explained: explained(predicted, values),
            error: error / values.len().max(1) as f64,
        }
    }
}
