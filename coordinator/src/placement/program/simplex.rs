//! A corner of the relaxation, by the simplex method, on the columns that the prices left: at a corner at most one class for
//! each row is divided, which is what rounding needs.

use super::Program;
use microlp::{ComparisonOp, OptimizationDirection, Problem, Variable};

/// A share below this is as good as none.
const LEAST: f64 = 1e-6;

/// The best shares among those columns whose share is at least `least` now, if there are at most `columns` of them and the
/// solver finds them.
pub fn corner(program: &Program, shares: &[f64], least: f64, columns: usize) -> Option<Vec<f64>> {
    let open = |class: usize| -> Vec<usize> {
        let share = |node: &usize| shares[class * program.nodes + node];
        let mut nodes: Vec<usize> = (0..program.nodes).filter(|node| share(node) >= least).collect();
        if nodes.is_empty() {
            nodes.extend((0..program.nodes).max_by(|a, b| share(a).total_cmp(&share(b))).filter(|node| share(node) > 0.0));
        }
        nodes
    };
    let open: Vec<Vec<usize>> = (0..program.classes()).map(open).collect();
    if open.iter().filter(|nodes| nodes.len() > 1).map(Vec::len).sum::<usize>() > columns {
        return None;
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
    let solution = lp.solve().ok()?.into_solution().ok()?;
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
    Some(corner)
}
