//! Each part on its own, on programs whose answers are plain.

use super::*;
use crate::placement::solver::Microlp;
use fastrand::Rng;

/// Equal tasks on equal nodes.
fn even(tasks: u32, nodes: usize) -> Program {
    let mut program = Program::new(nodes, 1, vec![0.0; nodes]);
    program.class(tasks, |_| Some((vec![1.0], 0.0)));
    program
}

fn random(rng: &mut Rng, classes: usize, nodes: usize, rows: usize) -> Program {
    let base = (0..nodes * rows).map(|_| 3.0 * rng.f64()).collect();
    let mut program = Program::new(nodes, rows, base);
    for _ in 0..classes {
        let size = 0.5 + 4.0 * rng.f64();
        let count = rng.u32(1..5);
        program.class(count, |_| (rng.u8(0..6) > 0).then(|| ((0..rows).map(|_| size * (0.5 + rng.f64())).collect(), 0.0)));
    }
    program
}

#[test]
fn equal_tasks_are_spread_evenly() {
    let solved = solve(&even(12, 4), Effort::QUICK, Budget::new(1 << 24)).unwrap();
    assert_eq!((solved.makespan, (0..4).map(|node| solved.whole.get(0, node)).collect::<Vec<_>>()), (3.0, vec![3; 4]));
    assert!((solved.bound - 3.0).abs() < 0.01, "{}", solved.bound);
}

#[test]
fn a_class_that_may_go_nowhere_is_left_out() {
    let mut program = even(4, 2);
    program.class(3, |_| None);
    let solved = solve(&program, Effort::QUICK, Budget::new(1 << 24)).unwrap();
    assert_eq!((solved.whole.placed(0), solved.whole.placed(1)), (4, 0));
}

#[test]
fn nothing_and_nobody_are_no_trouble() {
    for program in [Program::new(0, 1, vec![]), Program::new(2, 1, vec![0.0; 2]), even(3, 1)] {
        solve(&program, Effort::QUICK, Budget::new(1 << 20)).unwrap();
    }
}

#[test]
fn everything_that_may_go_somewhere_is_placed_once_and_the_bound_holds() {
    for seed in 0..60 {
        let rng = &mut Rng::with_seed(seed);
        let (classes, nodes, rows) = (rng.usize(1..30), rng.usize(1..8), rng.usize(1..4));
        let program = random(rng, classes, nodes, rows);
        let solved = solve(&program, Effort::QUICK, Budget::new(Effort::QUICK.work)).unwrap();
        for class in (0..program.classes()).filter(|class| program.is_possible(*class)) {
            assert_eq!(solved.whole.placed(class), program.count(class), "seed {seed}");
        }
        assert!(solved.bound <= solved.makespan * (1.0 + 1e-9), "seed {seed}");
        assert!(solved.makespan <= program.makespan(&list(&program)) * (1.0 + 1e-9), "seed {seed}: worse than at once");
        let prices: f64 = solved.prices.iter().sum();
        assert!((prices - 1.0).abs() < 1e-6 && solved.prices.iter().all(|price| *price >= 0.0), "seed {seed}");
    }
}

#[test]
fn rounding_places_at_most_one_divided_task_on_a_node() {
    // Two nodes, three equal tasks, each divided: one task more than the whole part, on each.
    let program = even(3, 2);
    let whole = round(&program, &[0.5, 0.5]);
    assert_eq!(whole.placed(0), 3);
    assert!(program.makespan(&whole) <= 2.0);
}

#[test]
fn annealing_leaves_where_search_ends_and_never_makes_it_worse() {
    let mut better = 0;
    for seed in 0..20 {
        let rng = &mut Rng::with_seed(seed);
        let program = random(rng, 60, 6, 2);
        let found = search(&program, list(&program), &mut Budget::new(1 << 26)).unwrap();
        let relaxed = relax(&program, program.value(&found), 1e-3, &mut Budget::new(1 << 26)).unwrap();
        let budget = || Budget::new(1 << 23);
        let annealed = anneal(&program, found.clone(), &relaxed.prices, relaxed.bound, &mut budget()).unwrap();
        let again = anneal(&program, found.clone(), &relaxed.prices, relaxed.bound, &mut budget()).unwrap();
        assert_eq!(annealed, again, "seed {seed}: the same problem has the same answer");
        for class in (0..program.classes()).filter(|class| program.is_possible(*class)) {
            assert_eq!(annealed.placed(class), program.count(class), "seed {seed}");
        }
        assert!(program.makespan(&annealed) <= program.makespan(&found), "seed {seed}");
        better += usize::from(program.makespan(&annealed) < program.makespan(&found));
    }
    assert!(better >= 5, "better for {better} of 20");
}

#[test]
fn what_the_budget_cannot_pay_is_not_solved() {
    let program = even(12, 4);
    let shares = vec![0.25; 4];
    let mut budget = Budget::new(10);
    assert_eq!((corner(&Microlp, &program, &shares, 0.1, 100, &mut budget), budget.left()), (Ok(None), 10));
    let mut budget = Budget::new(1 << 20);
    let found = corner(&Microlp, &program, &shares, 0.1, 100, &mut budget).unwrap().unwrap();
    assert!((found.shares.iter().sum::<f64>() - 1.0).abs() < 1e-9 && budget.left() < 1 << 20);
}

#[test]
fn a_larger_question_may_take_longer_within_limits() {
    assert_eq!(Effort::running(200, 64), Effort::QUICK);
    assert!(Effort::running(1000, 64).work > Effort::QUICK.work);
    assert_eq!(Effort::running(usize::MAX, 64), Effort::running(100_000, 1000));
}

#[test]
fn a_spent_budget_still_has_an_answer_and_a_cancelled_one_has_none() {
    let program = even(12, 4);
    assert_eq!(solve(&program, Effort::QUICK, Budget::new(0)).unwrap().makespan, 3.0);
    let cancel = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    assert_eq!(solve(&program, Effort::QUICK, Budget::cancellable(1 << 20, cancel)).unwrap_err(), Cancelled);
}
