//! Small instances, of which the best answer is known because all were tried.

use super::super::program::{Budget, Effort, Program, list, solve};
use fastrand::Rng;

/// The least makespan of all answers, by depth-first search.
fn best(program: &Program) -> f64 {
    fn descend(program: &Program, class: usize, done: &mut [f64], least: &mut f64) {
        let latest = done.iter().copied().fold(0.0, f64::max);
        if latest >= *least {
            return;
        }
        if class == program.classes() {
            *least = latest;
            return;
        }
        for node in 0..program.nodes() {
            let load = program.load(class, node)[0];
            if load.is_finite() {
                done[node] += load;
                descend(program, class + 1, done, least);
                done[node] -= load;
            }
        }
    }
    let mut least = program.makespan(&list(program)) + 1e-9;
    descend(program, 0, &mut vec![0.0; program.nodes()], &mut least);
    least
}

fn instance(rng: &mut Rng) -> Program {
    let (nodes, tasks) = (rng.usize(1..=6), rng.usize(1..=8));
    let mut program = Program::new(nodes, 1, vec![0.0; nodes]);
    let speeds: Vec<f64> = (0..nodes).map(|_| 1.0 + 7.0 * rng.f64()).collect();
    for _ in 0..tasks {
        let (size, home, mut only) = (1.0 + 20.0 * rng.f64(), rng.usize(0..nodes), rng.usize(0..nodes));
        if rng.u8(0..4) > 0 {
            only = usize::MAX;
        }
        program.class(1, |node| {
            let moved = if node == home { 0.0 } else { size / 10.0 };
            (only == usize::MAX || only == node).then(|| (vec![size / speeds[node] + moved], 0.0))
        });
    }
    program
}

#[test]
fn five_hundred_small_instances_are_solved_near_the_best_and_bounded_below_it() {
    let (mut optimal, mut worst): (u32, f64) = (0, 0.0);
    for seed in 0..500 {
        let program = instance(&mut Rng::with_seed(seed));
        let solved = solve(&program, Effort::QUICK, Budget::new(Effort::QUICK.work)).unwrap();
        let best = best(&program);
        assert!(solved.bound <= best * (1.0 + 1e-6), "seed {seed}: bound {} above the best {best}", solved.bound);
        assert!(solved.makespan >= best * (1.0 - 1e-6), "seed {seed}");
        let gap = solved.makespan / best - 1.0;
        worst = worst.max(gap);
        optimal += u32::from(gap < 1e-6);
    }
    eprintln!("{optimal} of 500 optimal, the worst {:.2} % above", 100.0 * worst);
    assert!(optimal >= 450 && worst <= 0.10, "{optimal} of 500 optimal, the worst {:.2} % above", 100.0 * worst);
}
