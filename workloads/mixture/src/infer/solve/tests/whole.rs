//! The linear program as it is written down, with a variable for every slack, by Clarabel: what the search is held against.

use super::Row;
use clarabel::{
    algebra::CscMatrix,
    solver::{DefaultSettings, DefaultSolver, IPSolver as _, NonnegativeConeT, ZeroConeT},
};

/// The least sum of slacks that satisfies all rows.
pub(super) fn least_slack(rows: &[Row], categories: usize) -> f64 {
    let mut names: Vec<(bool, usize)> = rows.iter().flat_map(|row| [(false, row.step), (true, row.pair as usize)]).collect();
    names.sort_unstable();
    names.dedup();
    let all = categories + names.len();
    let mut columns: Vec<Vec<(usize, f64)>> = vec![vec![]; all];
    columns[..categories].iter_mut().for_each(|column| column.push((0, 1.0)));
    for (row, place) in rows.iter().zip(1..) {
        columns.iter_mut().zip(&row.ahead).for_each(|(column, ahead)| column.push((place, *ahead)));
        for name in [(false, row.step), (true, row.pair as usize)] {
            columns[categories + names.binary_search(&name).unwrap()].push((place, -1.0));
        }
    }
    columns.iter_mut().zip(1 + rows.len()..).for_each(|(column, place)| column.push((place, -1.0)));
    let (mut starts, mut places, mut values) = (vec![0], vec![], vec![]);
    for column in columns {
        for (place, value) in column {
            places.push(place);
            values.push(value);
        }
        starts.push(places.len());
    }
    let height = 1 + rows.len() + all;
    let matrix = CscMatrix::new(height, all, starts, places, values);
    let cost: Vec<f64> = (0..all).map(|variable| f64::from(u8::from(variable >= categories))).collect();
    let mut right = vec![0.0; height];
    right[0] = 1.0;
    let cones = [ZeroConeT(1), NonnegativeConeT(height - 1)];
    let settings = DefaultSettings { verbose: false, ..DefaultSettings::default() };
    let mut solver = DefaultSolver::new(&CscMatrix::zeros((all, all)), &cost, &matrix, &right, &cones, settings).unwrap();
    solver.solve();
    solver.solution.obj_val
}
