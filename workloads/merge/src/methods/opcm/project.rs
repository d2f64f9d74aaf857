//! The state of one matrix, and how it takes in the next expert's change. Pure.

use braid_kernels::{
    KernelError,
    linalg::{Dense, Svd, multiply, svd},
};

/// What has been merged so far.
#[derive(Debug)]
pub(super) struct State {
    alpha: f64,
    matrix: Option<Dense>,
}

impl State {
    /// Nothing yet.
    pub(super) fn new(alpha: f64) -> Self {
        Self { alpha, matrix: None }
    }

    /// The sum of what has been taken in.
    pub(super) fn matrix(&self) -> Option<&Dense> {
        self.matrix.as_ref()
    }

    /// Takes in a change: of the first all, of the others what the state leaves free.
    ///
    /// # Errors
    /// [`KernelError::NoConvergence`].
    pub(super) fn take(&mut self, change: Dense) -> Result<(), KernelError> {
        let Some(matrix) = &mut self.matrix else {
            self.matrix = Some(change);
            return Ok(());
        };
        let Svd { left, values, right } = svd(matrix)?;
        let split = split(&values, self.alpha);
        // of Uᵀ δ V the part that is taken away: the first rows and columns together, and the diagonal
        let mut taken = multiply(multiply(left.t(), change.view()).view(), right.t());
        let nothing = values.iter().all(|value| *value == 0.0);
        for row in 0..taken.rows() {
            for (col, value) in taken.row_mut(row).iter_mut().enumerate() {
                let occupied = row == col || (row < split && col < split);
                *value = if occupied && !nothing { *value } else { 0.0 };
            }
        }
        let taken = multiply(multiply(left.view(), taken.view()).view(), right.view());
        let parts = matrix.data_mut().iter_mut().zip(change.data()).zip(taken.data());
        parts.for_each(|((sum, change), taken)| *sum += change - taken);
        Ok(())
    }
}

/// The first place where the values up to it are more than `alpha` of their sum; 0 where there is none.
fn split(values: &[f32], alpha: f64) -> usize {
    let total: f64 = values.iter().map(|value| f64::from(*value)).sum();
    let mut sum = 0.0;
    let more = |value: &f32| {
        sum += f64::from(*value);
        sum > alpha * total
    };
    values.iter().position(more).unwrap_or(0)
}

/// Σ x², in order.
pub(super) fn squares(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_is_where_the_values_pass_their_share() {
        for (values, alpha, expected) in [
            (&[4.0, 3.0, 2.0, 1.0][..], 0.5, 1),
            (&[4.0, 3.0, 2.0, 1.0], 0.0, 0),
            (&[4.0, 3.0, 2.0, 1.0], 0.95, 3),
            (&[4.0, 3.0, 2.0, 1.0], 1.0, 0),
            (&[5.0], 0.5, 0),
            (&[0.0, 0.0], 0.5, 0),
            (&[], 0.5, 0),
        ] {
            assert_eq!(split(values, alpha), expected, "{values:?} {alpha}");
        }
    }

    #[test]
    fn a_change_along_the_state_is_taken_away_and_one_across_it_stays() {
        let state = Dense::new(3, 2, vec![2.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        // along the diagonal of the state; between its two directions; out of its columns
        let change = Dense::new(3, 2, vec![5.0, 0.5, 0.25, 7.0, 0.0, 3.0]);
        let mut merged = State::new(0.5);
        merged.take(state.clone()).unwrap();
        merged.take(change).unwrap();
        let expected = [2.0, 0.5, 0.25, 1.0, 0.0, 3.0];
        for (found, expected) in merged.matrix().unwrap().data().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{merged:?}");
        }
        let mut nothing = State::new(0.5);
        nothing.take(Dense::zeros(3, 2)).unwrap();
        nothing.take(state.clone()).unwrap();
        assert_eq!(nothing.matrix().unwrap().data(), state.data());
    }
}
