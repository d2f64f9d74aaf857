//! A better whole answer by moves and swaps from the node that is done last. Where none helps, a task is pushed to a node that
//! cannot take it, and what follows is looked at for a while: chains of moves that end better than they began. It ends where
//! none of these helps, or with the budget.

use super::{Budget, Cancelled, Program, Whole};

/// Moves and swaps after a push, at most.
const CHAIN: usize = 32;
/// Nodes that each task of the last one is pushed to.
const PUSHES: usize = 4;

/// Improves an answer.
///
/// # Errors
/// [`Cancelled`] when the budget was.
pub fn search(program: &Program, whole: Whole, budget: &mut Budget) -> Result<Whole, Cancelled> {
    let mut state = State::new(program, &whole);
    loop {
        state.descend(usize::MAX, budget)?;
        match state.pushed(budget)? {
            Some(better) => state = better,
            None => return Ok(state.whole()),
        }
    }
}

#[derive(Clone)]
struct State<'a> {
    program: &'a Program,
    busy: Vec<f64>,
    /// When each node is done.
    done: Vec<f64>,
    /// Classes on each node, and how many tasks.
    on: Vec<Vec<(usize, u32)>>,
}

/// Tasks of a class from one node to another, and perhaps one of another class back.
struct Change {
    from: usize,
    to: usize,
    class: usize,
    count: u32,
    back: Option<usize>,
    /// The later of the two, afterwards.
    later: f64,
}

impl<'a> State<'a> {
    fn new(program: &'a Program, whole: &Whole) -> Self {
        let busy = program.busy(whole);
        let on =
            |node| (0..program.classes()).map(|class| (class, whole.get(class, node))).filter(|(_, count)| *count > 0).collect();
        let on = (0..program.nodes).map(on).collect();
        let done = busy.chunks_exact(program.rows.max(1)).map(longest).collect();
        Self { program, busy, done, on }
    }

    fn whole(&self) -> Whole {
        let mut whole = Whole::none(self.program);
        for (node, on) in self.on.iter().enumerate() {
            on.iter().for_each(|(class, count)| *whole.get_mut(*class, node) = *count);
        }
        whole
    }

    /// Moves and swaps, so many at most, as long as they help.
    fn descend(&mut self, most: usize, budget: &mut Budget) -> Result<(), Cancelled> {
        for _ in 0..most {
            let Some(last) = self.last() else { return Ok(()) };
            let found = match self.best_move(last, budget)? {
                Some(change) => Some(change),
                None => self.best_swap(last, budget)?,
            };
            match found {
                Some(change) => self.apply(&change),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// The first state found that is done earlier, after a push of one task from the last node.
    fn pushed(&self, budget: &mut Budget) -> Result<Option<Self>, Cancelled> {
        let Some(last) = self.last() else { return Ok(None) };
        for &(class, _) in &self.on[last] {
            let mut to: Vec<(f64, usize)> = (0..self.program.nodes)
                .filter(|to| *to != last && self.program.allows(class, *to))
                .map(|to| (self.with(to, Some((class, 1.0)), None), to))
                .collect();
            to.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            for (later, to) in to.into_iter().take(PUSHES) {
                if !budget.spend(self.busy.len() + self.on.iter().map(Vec::len).sum::<usize>())? {
                    return Ok(None);
                }
                let mut trial = self.clone();
                trial.apply(&Change { from: last, to, class, count: 1, back: None, later });
                trial.descend(CHAIN, budget)?;
                let done = trial.last().map_or(0.0, |last| trial.done[last]);
                if done < self.done[last] * (1.0 - 1e-6) {
                    return Ok(Some(trial));
                }
            }
        }
        Ok(None)
    }

    fn last(&self) -> Option<usize> {
        (0..self.done.len()).max_by(|a, b| self.done[*a].total_cmp(&self.done[*b]).then(b.cmp(a)))
    }

    fn rows(&self, node: usize) -> &[f64] {
        &self.busy[node * self.program.rows..(node + 1) * self.program.rows]
    }

    /// When a node is done that takes in some tasks of a class and gives away one of another.
    fn with(&self, node: usize, added: Option<(usize, f64)>, gone: Option<(usize, f64)>) -> f64 {
        let mut latest: f64 = 0.0;
        for row in 0..self.program.rows {
            let of = |part: Option<(usize, f64)>| part.map_or(0.0, |(class, count)| count * self.program.load(class, node)[row]);
            latest = latest.max(self.rows(node)[row] + of(added) - of(gone));
        }
        latest
    }

    fn best_move(&self, last: usize, budget: &mut Budget) -> Result<Option<Change>, Cancelled> {
        let mut best: Option<Change> = None;
        for &(class, here) in &self.on[last] {
            if !budget.spend(2 * self.program.nodes * self.program.rows)? {
                return Ok(best);
            }
            let relief = longest(self.program.load(class, last)).max(f64::MIN_POSITIVE);
            for to in (0..self.program.nodes).filter(|to| *to != last && self.program.allows(class, *to)) {
                // As many as make the two end together, at least one.
                let even = (self.done[last] - self.done[to]) / (relief + longest(self.program.load(class, to)));
                let count = (even.max(1.0) as u32).clamp(1, here);
                let later =
                    self.with(last, None, Some((class, count.into()))).max(self.with(to, Some((class, count.into())), None));
                if later < best.as_ref().map_or(self.done[last] * (1.0 - 1e-9), |best| best.later) {
                    best = Some(Change { from: last, to, class, count, back: None, later });
                }
            }
        }
        Ok(best)
    }

    fn best_swap(&self, last: usize, budget: &mut Budget) -> Result<Option<Change>, Cancelled> {
        let mut best: Option<Change> = None;
        for &(class, _) in &self.on[last] {
            for to in (0..self.program.nodes).filter(|to| *to != last && self.program.allows(class, *to)) {
                if !budget.spend(3 * self.on[to].len() * self.program.rows)? {
                    return Ok(best);
                }
                let limit = best.as_ref().map_or(self.done[last] * (1.0 - 1e-9), |best| best.later);
                if self.done[to] >= limit {
                    continue;
                }
                for &(back, _) in &self.on[to] {
                    if back == class || !self.program.allows(back, last) {
                        continue;
                    }
                    let limit = best.as_ref().map_or(self.done[last] * (1.0 - 1e-9), |best| best.later);
                    let here = self.with(last, Some((back, 1.0)), Some((class, 1.0)));
                    if here >= limit {
                        continue;
                    }
                    let later = here.max(self.with(to, Some((class, 1.0)), Some((back, 1.0))));
                    if later < limit {
                        best = Some(Change { from: last, to, class, count: 1, back: Some(back), later });
                    }
                }
            }
        }
        Ok(best)
    }

    fn apply(&mut self, change: &Change) {
        self.shift(change.class, change.from, change.to, change.count);
        if let Some(back) = change.back {
            self.shift(back, change.to, change.from, 1);
        }
    }

    fn shift(&mut self, class: usize, from: usize, to: usize, count: u32) {
        let rows = self.program.rows;
        for (node, sign) in [(from, -1.0), (to, 1.0)] {
            for row in 0..rows {
                self.busy[node * rows + row] += sign * f64::from(count) * self.program.load(class, node)[row];
            }
            let on = &mut self.on[node];
            match on.iter_mut().find(|(other, _)| *other == class) {
                Some((_, here)) if sign < 0.0 => *here = here.saturating_sub(count),
                Some((_, here)) => *here = here.saturating_add(count),
                None => on.push((class, count)),
            }
            on.retain(|(_, count)| *count > 0);
            self.done[node] = longest(self.rows(node));
        }
    }
}

fn longest(rows: &[f64]) -> f64 {
    rows.iter().copied().fold(0.0, f64::max)
}
