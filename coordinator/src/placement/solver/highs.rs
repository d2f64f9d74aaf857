//! HiGHS (Huangfu and Hall, Math. Prog. Comp. 10, 2018), by its C++ library, on the thread that asks: dual simplex for LPs, branch
//! and cut for whole columns. A growing LP goes on from the last basis.
//!
//! It cannot look up from its work: what nobody wants any more ends with its time limit.

use super::{Answer, Column, Duals, End, Limits, Model, More, NewColumn, NoAnswer, Solver};
use highs::{ColProblem, HighsModelStatus, HighsSolutionStatus, HighsStatus, Integrality, Row, Sense, SolvedModel};
use std::time::Instant;

/// HiGHS's number of the primal simplex.
const PRIMAL: i32 = 4;

/// The solver.
#[derive(Debug, Clone, Copy, Default)]
pub struct Highs;

impl Solver for Highs {
    fn name(&self) -> &'static str {
        "HiGHS"
    }

    fn gives_duals(&self) -> bool {
        true
    }

    fn work(&self) -> usize {
        25 // as measured from 1000 to 2000 columns
    }

    fn solve(&self, model: &Model, limits: &Limits<'_>) -> Result<Answer, NoAnswer> {
        model.check()?;
        if model.columns().is_empty() {
            return nothing(model);
        }
        let (mut stated, _) = stated(model)?;
        set(&mut stated, limits)?;
        if let Some(start) = limits.start.filter(|start| start.len() == model.columns().len()) {
            // One that does not hold is completed, or left out.
            stated.try_set_solution(Some(start), None, None, None).map_err(failed("taking a start in"))?;
        }
        answer(model, &stated.try_solve().map_err(failed("solving"))?)
    }

    fn grow(&self, model: &mut Model, limits: &Limits<'_>, more: &mut More<'_>) -> Result<Answer, NoAnswer> {
        model.check()?;
        if model.columns().is_empty() || model.is_whole() {
            return Err(NoAnswer::Malformed("what grows has columns, and none that is whole".into()));
        }
        let begun = Instant::now();
        let (mut stated, rows) = stated(model)?;
        set(&mut stated, limits)?;
        loop {
            let solved = stated.try_solve().map_err(failed("solving"))?;
            let answer = answer(model, &solved)?;
            let ended = limits.time.is_some_and(|time| begun.elapsed() >= time) || limits.wanted.is_some_and(|wanted| !wanted());
            let columns = if answer.is_proven() && !ended { more(&answer) } else { vec![] };
            if columns.is_empty() {
                return Ok(answer);
            }
            stated = solved.into();
            for NewColumn { column, entries } in columns {
                let placed = entries.iter().filter_map(|(row, coefficient)| Some((*rows.get(*row)?, *coefficient)));
                let bounds = column.lower..=column.upper;
                stated.try_add_column(column.cost, bounds, placed).map_err(failed("adding a column"))?;
                model.push_with(NewColumn { column, entries });
            }
            // Presolve would throw the basis away, and what it holds is feasible: the primal simplex goes on from there.
            set_option(&mut stated, "presolve", "off")?;
            set_option(&mut stated, "simplex_strategy", PRIMAL)?;
        }
    }
}

/// The answer to a model without columns.
fn nothing(model: &Model) -> Result<Answer, NoAnswer> {
    if model.violation(&[]) > 0.0 {
        return Err(NoAnswer::Infeasible);
    }
    let duals = Duals { rows: vec![0.0; model.rows().len()], columns: vec![] };
    Ok(Answer { values: vec![], objective: 0.0, bound: 0.0, end: End::Proven, duals: Some(duals) })
}

fn stated(model: &Model) -> Result<(highs::Model, Vec<Row>), NoAnswer> {
    let mut problem = ColProblem::new();
    let rows: Vec<Row> = model.rows().iter().map(|row| problem.add_row(row.lower..=row.upper)).collect();
    let mut entries: Vec<Vec<(Row, f64)>> = vec![vec![]; model.columns().len()];
    for (row, stated) in model.rows().iter().zip(&rows) {
        row.entries.iter().for_each(|(column, coefficient)| entries[*column].push((*stated, *coefficient)));
    }
    for (column, entries) in model.columns().iter().zip(entries) {
        let kind = if column.whole { Integrality::Integer } else { Integrality::Continuous };
        problem.add_column_with_integrality_kind(column.cost, column.lower..=column.upper, entries, kind);
    }
    Ok((problem.try_optimise(Sense::Minimise).map_err(failed("taking the model in"))?, rows))
}

fn set(stated: &mut highs::Model, limits: &Limits<'_>) -> Result<(), NoAnswer> {
    stated.make_quiet();
    // One thread: the same model has the same answer, and planning has a part of one processor.
    set_option(stated, "threads", 1)?;
    set_option(stated, "parallel", "off")?;
    set_option(stated, "mip_rel_gap", limits.gap)?;
    set_option(stated, "mip_abs_gap", 0.0)?;
    if let Some(time) = limits.time {
        set_option(stated, "time_limit", time.as_secs_f64())?;
    }
    if let Some(nodes) = limits.nodes {
        set_option(stated, "mip_max_nodes", i32::try_from(nodes).unwrap_or(i32::MAX))?;
    }
    Ok(())
}

fn set_option(stated: &mut highs::Model, name: &str, value: impl highs::HighsOptionValue) -> Result<(), NoAnswer> {
    let refused = |_| NoAnswer::Failed { solver: "HiGHS", problem: format!("it does not take the option {name}") };
    stated.try_set_option(name, value).map_err(refused)
}

fn failed(what: &'static str) -> impl Fn(HighsStatus) -> NoAnswer {
    move |status| NoAnswer::Failed { solver: "HiGHS", problem: format!("{what}: {status:?}") }
}

fn answer(model: &Model, solved: &SolvedModel) -> Result<Answer, NoAnswer> {
    let status = solved.status();
    match status {
        HighsModelStatus::Infeasible => return Err(NoAnswer::Infeasible),
        HighsModelStatus::Unbounded => return Err(NoAnswer::Unbounded),
        HighsModelStatus::UnboundedOrInfeasible => return unbounded_or_infeasible(model),
        _ => {}
    }
    let end = match status {
        HighsModelStatus::Optimal => End::Proven,
        HighsModelStatus::ReachedTimeLimit | HighsModelStatus::ReachedInterrupt => End::Time,
        HighsModelStatus::ReachedSolutionLimit | HighsModelStatus::ReachedIterationLimit => End::Nodes,
        other => return Err(NoAnswer::Failed { solver: "HiGHS", problem: format!("it ended as {other:?}") }),
    };
    if solved.primal_solution_status() != HighsSolutionStatus::Feasible {
        return Err(NoAnswer::Limit);
    }
    let solution = solved.get_solution();
    let value = |(column, value): (&Column, &f64)| if column.whole { value.round() } else { *value };
    let values: Vec<f64> = model.columns().iter().zip(solution.columns()).map(value).collect();
    let objective = model.objective(&values);
    let whole = model.is_whole();
    let bound = match (whole, end) {
        (true, _) => solved.double_info_value(c"mip_dual_bound").unwrap_or(f64::NEG_INFINITY),
        (false, End::Proven) => objective,
        (false, _) => f64::NEG_INFINITY,
    };
    let duals = || Duals { rows: solution.dual_rows().to_vec(), columns: solution.dual_columns().to_vec() };
    Ok(Answer { values, objective, bound: bound.min(objective), end, duals: (!whole && end == End::Proven).then(duals) })
}

/// Presolve does not always tell the two apart: without costs, only one of them is left.
fn unbounded_or_infeasible(model: &Model) -> Result<Answer, NoAnswer> {
    let mut free = model.clone();
    free.drop_costs();
    let (mut stated, _) = stated(&free)?;
    set(&mut stated, &Limits::default())?;
    let solved = stated.try_solve().map_err(failed("solving"))?;
    Err(if solved.status() == HighsModelStatus::Optimal { NoAnswer::Unbounded } else { NoAnswer::Infeasible })
}
