//! Hidden units as rows: taking them out of a tensor, comparing them, and putting them back in another order. Pure.

use braid_kernels::linalg::{Dense, assign};

/// The units of a tensor, each as a row of all its weights; `axis` is the one that they are on.
pub(super) fn units(tensor: &Dense, axis: usize, count: usize) -> Dense {
    let rows = if axis == 0 { tensor.clone() } else { tensor.transposed() };
    let width = rows.data().len() / count;
    Dense::new(count, width, rows.into_data())
}

/// The tensor whose unit `i` is unit `order[i]` of this one.
pub(super) fn reorder(tensor: &Dense, axis: usize, order: &[usize]) -> Dense {
    let (rows, cols) = (tensor.rows(), tensor.cols());
    let length = if axis == 0 { rows } else { cols } / order.len();
    let from = |place: usize| order[place / length] * length + place % length;
    match axis {
        0 => Dense::new(rows, cols, (0..rows).flat_map(|row| tensor.row(from(row)).iter().copied()).collect()),
        _ => Dense::from_fn(rows, cols, |row, col| tensor.row(row)[from(col)]),
    }
}

/// For each unit of the base the model's: of outer units, and of the inner ones within them. `outer` and `inner` have the products of
/// all pairs; `each` inner units belong to an outer one.
pub(super) fn best_order(mut outer: Dense, inner: &Dense, each: usize) -> (Vec<usize>, Vec<usize>) {
    if each == 0 {
        return (assign(&outer), Vec::new());
    }
    let count = outer.rows();
    let mut within = vec![Vec::new(); count * count];
    for (of_base, of_model) in (0..count).flat_map(|a| (0..count).map(move |b| (a, b))) {
        let block = Dense::from_fn(each, each, |row, col| inner.row(of_base * each + row)[of_model * each + col]);
        let order = assign(&block);
        outer.row_mut(of_base)[of_model] += order.iter().enumerate().map(|(row, &col)| block.row(row)[col]).sum::<f32>();
        within[of_base * count + of_model] = order;
    }
    let order = assign(&outer);
    let moved = |(a, &b): (usize, &usize)| within[a * count + b].iter().map(move |&unit| b * each + unit).collect::<Vec<_>>();
    let inner = order.iter().enumerate().flat_map(moved).collect();
    (order, inner)
}

/// How well units match, from the products of all pairs and the squared norms of both sides' units.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Correlations {
    /// The mean over units in the order that they had.
    pub(super) before: f64,
    /// The mean over matched units.
    pub(super) after: f64,
    /// The least of a matched pair.
    pub(super) least: f64,
    /// The mean over the base's units of the best that any unit of the model has.
    pub(super) best: f64,
    /// How many of the model's units are the best of some unit of the base.
    pub(super) taken: usize,
}

/// Measures an order.
pub(super) fn correlations(products: &Dense, base: &[f64], model: &[f64], order: &[usize]) -> Correlations {
    let count = order.len();
    let correlation = |row: usize, col: usize| {
        let norm = (base[row] * model[col]).sqrt();
        // a dead unit resembles none
        if norm > 0.0 { f64::from(products.row(row)[col]) / norm } else { 0.0 }
    };
    let mut taken = vec![false; count];
    let mut found = Correlations { least: f64::INFINITY, ..Correlations::default() };
    for (row, &col) in order.iter().enumerate() {
        let after = correlation(row, col);
        let best = (0..count).map(|col| (correlation(row, col), col)).max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        let (best, nearest) = best.unwrap_or_default();
        taken[nearest] = true;
        found.before += correlation(row, row);
        found.after += after;
        found.best += best;
        found.least = found.least.min(after);
    }
    let mean = |sum: f64| sum / count.max(1) as f64;
    let taken = taken.into_iter().filter(|taken| *taken).count();
    Correlations { before: mean(found.before), after: mean(found.after), best: mean(found.best), taken, ..found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_either_axis_are_rows_and_go_where_they_are_told() {
        let tensor = Dense::from_fn(4, 6, |row, col| (row * 6 + col) as f32);
        assert_eq!(units(&tensor, 0, 2).row(1), &(12..24).map(|n| n as f32).collect::<Vec<_>>()[..]);
        assert_eq!(units(&tensor, 1, 3).row(1), [2.0, 8.0, 14.0, 20.0, 3.0, 9.0, 15.0, 21.0]);
        assert_eq!(reorder(&tensor, 0, &[1, 0]).row(0), tensor.row(2));
        assert_eq!(reorder(&tensor, 1, &[2, 0, 1]).row(0), [4.0, 5.0, 0.0, 1.0, 2.0, 3.0]);
        for (axis, order) in [(0, vec![3, 0, 2, 1]), (1, vec![5, 2, 0, 1, 4, 3])] {
            let moved = units(&reorder(&tensor, axis, &order), axis, order.len());
            let own = units(&tensor, axis, order.len());
            assert!(order.iter().enumerate().all(|(to, &from)| moved.row(to) == own.row(from)));
        }
    }

    #[test]
    fn inner_units_stay_with_their_outer_one() {
        // outer units are swapped, and so are the inner ones of the first of them
        let truth = [3, 2, 0, 1];
        let inner = Dense::from_fn(4, 4, |row, col| if truth[row] == col { 1.0 } else { 0.1 });
        let outer = Dense::from_fn(2, 2, |row, col| if row != col { 0.5 } else { 0.0 });
        assert_eq!(best_order(outer, &inner, 2), (vec![1, 0], truth.to_vec()));
    }

    #[test]
    fn correlations_are_of_units_of_length_one() {
        let products = Dense::new(2, 2, vec![0.0, 6.0, 2.0, 0.0]);
        let found = correlations(&products, &[9.0, 4.0], &[1.0, 4.0], &[1, 0]);
        assert_eq!(found, Correlations { before: 0.0, after: 1.0, least: 1.0, best: 1.0, taken: 2 });
        let dead = correlations(&products, &[0.0, 4.0], &[1.0, 4.0], &[1, 0]);
        assert_eq!((dead.after, dead.least, dead.taken), (0.5, 0.0, 1));
    }
}
