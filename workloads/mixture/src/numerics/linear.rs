//! Systems of linear equations, dense and small.

use super::Matrix;

/// Below this part of the largest entry a pivot is taken for zero.
const SINGULAR: f64 = 1e-12;

/// Solves `matrix · x = right` for each column of `right` (given as its rows) by elimination with row pivots.
///
/// Gives the rows of `x`; none where the matrix is singular or not square, or something is no number.
pub(crate) fn solve(mut matrix: Matrix, mut right: Matrix) -> Option<Matrix> {
    let size = matrix.len();
    if matrix.iter().any(|row| row.len() != size) || right.len() != size {
        return None;
    }
    let largest = matrix.iter().flatten().fold(0.0f64, |largest, value| largest.max(value.abs()));
    for column in 0..size {
        let pivot = (column..size).max_by(|&a, &b| matrix[a][column].abs().total_cmp(&matrix[b][column].abs()))?;
        let value = matrix[pivot][column];
        if !value.is_finite() || value.abs() <= SINGULAR * largest {
            return None;
        }
        matrix.swap(column, pivot);
        right.swap(column, pivot);
        let (head, tail) = matrix.split_at_mut(column + 1);
        let (right_head, right_tail) = right.split_at_mut(column + 1);
        for (row, right_row) in tail.iter_mut().zip(right_tail) {
            let factor = row[column] / value;
            row.iter_mut().zip(&head[column]).for_each(|(entry, above)| *entry -= factor * above);
            right_row.iter_mut().zip(&right_head[column]).for_each(|(entry, above)| *entry -= factor * above);
        }
    }
    for column in (0..size).rev() {
        let (above, below) = right.split_at_mut(column);
        let solved = below.first_mut()?;
        solved.iter_mut().for_each(|entry| *entry /= matrix[column][column]);
        for (row, coefficients) in above.iter_mut().zip(&matrix) {
            row.iter_mut().zip(solved.iter()).for_each(|(entry, solved)| *entry -= coefficients[column] * solved);
        }
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // The first pivot is zero: rows must be swapped.
        let matrix = vec![vec![0.0, 2.0], vec![1.0, 1.0]];
        assert_eq!(solve(matrix, vec![vec![4.0], vec![5.0]]).unwrap(), [[3.0], [2.0]]);
    }

    #[test]
    fn what_has_no_solution() {
        assert_eq!(solve(vec![vec![1.0, 2.0], vec![2.0, 4.0]], vec![vec![1.0], vec![2.0]]), None);
        assert_eq!(solve(vec![vec![1.0, f64::NAN], vec![2.0, f64::NAN]], vec![vec![1.0], vec![2.0]]), None);
        assert_eq!(solve(vec![vec![1.0]], vec![]), None);
    }
}
