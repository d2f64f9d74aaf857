//! What inference says: shares of bytes, and how far to trust them.

use super::{
    InferError,
    counts::History,
    solve::{Solved, Timeline, solve},
    spec::InferSpec,
    tokenizer::Merge,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Parts of all pairs that are solved alone. Each has a sixteenth of all comparisons.
const PARTS: u64 = 4;

/// The proportions that the order of merges speaks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The share of each category in the bytes of the training text. They sum to one.
    pub proportions: Map<String, Value>,
    /// The standard error of each share, from the spread of what some parts of all pairs say, each without the others. It does
    /// not tell of text that is no fair sample of its category. Empty where a part says nothing.
    pub uncertainty: Map<String, Value>,
    /// Merges looked at that occur in some category.
    pub merges: usize,
    /// Of these, merges of the pair that is the most frequent under the proportions.
    pub explained: usize,
    /// Rows of the last linear program.
    pub rows: usize,
    /// Linear programs solved for the proportions.
    pub programs: usize,
    /// What the proportions leave unexplained: the sum of slacks, as a part of all pairs.
    pub slack: f64,
    /// No proportions leave less than this.
    pub bound: f64,
}

/// Infers proportions from the counts of all categories under the first merges of a tokenizer.
///
/// # Errors
/// Those of [`solve`].
pub fn answer(
    spec: &InferSpec,
    histories: &[History],
    merges: &[Merge],
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Answer, InferError> {
    let merges = merges.get(..spec.limit(merges.len())).unwrap_or(merges);
    let timeline = Timeline::new(histories, merges).ok_or_else(|| InferError::Task("there are too many pairs".into()))?;
    let part = |part| Ok(bytes(&solve(&timeline.part(part, PARTS), stop)?.proportions, histories));
    let (solved, parts) =
        rayon::join(|| solve(&timeline, stop), || (0..PARTS).into_par_iter().map(part).collect::<Result<Vec<_>, InferError>>());
    let Solved { proportions, slack, bound, merges, explained, rows, programs } = solved?;
    let shares = bytes(&proportions, histories);
    // A part may have too little to say anything; then nothing is known of how certain the whole is.
    let uncertainty = match parts {
        Err(InferError::Cancelled) => return Err(InferError::Cancelled),
        Err(_) => Vec::new(),
        Ok(parts) => standard_errors(&parts),
    };
    let named =
        |values: &[f64]| spec.data.iter().zip(values).map(|(category, value)| (category.name.clone(), json!(value))).collect();
    let (proportions, uncertainty) = (named(&shares), named(&uncertainty));
    Ok(Answer { proportions, uncertainty, merges, explained, rows, programs, slack, bound })
}

/// By category, of the mean of independent estimates.
fn standard_errors(estimates: &[Vec<f64>]) -> Vec<f64> {
    let count = estimates.len() as f64;
    let error = |category: usize| {
        let values = || estimates.iter().filter_map(|estimate| estimate.get(category));
        let mean = values().sum::<f64>() / count;
        let squares: f64 = values().map(|value| (value - mean).powi(2)).sum();
        (squares / (count - 1.0).max(1.0) / count).sqrt()
    };
    (0..estimates.first().map_or(0, Vec::len)).map(error).collect()
}

/// Shares of bytes, of shares of pairs: a pair of one category may take more bytes than one of another.
fn bytes(proportions: &[f64], histories: &[History]) -> Vec<f64> {
    let bytes = |(share, history): (&f64, &History)| share * history.bytes as f64 / history.total.max(1) as f64;
    let shares: Vec<f64> = proportions.iter().zip(histories).map(bytes).collect();
    let sum: f64 = shares.iter().sum();
    shares.iter().map(|share| if sum > 0.0 { share / sum } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standard_error_is_that_of_the_mean() {
        let errors = standard_errors(&[vec![0.1, 0.5], vec![0.3, 0.5], vec![0.2, 0.5], vec![0.2, 0.5]]);
        // Squares sum to 0.02: a variance of 0.02 / 3, divided by 4.
        assert!((errors[0] - (0.02f64 / 12.0).sqrt()).abs() < 1e-12 && errors[1] == 0.0, "{errors:?}");
        assert!(standard_errors(&[]).is_empty());
    }
}
