//! A whole answer that is proven to be the best, or near it, where few columns are left to choose from.
//!
//! With prices y whose bound is B, a task of class i on node j makes any answer worse than B by its *reduced cost*, what it costs
//! at these prices more than where it costs least:
//!
//! ```text
//!   r(i,j) = Σ_r y(j,r) load(i,j,r) + cost(i,j) - min_k ( Σ_r y(k,r) load(i,k,r) + cost(i,k) )
//! ```
//! An answer below the value V that some answer has therefore has at most (V - B) / r(i,j) such tasks: most columns have none, and
//! what is left is a small integer program. Solved, it is either better than V, or V is proven.

use super::{Budget, Cancelled, Program, Whole};
use crate::placement::solver::{Column, End, Limits, Model, Row, Solver};
use std::time::Duration;

/// How much may be done for a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// Columns that may be left; where there are more, none is looked for.
    pub columns: usize,
    /// Nodes of the search.
    pub nodes: u32,
    /// When it is given up.
    pub time: Duration,
    /// Whether what was found by then counts, which is more on a faster machine.
    pub counts_late: bool,
}

/// An answer, and what is known of how good it is.
#[derive(Debug, Clone, Copy)]
pub struct Incumbent<'a> {
    /// The answer.
    pub whole: &'a Whole,
    /// Its value.
    pub value: f64,
    /// No answer has a value below this.
    pub bound: f64,
    /// The prices that say so.
    pub prices: &'a [f64],
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Proven {
    /// A better answer, if there is one.
    pub better: Option<Whole>,
    /// No answer has a value below this.
    pub bound: f64,
}

/// Looks for an answer better than another, to within a part `gap` of the best. `None`: there was too much to look at, or the
/// search did not come far enough to say anything.
///
/// # Errors
/// [`Cancelled`] when the budget was.
pub fn exact(
    solver: &dyn Solver,
    program: &Program,
    from: Incumbent<'_>,
    gap: f64,
    proof: Proof,
    budget: &Budget,
) -> Result<Option<Proven>, Cancelled> {
    let value = from.value;
    if budget.is_cancelled() {
        return Err(Cancelled);
    }
    if value <= 0.0 || !value.is_finite() {
        return Ok(None);
    }
    let Some(caps) = caps(program, from.prices, value - from.bound, proof.columns) else { return Ok(None) };
    // Numbers about 1, by a power of two that changes no digit of them.
    let unit = value.log2().round().exp2();
    let model = stated(program, &caps, unit);
    let mut start = vec![program.makespan(from.whole) / unit];
    start.extend(caps.iter().map(|cap| f64::from(from.whole.get(cap.class, cap.node))));
    let limits = Limits { time: Some(proof.time), nodes: Some(proof.nodes), gap, start: Some(&start), wanted: None };
    let answer = solver.solve(&model, &limits);
    if budget.is_cancelled() {
        return Err(Cancelled);
    }
    let Some(answer) = answer.ok().filter(|answer| proof.counts_late || answer.end != End::Time) else { return Ok(None) };
    let mut found = Whole::none(program);
    for (cap, count) in caps.iter().zip(answer.values.iter().skip(1)) {
        *found.get_mut(cap.class, cap.node) = count.max(0.0) as u32;
    }
    let all = (0..program.classes()).all(|class| found.placed(class) == from.whole.placed(class));
    let better = Some(found).filter(|found| all && program.value(found) < value);
    Ok(Some(Proven { better, bound: (answer.bound * unit).min(value) }))
}

/// How many tasks of a class a node may have in an answer that is better.
struct Cap {
    class: usize,
    node: usize,
    most: u32,
}

/// The columns that an answer may have which lies less than `slack` above the bound of the prices, if they are at most `columns`.
fn caps(program: &Program, prices: &[f64], slack: f64, columns: usize) -> Option<Vec<Cap>> {
    // What rounding makes of a bound must not fix away what is as good.
    let slack = slack.max(0.0) * (1.0 + 1e-6) + 1e-12;
    let mut caps = vec![];
    for class in 0..program.classes() {
        let priced = |node: usize| {
            let loads = program.load(class, node).iter().zip(&prices[node * program.rows..]);
            loads.map(|(load, price)| load * price).sum::<f64>() + program.cost(class, node)
        };
        let priced: Vec<(usize, f64)> =
            (0..program.nodes).filter(|node| program.allows(class, *node)).map(|node| (node, priced(node))).collect();
        let least = priced.iter().map(|(_, price)| *price).fold(f64::INFINITY, f64::min);
        for (node, price) in priced {
            let most = (slack / (price - least)).floor().min(f64::from(program.count(class))) as u32;
            if most > 0 {
                caps.push(Cap { class, node, most });
            }
        }
        if caps.len() > columns {
            return None;
        }
    }
    Some(caps)
}

/// First the makespan, then the tasks of a class on a node.
fn stated(program: &Program, caps: &[Cap], unit: f64) -> Model {
    let mut model = Model::default();
    let makespan = model.column(Column::between(1.0, 0.0, f64::INFINITY));
    let mut rows: Vec<Vec<(usize, f64)>> = vec![vec![(makespan, -1.0)]; program.base.len()];
    let mut classes: Vec<Vec<(usize, f64)>> = vec![vec![]; program.classes()];
    for cap in caps {
        let cost = program.cost(cap.class, cap.node) / unit;
        let column = model.column(Column::between(cost, 0.0, cap.most.into()).whole());
        classes[cap.class].push((column, 1.0));
        for (row, load) in program.load(cap.class, cap.node).iter().enumerate().filter(|(_, load)| **load > 0.0) {
            rows[cap.node * program.rows + row].push((column, load / unit));
        }
    }
    for (row, base) in rows.into_iter().zip(&program.base) {
        model.row(Row::at_most(-base / unit, row));
    }
    for (class, entries) in classes.into_iter().enumerate().filter(|(_, entries)| !entries.is_empty()) {
        model.row(Row::equal(program.count(class).into(), entries));
    }
    model
}
