//! A corner of the relaxation, by the simplex method, on the columns that the prices left: at a corner at most one class for
//! each row is divided, which is what rounding needs.
//!
//! A solver that has duals finds the corner of all columns: its duals are prices, and where these say that a class would rather
//! go to a node that has no column, there is one the next time. What it ends with is the optimum of the relaxation.

use super::{
    Budget, Cancelled, Program,
    volume::{Dual, Sheet},
};
use crate::placement::solver::{Answer, Column, Limits, Model, NewColumn, Row, Solver};
use std::{collections::BTreeSet, time::Duration};

/// A share below this is as good as none.
const LEAST: f64 = 1e-6;
/// [`Solver::work`] of the solver for which the limit of columns is meant: as many more may be those of a faster one.
const USUAL: usize = 80;
/// Times that a model grows, at most.
const TURNS: usize = 40;
/// The share by which the best answer may lie above the bound of its duals.
const CLOSE: f64 = 1e-4;
/// After so long an LP is given up, its answer with it: a machine on which it takes longer than any estimate has no corner.
const PATIENCE: Duration = Duration::from_secs(60);

/// A fractional answer, and what it proves.
#[derive(Debug, Clone, PartialEq)]
pub struct Corner {
    /// The share of each class on each node: `[class][node]`, in sum 1 for a class.
    pub shares: Vec<f64>,
    /// A bound and its prices, from a solver that has duals: `[node][row]`.
    pub proof: Option<(f64, Vec<f64>)>,
}

/// The best shares among those columns whose share is at least `least` now, if there are at most `columns` of them, the
/// budget has the work, and the solver finds them.
///
/// # Errors
/// [`Cancelled`] when the budget was.
pub fn corner(
    solver: &dyn Solver,
    program: &Program,
    shares: &[f64],
    least: f64,
    columns: usize,
    budget: &mut Budget,
) -> Result<Option<Corner>, Cancelled> {
    let grows = solver.gives_duals();
    let open = open(program, shares, least);
    let stays = |nodes: &[usize]| nodes.is_empty() || (nodes.len() == 1 && !grows);
    let stated = || open.iter().filter(|nodes| !stays(nodes));
    let wanted: usize = stated().map(Vec::len).sum();
    let work = wanted.saturating_mul(stated().count() + program.base.len()).saturating_mul(solver.work());
    let columns = columns.saturating_mul(USUAL) / solver.work().max(1);
    if wanted > columns || !budget.affords(work) || !budget.spend(work)? {
        return Ok(None);
    }
    let mut relaxation = Relaxation::new(program, &open, stays, unit(program, shares));
    let wanted = || !budget.is_cancelled();
    let limits = Limits { wanted: budget.is_cancellable().then_some(&wanted as &dyn Fn() -> bool), ..Limits::default() };
    let limits = Limits { time: grows.then_some(PATIENCE), ..limits };
    let (answer, best) = if grows {
        let mut pricing = Pricing::new(program, &relaxation, columns);
        let mut model = std::mem::take(&mut relaxation.model);
        let answer = solver.grow(&mut model, &limits, &mut |answer| pricing.more(answer));
        relaxation.columns = pricing.columns;
        (answer, pricing.best)
    } else {
        (solver.solve(&relaxation.model, &limits), None)
    };
    if budget.is_cancelled() {
        return Err(Cancelled);
    }
    let Some(answer) = answer.ok().filter(Answer::is_proven) else { return Ok(None) };
    let mut corner = vec![0.0; shares.len()];
    for (class, nodes) in open.iter().enumerate() {
        if let [node] = nodes[..]
            && stays(nodes)
        {
            corner[class * program.nodes + node] = 1.0;
        }
    }
    for ((class, node), share) in relaxation.columns.iter().zip(answer.values.iter().skip(1)) {
        corner[class * program.nodes + node] = if *share < LEAST { 0.0 } else { *share };
    }
    Ok(Some(Corner { shares: corner, proof: best.map(|dual| (dual.value, dual.prices)) }))
}

/// The nodes of each class that have a column.
fn open(program: &Program, shares: &[f64], least: f64) -> Vec<Vec<usize>> {
    let of = |class: usize| -> Vec<usize> {
        let share = |node: &usize| shares[class * program.nodes + node];
        let mut nodes: Vec<usize> = (0..program.nodes).filter(|node| share(node) >= least).collect();
        if nodes.is_empty() {
            nodes.extend((0..program.nodes).max_by(|a, b| share(a).total_cmp(&share(b))).filter(|node| share(node) > 0.0));
        }
        nodes
    };
    (0..program.classes()).map(of).collect()
}

/// The relaxation as a model: first the makespan, then a column for a class on a node; first the rows of nodes, then those of
/// classes.
struct Relaxation {
    model: Model,
    /// Class and node of each column but the first.
    columns: Vec<(usize, usize)>,
    /// The row of each class that has one.
    classes: Vec<Option<usize>>,
    unit: f64,
}

/// In what a model counts instead of seconds, so that its numbers are about 1: some power of two.
pub(super) fn unit(program: &Program, shares: &[f64]) -> f64 {
    let mut busy = program.base.clone();
    for class in 0..program.classes() {
        for node in 0..program.nodes {
            let tasks = f64::from(program.count(class)) * shares[class * program.nodes + node];
            if tasks > 0.0 {
                let rows = busy[node * program.rows..].iter_mut().zip(program.load(class, node));
                rows.for_each(|(row, load)| *row += tasks * load);
            }
        }
    }
    let makespan = busy.into_iter().fold(0.0, f64::max);
    if makespan > 0.0 && makespan.is_finite() { makespan.log2().round().exp2() } else { 1.0 }
}

impl Relaxation {
    fn new(program: &Program, open: &[Vec<usize>], stays: impl Fn(&[usize]) -> bool, unit: f64) -> Self {
        let mut fixed = program.base.clone();
        for (class, nodes) in open.iter().enumerate().filter(|(_, nodes)| stays(nodes)) {
            for node in nodes {
                let rows = fixed[node * program.rows..].iter_mut().zip(program.load(class, *node));
                rows.for_each(|(row, load)| *row += f64::from(program.count(class)) * load);
            }
        }
        let mut model = Model::default();
        let makespan = model.column(Column::between(1.0, 0.0, f64::INFINITY));
        for fixed in fixed {
            model.row(Row::at_most(-fixed / unit, vec![(makespan, -1.0)]));
        }
        let mut relaxation = Self { model, columns: vec![], classes: vec![None; open.len()], unit };
        for (class, nodes) in open.iter().enumerate().filter(|(_, nodes)| !stays(nodes)) {
            let row = relaxation.model.row(Row::equal(1.0, vec![]));
            relaxation.classes[class] = Some(row);
            for node in nodes {
                relaxation.model.push_with(column(program, class, *node, row, unit));
                relaxation.columns.push((class, *node));
            }
        }
        relaxation
    }
}

/// The share of a class on a node.
fn column(program: &Program, class: usize, node: usize, row: usize, unit: f64) -> NewColumn {
    let count = f64::from(program.count(class));
    let loads = program.load(class, node).iter().enumerate().filter(|(_, load)| **load > 0.0);
    let mut entries: Vec<(usize, f64)> = loads.map(|(at, load)| (node * program.rows + at, count * load / unit)).collect();
    entries.push((row, 1.0));
    NewColumn { column: Column::between(count * program.cost(class, node) / unit, 0.0, 1.0), entries }
}

/// Which columns are missing.
struct Pricing<'a> {
    program: &'a Program,
    sheet: Sheet<'a>,
    classes: Vec<Option<usize>>,
    columns: Vec<(usize, usize)>,
    known: BTreeSet<(usize, usize)>,
    /// Columns that may still be added.
    left: usize,
    turns: usize,
    unit: f64,
    best: Option<Dual>,
}

impl<'a> Pricing<'a> {
    fn new(program: &'a Program, relaxation: &Relaxation, left: usize) -> Self {
        let (classes, columns) = (relaxation.classes.clone(), relaxation.columns.clone());
        let known = columns.iter().copied().collect();
        Self { program, sheet: Sheet::new(program), classes, columns, known, left, turns: 0, unit: relaxation.unit, best: None }
    }

    fn more(&mut self, answer: &Answer) -> Vec<NewColumn> {
        self.turns += 1;
        let Some(duals) = &answer.duals else { return vec![] };
        // The rows of nodes are held from above: none is worth more than nothing.
        let mut prices: Vec<f64> = duals.rows.iter().take(self.program.base.len()).map(|dual| (-dual).max(0.0)).collect();
        let sum: f64 = prices.iter().sum();
        if sum <= 0.0 || !sum.is_finite() {
            return vec![];
        }
        prices.iter_mut().for_each(|price| *price /= sum);
        let dual = self.sheet.at(prices);
        let choice = dual.choice.clone();
        if self.best.as_ref().is_none_or(|best| dual.value > best.value) {
            self.best = Some(dual);
        }
        let bound = self.best.as_ref().map_or(0.0, |best| best.value);
        if self.turns >= TURNS || bound >= answer.objective * self.unit * (1.0 - CLOSE) {
            return vec![];
        }
        let mut more = vec![];
        for (class, node) in choice.into_iter().enumerate() {
            let (Some(node), Some(row)) = (node, self.classes[class]) else { continue };
            if self.left > 0 && self.known.insert((class, node)) {
                self.left -= 1;
                self.columns.push((class, node));
                more.push(column(self.program, class, node, row, self.unit));
            }
        }
        more
    }
}
