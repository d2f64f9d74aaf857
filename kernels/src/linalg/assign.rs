//! The best one-to-one matching of rows and columns: the linear assignment problem.
//!
//! Shortest augmenting paths over dual prices (Jonker and Volgenant, "A shortest augmenting path algorithm for dense and sparse
//! linear assignment problems", Computing 1987), in one thread and with every tie going to the lowest index, so that the answer is
//! the same everywhere. Libraries for it at hand take integers, or break ties as their hashing falls.

use super::Dense;

/// No row.
const FREE: usize = usize::MAX;

/// For each row of a square, finite matrix of profits its column, such that the sum of the profits is the largest possible.
///
/// O(n³) operations at worst; rows whose best column nobody else wants cost O(n) each.
///
/// # Panics
/// When the matrix is not square: a mistake of the caller, never of an input.
pub fn assign(profit: &Dense) -> Vec<usize> {
    assert_eq!(profit.rows(), profit.cols(), "an assignment of rows to columns");
    let n = profit.rows();
    let mut state = State { profit, price: vec![0.0; n], owner: vec![FREE; n], column: vec![FREE; n] };
    state.reduce_columns();
    let left: Vec<usize> = (0..n).filter(|&row| state.column[row] == FREE).collect();
    let mut path =
        Path { distance: vec![0.0; n], before: vec![0; n], closed: Vec::with_capacity(n), open: Vec::with_capacity(n) };
    for row in left {
        state.augment(row, &mut path);
    }
    state.column
}

/// Columns have prices; a row's column is one where cost minus price is least.
struct State<'a> {
    profit: &'a Dense,
    price: Vec<f64>,
    /// The row of each column.
    owner: Vec<usize>,
    /// The column of each row.
    column: Vec<usize>,
}

/// What the search for one row keeps; kept between searches to use its memory again.
struct Path {
    distance: Vec<f64>,
    before: Vec<usize>,
    closed: Vec<usize>,
    open: Vec<usize>,
}

impl State<'_> {
    fn cost(&self, row: usize, col: usize) -> f64 {
        -f64::from(self.profit.row(row)[col])
    }

    /// Prices each column at its cheapest row, and gives it to that row if no earlier column has it.
    fn reduce_columns(&mut self) {
        let n = self.price.len();
        let mut cheapest = vec![FREE; n];
        let mut least = vec![f64::INFINITY; n];
        for row in 0..n {
            for (col, &profit) in self.profit.row(row).iter().enumerate() {
                let cost = -f64::from(profit);
                if cost < least[col] {
                    (least[col], cheapest[col]) = (cost, row);
                }
            }
        }
        for (col, row) in cheapest.into_iter().enumerate() {
            self.price[col] = least[col];
            if row != FREE && self.column[row] == FREE {
                (self.column[row], self.owner[col]) = (col, row);
            }
        }
    }

    /// Finds the cheapest chain of exchanges that ends at a column nobody has, and carries it out.
    fn augment(&mut self, start: usize, path: &mut Path) {
        let n = self.price.len();
        path.closed.clear();
        path.open.clear();
        path.open.extend(0..n);
        for col in 0..n {
            path.distance[col] = self.cost(start, col) - self.price[col];
            path.before[col] = start;
        }
        let end = loop {
            let nearest = path
                .open
                .iter()
                .enumerate()
                .min_by(|a, b| path.distance[*a.1].total_cmp(&path.distance[*b.1]).then(a.1.cmp(b.1)));
            // there are as many columns as rows, and this row has none yet: some column is open until the loop ends
            let Some((place, &col)) = nearest else { return };
            if self.owner[col] == FREE {
                break col;
            }
            path.open.swap_remove(place);
            path.closed.push(col);
            let row = self.owner[col];
            let through = path.distance[col] - (self.cost(row, col) - self.price[col]);
            for &other in &path.open {
                let length = through + self.cost(row, other) - self.price[other];
                if length < path.distance[other] {
                    (path.distance[other], path.before[other]) = (length, row);
                }
            }
        };
        for &col in &path.closed {
            self.price[col] += path.distance[col] - path.distance[end];
        }
        let mut col = end;
        loop {
            let row = path.before[col];
            self.owner[col] = row;
            std::mem::swap(&mut self.column[row], &mut col);
            if row == start {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn total(profit: &Dense, columns: &[usize]) -> f64 {
        columns.iter().enumerate().map(|(row, &col)| f64::from(profit.row(row)[col])).sum()
    }

    /// The best sum over all orders, by trying them.
    fn best(profit: &Dense) -> f64 {
        fn go(profit: &Dense, row: usize, used: u32) -> f64 {
            if row == profit.rows() {
                return 0.0;
            }
            let free = (0..profit.cols()).filter(|col| used & (1 << col) == 0);
            free.map(|col| f64::from(profit.row(row)[col]) + go(profit, row + 1, used | 1 << col))
                .fold(f64::NEG_INFINITY, f64::max)
        }
        go(profit, 0, 0)
    }

    proptest! {
        #[test]
        fn it_is_a_permutation_and_as_good_as_the_best(n in 0usize..7, values in prop::collection::vec(-4i8..4, 36)) {
            let profit = Dense::from_fn(n, n, |row, col| f32::from(values[row * 6 + col]));
            let columns = assign(&profit);
            let mut sorted = columns.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..n).collect::<Vec<_>>());
            prop_assert_eq!(total(&profit, &columns), best(&profit));
        }
    }

    #[test]
    fn a_hidden_permutation_is_found_among_many() {
        let n = 400;
        let noise = crate::linalg::testing::noise(n, n, 6);
        let hidden = |row: usize| (row * 171 + 33) % n;
        let profit = Dense::from_fn(n, n, |row, col| noise.row(row)[col] + if col == hidden(row) { 2.0 } else { 0.0 });
        assert_eq!(assign(&profit), (0..n).map(hidden).collect::<Vec<_>>());
        assert_eq!(assign(&Dense::zeros(9, 9)), (0..9).collect::<Vec<_>>(), "ties leave rows where they are");
    }
}
