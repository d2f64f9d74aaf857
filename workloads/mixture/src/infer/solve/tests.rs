mod whole;

use super::{rows::Row, *};
use crate::infer::counts::{History, Pair};
use crate::infer::tokenizer::Merge;
use proptest::prelude::*;

const PAIRS: usize = 12;

/// Categories whose counts go up and down by chance; the pairs are merged in order.
fn timeline(counts: &[u64], categories: usize) -> Timeline {
    let mut counts = counts.iter().copied().cycle();
    let mut next = || counts.next().unwrap_or_default();
    let merges: Vec<Merge> = (0..8).map(|left| Merge { left, right: 0, made: 100 + left }).collect();
    let mut history = || {
        let mut history = History { total: 1000, bytes: 1000, ..History::default() };
        history.pairs = (0..PAIRS as u32).map(|left| Pair(left, 0)).collect();
        history.before = history.pairs.iter().map(|_| next()).collect();
        for step in 0..merges.len() as u32 {
            history.changes.push((step, 0));
            history.changes.push((8 + step % 4, next()));
            history.ends.push(history.changes.len());
        }
        history
    };
    let histories: Vec<History> = (0..categories).map(|_| history()).collect();
    Timeline::new(&histories, &merges).unwrap()
}

/// Every row there is.
fn every_row(timeline: &Timeline) -> Vec<Row> {
    let mut rows = Vec::new();
    let none = vec![0.0; timeline.pairs.len()];
    replay(timeline, &vec![1.0; timeline.categories], &none, (usize::MAX, 0), |step| {
        for pair in (0..timeline.pairs.len() as u32).filter(|pair| *pair as usize > step.step) {
            let ahead = step.shares(pair).iter().zip(step.shares(step.merged)).map(|(pair, merged)| pair - merged).collect();
            rows.push(Row::new(step.step, pair, ahead));
        }
    });
    rows
}

proptest! {
    #[test]
    fn rows_found_on_the_way_are_worth_all_rows(counts in prop::collection::vec(1..200u64, 60), categories in 2..5usize) {
        let timeline = timeline(&counts, categories);
        let found = solve(&timeline, &|| false).unwrap();
        let whole = whole::least_slack(&every_row(&timeline), categories);
        prop_assert!(found.bound <= found.slack);
        prop_assert!((found.proportions.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let near = |value: f64| (value - whole).abs() <= 1.1 * GAP * whole + 1e-4;
        prop_assert!(near(found.slack) && near(found.bound), "{:?}, and all rows give {}", found, whole);
    }
}

proptest! {
    #[test]
    fn a_program_is_solved_to_its_gap(counts in prop::collection::vec(1..200u64, 60), categories in 2..6usize) {
        let timeline = timeline(&counts, categories);
        let rows = every_row(&timeline);
        let mut model = Model::new(categories);
        let even = vec![1.0 / categories as f64; categories];
        let found = program::solve(&rows, &even, &mut model, 1e-4).unwrap();
        let whole = whole::least_slack(&rows, categories);
        prop_assert!((found.slack - whole).abs() <= 2e-4 * whole + 1e-6, "{} and not {}", found.slack, whole);
        prop_assert!(found.bound <= whole + 1e-6 && found.bound >= found.slack * (1.0 - 1e-4) - 1e-9);
        for (row, spare) in rows.iter().zip(&found.spare) {
            let given = found.step_slack[&row.step] + found.pair_slack[&row.pair] - row.under(&found.proportions);
            prop_assert!((given - spare).abs() < 1e-9 && *spare > -1e-9, "a row is violated by {}", spare);
        }
        // What is known of all rows is known from the start the next time.
        let again = program::solve(&rows, &found.proportions, &mut model, 1e-4).unwrap();
        prop_assert!(again.bound >= found.bound - 1e-6 && again.slack <= found.slack + 1e-9, "{} and {}", again.bound, found.bound);
    }
}

#[test]
fn a_mixture_that_explains_every_merge_needs_no_slack() {
    // Pairs 0 and 2 belong to the first category, 1 and 3 to the second: in this order between 38 : 20 and 56 : 20 parts of it.
    let history = |before: [u64; 4]| History {
        total: 100,
        bytes: 100,
        pairs: (0..4).map(|left| Pair(left, 0)).collect(),
        before: before.into(),
        changes: (0..4).map(|pair| (pair, 0)).collect(),
        ends: vec![1, 2, 3, 4],
    };
    let merges: Vec<Merge> = (0..4).map(|left| Merge { left, right: 0, made: 100 + left }).collect();
    let timeline = Timeline::new(&[history([30, 0, 20, 0]), history([0, 56, 0, 38])], &merges).unwrap();
    let solved = solve(&timeline, &|| false).unwrap();
    assert!(solved.slack < 1e-6, "{solved:?}");
    assert_eq!((solved.merges, solved.explained), (4, 4), "{solved:?}");
    assert!((38.0 / 58.0 - 1e-6..56.0 / 76.0 + 1e-6).contains(&solved.proportions[0]), "{solved:?}");
}

#[test]
fn text_without_any_of_the_merges_is_unrelated() {
    let history = History { total: 10, bytes: 10, pairs: vec![Pair(7, 7)], before: vec![10], ..History::default() };
    let merges = [Merge { left: 0, right: 1, made: 2 }];
    let timeline = Timeline::new(&[history.clone(), history], &merges).unwrap();
    let error = solve(&timeline, &|| false).unwrap_err().to_string();
    assert!(error.starts_with("none of the 1 merges occurs in the text of any category"), "{error}");
}

#[test]
fn a_search_stops_when_it_is_told_to() {
    let timeline = timeline(&[5, 90, 3, 70, 11, 60, 17, 150, 29], 2);
    assert!(matches!(solve(&timeline, &|| true), Err(InferError::Cancelled)));
}
