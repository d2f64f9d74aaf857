//! One suite for every solver that is compiled in: tables, tiny programs beside all their answers, duals that prove themselves,
//! limits.

use super::*;
use proptest::prelude::*;
use std::time::Instant;

const TINY: f64 = 1e-6;

fn model(columns: &[Column], rows: &[Row]) -> Model {
    let mut model = Model::default();
    for column in columns {
        model.column(*column);
    }
    for row in rows {
        model.row(row.clone());
    }
    model
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= TINY * (1.0 + a.abs().max(b.abs()))
}

/// The rows hold, the values cost what is said, nothing is better than the bound, and duals prove that of an LP.
fn holds(solver: &dyn Solver, model: &Model, answer: &Answer) {
    let name = solver.name();
    assert_eq!(answer.values.len(), model.columns().len(), "{name}");
    assert!(model.violation(&answer.values) <= TINY, "{name}: {answer:?} misses by {}", model.violation(&answer.values));
    assert!(close(answer.objective, model.objective(&answer.values)), "{name}: {answer:?}");
    assert!(
        answer.bound <= answer.objective && (!answer.is_proven() || close(answer.bound, answer.objective)),
        "{name}: {answer:?}"
    );
    let has_duals = solver.gives_duals() && !model.is_whole() && answer.is_proven();
    assert_eq!(answer.duals.is_some(), has_duals, "{name}: {answer:?}");
    answer.duals.iter().for_each(|duals| proves(name, model, answer, duals));
}

/// Stationarity, complementary slackness and strong duality.
fn proves(name: &str, model: &Model, answer: &Answer, duals: &Duals) {
    let mut left: Vec<f64> = model.columns().iter().map(|column| column.cost).collect();
    let mut sums = vec![];
    for (row, dual) in model.rows().iter().zip(&duals.rows) {
        row.entries.iter().for_each(|(column, coefficient)| left[*column] -= dual * coefficient);
        sums.push(row.entries.iter().map(|(column, coefficient)| coefficient * answer.values[*column]).sum::<f64>());
    }
    for (at, (left, dual)) in left.iter().zip(&duals.columns).enumerate() {
        assert!((left - dual).abs() <= TINY, "{name}: column {at} is worth {dual}, and its rows leave {left}");
    }
    let rows = model.rows().iter().zip(sums).zip(&duals.rows).map(|((row, sum), dual)| (row.lower, row.upper, sum, *dual));
    let columns = model.columns().iter().zip(&answer.values).zip(&duals.columns);
    let columns = columns.map(|((column, value), dual)| (column.lower, column.upper, *value, *dual));
    let mut dual_objective = 0.0;
    for (lower, upper, value, dual) in rows.chain(columns).filter(|(.., dual)| dual.abs() > TINY) {
        let bound = if dual > 0.0 { lower } else { upper };
        assert!((value - bound).abs() <= TINY, "{name}: {dual} for a bound of {bound} at {value}");
        dual_objective += dual * bound;
    }
    assert!(close(dual_objective, answer.objective), "{name}: {dual_objective} by duals, {answer:?}");
}

fn both(solve: impl Fn(&dyn Solver)) {
    Solvers::ALL.iter().for_each(|solver| solve(*solver));
}

#[test]
fn plain_models_have_their_plain_answers() {
    let any = |cost| Column::between(cost, 0.0, f64::INFINITY);
    let free = |cost| Column::between(cost, f64::NEG_INFINITY, f64::INFINITY);
    let unit = |cost| Column::between(cost, 0.0, 1.0).whole();
    let two = |lower: f64, upper: f64| Row { lower, upper, entries: vec![(0, 1.0), (1, 1.0)] };
    let cases = [
        (
            "two rows meet",
            model(&[any(-1.0), any(-2.0)], &[Row::at_most(4.0, vec![(0, 1.0), (1, 1.0)]), Row::at_most(3.0, vec![(1, 1.0)])]),
            Ok(-7.0),
        ),
        ("a sum", model(&[any(1.0), any(3.0)], &[Row::equal(5.0, vec![(0, 1.0), (1, 1.0)])]), Ok(5.0)),
        ("at least", model(&[any(2.0), any(3.0)], &[Row::at_least(6.0, vec![(0, 1.0), (1, 2.0)])]), Ok(9.0)),
        ("a range, from below", model(&[any(1.0), any(1.0)], &[two(2.0, 5.0)]), Ok(2.0)),
        ("a range, from above", model(&[any(-1.0), any(-1.0)], &[two(2.0, 5.0)]), Ok(-5.0)),
        ("bounds alone", model(&[Column::between(1.0, -2.0, 7.0), Column::between(-1.0, -2.0, 7.0)], &[]), Ok(-9.0)),
        ("below nothing", model(&[free(1.0)], &[Row::at_least(-3.5, vec![(0, 1.0)])]), Ok(-3.5)),
        ("no columns", model(&[], &[Row::at_most(1.0, vec![])]), Ok(0.0)),
        (
            "a knapsack",
            model(&[unit(-10.0), unit(-13.0), unit(-7.0)], &[Row::at_most(6.0, vec![(0, 3.0), (1, 4.0), (2, 2.0)])]),
            Ok(-20.0),
        ),
        (
            "whole and not",
            model(&[Column::between(-1.0, 0.0, 10.0).whole(), Column::between(-1.0, 0.0, 0.7)], &[two(0.0, 3.5)]),
            Ok(-3.5),
        ),
        ("whole within a fraction", model(&[Column::between(1.0, 0.2, 0.8).whole()], &[]), Err(NoAnswer::Infeasible)),
        ("crossed bounds", model(&[Column::between(1.0, 2.0, 1.0)], &[]), Err(NoAnswer::Infeasible)),
        (
            "crossed rows",
            model(&[any(1.0)], &[Row::at_most(1.0, vec![(0, 1.0)]), Row::at_least(2.0, vec![(0, 1.0)])]),
            Err(NoAnswer::Infeasible),
        ),
        (
            "an odd sum of evens",
            model(&[unit(1.0), unit(1.0)], &[Row::equal(3.0, vec![(0, 2.0), (1, 2.0)])]),
            Err(NoAnswer::Infeasible),
        ),
        ("ever better", model(&[any(-1.0)], &[Row::at_least(1.0, vec![(0, 1.0)])]), Err(NoAnswer::Unbounded)),
        ("no columns, and a row", model(&[], &[Row::at_least(1.0, vec![])]), Err(NoAnswer::Infeasible)),
    ];
    both(|solver| {
        for (what, model, expected) in &cases {
            let answer = solver.solve(model, &Limits::default());
            match (&answer, expected) {
                (Ok(answer), Ok(objective)) => {
                    holds(solver, model, answer);
                    assert!(answer.is_proven() && close(answer.objective, *objective), "{what}, {}: {answer:?}", solver.name());
                }
                _ => assert_eq!(answer.as_ref().err(), expected.as_ref().err(), "{what}, {}", solver.name()),
            }
        }
    });
}

#[test]
fn what_is_no_number_is_refused() {
    let one = |cost, lower, upper| model(&[Column::between(cost, lower, upper)], &[]);
    let row = |row| model(&[Column::between(1.0, 0.0, 1.0)], &[Row::at_most(1.0, vec![(0, 1.0)]), row]);
    let cases = [
        (one(f64::NAN, 0.0, 1.0), "column 0 costs NaN"),
        (one(1.0, f64::NAN, 1.0), "column 0 lies between NaN and 1"),
        (one(1.0, f64::INFINITY, f64::INFINITY), "column 0 lies between inf and inf"),
        (row(Row::at_most(f64::NAN, vec![])), "row 1 lies between -inf and NaN"),
        (row(Row::at_most(1.0, vec![(0, f64::INFINITY)])), "row 1 has inf for column 0"),
        (row(Row::at_most(1.0, vec![(1, 1.0)])), "row 1 names column 1 of 1"),
        (row(Row::at_most(1.0, vec![(0, 1.0), (0, 1.0)])), "row 1 names column 0 twice"),
    ];
    both(|solver| {
        for (model, expected) in &cases {
            let refused = solver.solve(model, &Limits::default()).unwrap_err();
            assert_eq!(refused, NoAnswer::Malformed((*expected).into()), "{}", solver.name());
        }
    });
}

/// Whole columns from 0 to 3, and rows of small whole numbers.
fn any_model() -> impl Strategy<Value = Model> {
    let row = |columns| (proptest::collection::vec(-3i8..=3, columns), -6i8..=6, 0u8..3);
    let of = move |columns: usize| (proptest::collection::vec(-5i8..=5, columns), proptest::collection::vec(row(columns), 0..4));
    (1usize..=4).prop_flat_map(of).prop_map(|(costs, rows)| {
        let columns: Vec<Column> = costs.iter().map(|cost| Column::between(f64::from(*cost), 0.0, 3.0).whole()).collect();
        let rows = rows.into_iter().map(|(entries, side, kind)| {
            let entries = entries.into_iter().enumerate().filter(|(_, entry)| *entry != 0);
            let entries = entries.map(|(column, entry)| (column, f64::from(entry))).collect();
            match kind {
                0 => Row::at_most(side.into(), entries),
                1 => Row::at_least(side.into(), entries),
                _ => Row::equal(side.into(), entries),
            }
        });
        model(&columns, &rows.collect::<Vec<Row>>())
    })
}

fn relaxed(whole: &Model) -> Model {
    let columns: Vec<Column> = whole.columns().iter().map(|column| Column { whole: false, ..*column }).collect();
    model(&columns, whole.rows())
}

/// The least cost of all points of the grid that hold.
fn best_of_all(model: &Model) -> Option<f64> {
    let columns = u32::try_from(model.columns().len()).unwrap();
    let point = |number: u32| (0..columns).map(|at| f64::from(number / 4u32.pow(at) % 4)).collect::<Vec<f64>>();
    let points = (0..4u32.pow(columns)).map(point).filter(|point| model.violation(point) <= TINY);
    points.map(|point| model.objective(&point)).min_by(f64::total_cmp)
}

/// The least cost of all corners that hold: where as many bounds and rows are met as there are columns.
fn best_corner(model: &Model) -> Option<f64> {
    let columns = model.columns().len();
    let mut planes: Vec<Plane> = vec![];
    for (at, column) in model.columns().iter().enumerate() {
        let mut normal = vec![0.0; columns];
        normal[at] = 1.0;
        planes.extend([(normal.clone(), column.lower), (normal, column.upper)]);
    }
    for row in model.rows() {
        let mut normal = vec![0.0; columns];
        row.entries.iter().for_each(|(column, coefficient)| normal[*column] = *coefficient);
        let sides = if row.lower == row.upper { vec![row.lower] } else { vec![row.lower, row.upper] };
        planes.extend(sides.into_iter().filter(|side| side.is_finite()).map(|side| (normal.clone(), side)));
    }
    fn choose(planes: &[Plane], taken: &mut Vec<Plane>, columns: usize, each: &mut dyn FnMut(&[Plane])) {
        if taken.len() == columns {
            return each(taken);
        }
        for (at, plane) in planes.iter().enumerate() {
            taken.push(plane.clone());
            choose(&planes[at + 1..], taken, columns, each);
            taken.pop();
        }
    }
    let mut best: Option<f64> = None;
    choose(&planes, &mut vec![], columns, &mut |taken| {
        let Some(point) = meeting(taken) else { return };
        if model.violation(&point) <= TINY {
            let cost = model.objective(&point);
            best = Some(best.map_or(cost, |best| best.min(cost)));
        }
    });
    best
}

/// Its normal, and how far it is from the origin along that.
type Plane = (Vec<f64>, f64);

/// Where planes meet, if in one point: Gauss and Jordan, with the largest pivot.
fn meeting(planes: &[Plane]) -> Option<Vec<f64>> {
    let mut lines: Vec<Vec<f64>> = planes.iter().map(|(normal, side)| normal.iter().copied().chain([*side]).collect()).collect();
    for at in 0..lines.len() {
        let pivot = (at..lines.len()).max_by(|a, b| lines[*a][at].abs().total_cmp(&lines[*b][at].abs()))?;
        if lines[pivot][at].abs() < 1e-9 {
            return None;
        }
        lines.swap(at, pivot);
        let line = lines[at].clone();
        for (other, values) in lines.iter_mut().enumerate() {
            let factor = values[at] / line[at];
            let factor = if other == at { 1.0 - 1.0 / line[at] } else { factor };
            values.iter_mut().zip(&line).for_each(|(value, with)| *value -= factor * with);
        }
    }
    Some(lines.iter().map(|line| *line.last().unwrap()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn tiny_integer_programs_have_the_best_of_all_answers(model in any_model()) {
        let best = best_of_all(&model);
        for solver in Solvers::ALL {
            match (solver.solve(&model, &Limits::default()), best) {
                (Ok(answer), Some(best)) => {
                    holds(*solver, &model, &answer);
                    prop_assert!(answer.is_proven() && close(answer.objective, best), "{}: {:?}, best {}", solver.name(), answer, best);
                }
                (answer, best) => prop_assert_eq!((answer.err(), best), (Some(NoAnswer::Infeasible), None), "{}", solver.name()),
            }
        }
    }

    #[test]
    fn tiny_linear_programs_have_the_best_of_all_corners(model in any_model()) {
        let model = relaxed(&model);
        let best = best_corner(&model);
        for solver in Solvers::ALL {
            match (solver.solve(&model, &Limits::default()), best) {
                (Ok(answer), Some(best)) => {
                    holds(*solver, &model, &answer);
                    prop_assert!(answer.is_proven() && close(answer.objective, best), "{}: {:?}, best {}", solver.name(), answer, best);
                }
                (answer, best) => prop_assert_eq!((answer.err(), best), (Some(NoAnswer::Infeasible), None), "{}", solver.name()),
            }
        }
    }

    /// An LP that begins with what costs most, and is offered all columns that would lower the objective, ends at the best.
    #[test]
    fn a_model_that_grows_ends_where_the_whole_of_it_does(whole in any_model()) {
        let whole = relaxed(&whole);
        for solver in Solvers::ALL.iter().filter(|solver| solver.gives_duals()) {
            // So that there is an answer without the columns that come later, each row may be missed at a price.
            let mut full = model(&[], &whole.rows().iter().map(|row| Row { entries: vec![], ..row.clone() }).collect::<Vec<_>>());
            for row in 0..whole.rows().len() {
                for sign in [1.0, -1.0] {
                    let column = Column::between(100.0, 0.0, f64::INFINITY);
                    full.push_with(NewColumn { column, entries: vec![(row, sign)] });
                }
            }
            full.column(Column::between(0.0, 0.0, 1.0)); // never without any
            let later: Vec<NewColumn> = (0..whole.columns().len()).map(|at| {
                let of = |(row, stated): (usize, &Row)| Some((row, stated.entries.iter().find(|(column, _)| *column == at)?.1));
                let entries = whole.rows().iter().enumerate().filter_map(of).collect();
                NewColumn { column: whole.columns()[at], entries }
            }).collect();
            let mut grown = full.clone();
            later.iter().for_each(|column| full.push_with(column.clone()));
            let expected = solver.solve(&full, &Limits::default()).unwrap();
            let mut left = later;
            let answer = solver.grow(&mut grown, &Limits::default(), &mut |answer| {
                let duals = answer.duals.as_ref().expect("an LP's answer has them");
                let reduced = |new: &NewColumn| new.column.cost - new.entries.iter().map(|(row, by)| by * duals.rows[*row]).sum::<f64>();
                match left.iter().position(|new| reduced(new) < -1e-9) {
                    Some(at) => vec![left.remove(at)],
                    None => vec![],
                }
            }).unwrap();
            holds(*solver, &grown, &answer);
            prop_assert!(close(answer.objective, expected.objective), "{}: {:?}, {:?}", solver.name(), answer, expected);
        }
    }
}

/// Four sums of thirty numbers are to be split evenly (Cornuéjols and Dawande, 1998): any values hold at a price, and to find the
/// best of them takes any solver long.
fn market_split() -> Model {
    let rng = &mut fastrand::Rng::with_seed(1);
    let mut model = model(&[Column::between(0.0, 0.0, 1.0).whole(); 30], &[]);
    for _ in 0..4 {
        let numbers: Vec<f64> = (0..30).map(|_| f64::from(rng.u32(0..100))).collect();
        let half = (numbers.iter().sum::<f64>() / 2.0).floor();
        let over = model.column(Column::between(1.0, 0.0, f64::INFINITY));
        let under = model.column(Column::between(1.0, 0.0, f64::INFINITY));
        let entries = numbers.into_iter().enumerate().chain([(over, -1.0), (under, 1.0)]);
        model.row(Row::equal(half, entries.collect()));
    }
    model
}

#[test]
fn a_limit_ends_the_search_with_what_there_is() {
    let model = market_split();
    let limits = [
        (End::Time, Limits { time: Some(Duration::from_millis(300)), ..Limits::default() }),
        (End::Nodes, Limits { nodes: Some(3), ..Limits::default() }),
    ];
    both(|solver| {
        for (end, limits) in &limits {
            let start = Instant::now();
            match solver.solve(&model, limits) {
                Ok(answer) => {
                    assert_eq!(answer.end, *end, "{}: it cannot be through so soon", solver.name());
                    holds(solver, &model, &answer);
                }
                Err(error) => assert_eq!(error, NoAnswer::Limit, "{end:?}, {}", solver.name()),
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{end:?}, {}: {:?}", solver.name(), start.elapsed());
        }
    });
}

#[test]
fn what_nobody_wants_any_more_ends() {
    let limits = Limits { wanted: Some(&|| false), ..Limits::default() };
    let ended = Microlp.solve(&market_split(), &limits);
    assert!(ended.as_ref().map_or_else(|error| *error == NoAnswer::Limit, |answer| !answer.is_proven()), "{ended:?}");
}

#[test]
fn a_start_is_never_made_worse() {
    let model = market_split();
    // Every other number, and what that leaves over or under in each sum.
    let mut start: Vec<f64> = (0..30).map(|at| f64::from(at % 2)).collect();
    for row in model.rows() {
        let sum: f64 = row.entries[..30].iter().map(|(column, number)| number * start[*column]).sum();
        start.extend([(sum - row.upper).max(0.0), (row.upper - sum).max(0.0)]);
    }
    assert!(model.violation(&start) < TINY);
    both(|solver| {
        let limits = Limits { nodes: Some(1), start: Some(&start), ..Limits::default() };
        let answer = solver.solve(&model, &limits).unwrap();
        holds(solver, &model, &answer);
        assert!(answer.objective <= model.objective(&start) + TINY, "{}: {answer:?}", solver.name());
        // One that does not hold changes nothing.
        let nonsense = vec![0.5; start.len()];
        let plain = self::model(&[Column::between(1.0, 1.0, 3.0).whole()], &[]);
        let limits = Limits { start: Some(&nonsense[..1]), ..Limits::default() };
        assert_eq!(solver.solve(&plain, &limits).unwrap().values, [1.0], "{}", solver.name());
    });
}

#[test]
fn a_gap_is_enough_where_it_is_asked_for() {
    let rng = &mut fastrand::Rng::with_seed(7);
    let weights: Vec<f64> = (0..40).map(|_| f64::from(rng.u32(20..100))).collect();
    let item = |weight: &f64| Column::between(-weight - f64::from(rng.u32(0..20)), 0.0, 1.0).whole();
    let items: Vec<Column> = weights.iter().map(item).collect();
    let half = (weights.iter().sum::<f64>() / 2.0).floor();
    let model = model(&items, &[Row::at_most(half, weights.into_iter().enumerate().collect())]);
    both(|solver| {
        let best = solver.solve(&model, &Limits::default()).unwrap();
        let near = solver.solve(&model, &Limits { gap: 0.05, ..Limits::default() }).unwrap();
        assert!(best.is_proven() && near.is_proven(), "{}", solver.name());
        assert!(near.objective <= best.objective * 0.95 && near.bound <= best.objective + TINY, "{}: {near:?}", solver.name());
    });
}
