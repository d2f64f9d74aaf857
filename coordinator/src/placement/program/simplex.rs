//! A corner of the relaxation, by the simplex method, on the columns that the prices left: at a corner at most one class for
//! each row is divided, which is what rounding needs.

use super::{Budget, Cancelled, Program};
use microlp::{ComparisonOp, OptimizationDirection, Problem, Solution, Variable};
use std::time::Duration;

/// A share below this is as good as none.
const LEAST: f64 = 1e-6;

/// Looks at a load that a column and a constraint cost together, as measured from 400 to 6000 columns. Estimated, as the solver
/// does not tell before it is done.
const WORK: usize = 80;
/// How often a solver looks up from its work, where somebody may no longer want it. Not below the time that the coordinator waits
/// for a plan: a solver that goes on after a look may end at another corner, and the same problem is to have the same plan.
const LOOK_UP: Duration = Duration::from_secs(1);

/// The best shares among those columns whose share is at least `least` now, if there are at most `columns` of them, the
/// budget has the work, and the solver finds them.
///
/// # Errors
/// [`Cancelled`] when the budget was.
pub fn corner(
    program: &Program,
    shares: &[f64],
    least: f64,
    columns: usize,
    budget: &mut Budget,
) -> Result<Option<Vec<f64>>, Cancelled> {
    let open = |class: usize| -> Vec<usize> {
        let share = |node: &usize| shares[class * program.nodes + node];
        let mut nodes: Vec<usize> = (0..program.nodes).filter(|node| share(node) >= least).collect();
        if nodes.is_empty() {
            nodes.extend((0..program.nodes).max_by(|a, b| share(a).total_cmp(&share(b))).filter(|node| share(node) > 0.0));
        }
        nodes
    };
    let open: Vec<Vec<usize>> = (0..program.classes()).map(open).collect();
    let divided = || open.iter().filter(|nodes| nodes.len() > 1);
    let wanted: usize = divided().map(Vec::len).sum();
    let work = wanted.saturating_mul(divided().count() + program.base.len()).saturating_mul(WORK);
    if wanted > columns || !budget.affords(work) || !budget.spend(work)? {
        return Ok(None);
    }
    let mut fixed = program.base.clone();
    let mut lp = Problem::new(OptimizationDirection::Minimize);
    let last = lp.add_var(1.0, (0.0, f64::INFINITY));
    let mut rows: Vec<Vec<(Variable, f64)>> = vec![vec![]; program.base.len()];
    let mut variables: Vec<(usize, usize, Variable)> = vec![];
    for (class, nodes) in open.iter().enumerate() {
        let count = f64::from(program.count(class));
        if let [node] = nodes[..] {
            for (row, load) in program.load(class, node).iter().enumerate() {
                fixed[node * program.rows + row] += count * load;
            }
            continue;
        }
        let mut whole = vec![];
        for &node in nodes {
            let share = lp.add_var(count * program.cost(class, node), (0.0, 1.0));
            variables.push((class, node, share));
            whole.push((share, 1.0));
            for (row, load) in program.load(class, node).iter().enumerate().filter(|(_, load)| **load > 0.0) {
                rows[node * program.rows + row].push((share, count * load));
            }
        }
        if !whole.is_empty() {
            lp.add_constraint(whole, ComparisonOp::Eq, 1.0);
        }
    }
    for (mut row, fixed) in rows.into_iter().zip(fixed) {
        row.push((last, -1.0));
        lp.add_constraint(row, ComparisonOp::Le, -fixed);
    }
    let Some(solution) = solved(lp, budget)? else { return Ok(None) };
    let mut corner = vec![0.0; shares.len()];
    for (class, nodes) in open.iter().enumerate() {
        if let [node] = nodes[..] {
            corner[class * program.nodes + node] = 1.0;
        }
    }
    for (class, node, share) in variables {
        let share = solution.var_value(share);
        corner[class * program.nodes + node] = if share < LEAST { 0.0 } else { share };
    }
    Ok(Some(corner))
}

/// Solves, looking up now and then whether the answer is still wanted. `None`: the solver failed.
fn solved(mut lp: Problem, budget: &Budget) -> Result<Option<Solution>, Cancelled> {
    if budget.is_cancellable() {
        lp.set_time_limit(LOOK_UP);
    }
    let mut outcome = lp.solve();
    loop {
        match outcome {
            Ok(solved) if solved.is_optimal() => return Ok(solved.into_solution().ok()),
            Ok(_) if budget.is_cancelled() => return Err(Cancelled),
            Ok(stopped) if budget.is_cancellable() => outcome = stopped.resume(),
            Ok(_) | Err(_) => return Ok(None),
        }
    }
}
