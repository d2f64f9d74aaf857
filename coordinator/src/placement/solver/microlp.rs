//! `microlp`: pure Rust, in every build. It has no duals to show, and its search for whole values is for small models.

use super::{Answer, Column, End, Limits, Model, NoAnswer, Solver};
use microlp::{
    ComparisonOp, Error, OptimizationDirection, Problem, Solution, SolveOptions, SolveOutcome, TerminationReason, Variable,
};
use std::time::{Duration, Instant};

/// How often it looks up from its work, where somebody may no longer want it. Not below the time that the coordinator waits for a
/// plan: a search that goes on after a look may end at another corner, and the same problem is to have the same plan.
const LOOK_UP: Duration = Duration::from_secs(1);

/// The solver.
#[derive(Debug, Clone, Copy, Default)]
pub struct Microlp;

impl Solver for Microlp {
    fn name(&self) -> &'static str {
        "microlp"
    }

    fn gives_duals(&self) -> bool {
        false
    }

    fn work(&self) -> usize {
        80 // as measured from 400 to 6000 columns
    }

    fn solve(&self, model: &Model, limits: &Limits<'_>) -> Result<Answer, NoAnswer> {
        model.check()?;
        let (problem, variables) = stated(model);
        let end = limits.time.and_then(|time| Instant::now().checked_add(time));
        let slice = || {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let look_up = limits.wanted.map(|_| LOOK_UP);
            left.into_iter().chain(look_up).min()
        };
        let start = limits.start.filter(|start| start.len() == variables.len() && model.is_whole());
        let mut options = SolveOptions::default();
        options.time_limit = slice();
        options.node_limit = limits.nodes.map(|nodes| u64::from(nodes).max(1));
        options.mip_gap = limits.gap;
        options.warm_start = start.map(|start| variables.iter().copied().zip(start.iter().copied()).collect());
        let mut outcome = problem.solve_with(options).map_err(no_answer)?;
        while outcome.termination_reason() == TerminationReason::TimeLimit
            && end.is_none_or(|end| Instant::now() < end)
            && limits.wanted.is_none_or(|wanted| wanted())
        {
            let mut options = outcome.last_resume_options();
            options.time_limit = slice();
            outcome = outcome.resume_with(options).map_err(no_answer)?;
        }
        let end = match outcome.termination_reason() {
            TerminationReason::ProvenOptimal | TerminationReason::MipGap => End::Proven,
            TerminationReason::TimeLimit => End::Time,
            _ => End::Nodes,
        };
        let bound = outcome.stats().best_bound;
        match outcome {
            SolveOutcome::Solution(solution) => Ok(answer(model, &variables, &solution, end, bound)),
            SolveOutcome::Interrupted(_) => Err(NoAnswer::Limit),
        }
    }
}

fn stated(model: &Model) -> (Problem, Vec<Variable>) {
    let mut problem = Problem::new(OptimizationDirection::Minimize);
    let add = |column: &Column| {
        if column.whole {
            // A cast of what is beyond is the last there is.
            problem.add_integer_var(column.cost, (column.lower.ceil() as i32, column.upper.floor() as i32))
        } else {
            problem.add_var(column.cost, (column.lower, column.upper))
        }
    };
    let variables: Vec<Variable> = model.columns().iter().map(add).collect();
    for row in model.rows() {
        let terms = || row.entries.iter().map(|(column, coefficient)| (variables[*column], *coefficient)).collect::<Vec<_>>();
        if row.lower == row.upper {
            problem.add_constraint(terms(), ComparisonOp::Eq, row.upper);
            continue;
        }
        if row.upper.is_finite() {
            problem.add_constraint(terms(), ComparisonOp::Le, row.upper);
        }
        if row.lower.is_finite() {
            problem.add_constraint(terms(), ComparisonOp::Ge, row.lower);
        }
    }
    (problem, variables)
}

fn answer(model: &Model, variables: &[Variable], solution: &Solution, end: End, bound: Option<f64>) -> Answer {
    let value = |(column, variable): (&Column, &Variable)| {
        let value = solution.var_value(*variable);
        if column.whole { value.round() } else { value }
    };
    let values: Vec<f64> = model.columns().iter().zip(variables).map(value).collect();
    let objective = model.objective(&values);
    let bound = bound.unwrap_or(if end == End::Proven { objective } else { f64::NEG_INFINITY });
    Answer { values, objective, bound: bound.min(objective), end, duals: None }
}

fn no_answer(error: Error) -> NoAnswer {
    match error {
        Error::Infeasible => NoAnswer::Infeasible,
        Error::Unbounded => NoAnswer::Unbounded,
        other => NoAnswer::Failed { solver: "microlp", problem: other.to_string() },
    }
}
