//! A better whole answer by moves and swaps drawn at random, which may also make it worse, less and less so (simulated
//! annealing, Kirkpatrick, Gelatt and Vecchi, Science 220, 1983). It finds its way out of where [`search`](super::search) ends.
//!
//! What is lowered is not the makespan, which nearly all moves leave as it is, but, with prices y in sum 1 and a bound B,
//!
//! ```text
//!   Σ y(j,r) busy(j,r) + cost  +  SHARP / (nodes B) Σ max(0, busy(j,r) - B)²
//! ```
//! The first part says what is lost by tasks that are where they are dear, the second what is lost by rows that are done late.
//! The dice are the same each time: the same problem has the same answer.

use super::{Budget, Cancelled, Program, Whole};

/// How much lateness weighs against dearness.
const SHARP: f64 = 100.0;
/// The cheapest nodes of each class, to which its tasks are moved.
const TARGETS: usize = 12;
/// The first temperature, in shares of what a task costs on average.
const HOT: f64 = 0.1;
/// The share by which an answer must be better to be written down.
const STEP: f64 = 1e-4;
/// Looks at a load that sorting a node among others costs.
const SORTING: usize = 16;
/// Moves between two looks at the budget.
const TURNS: u64 = 1024;
/// Moves below which it is not begun.
const LEAST_TURNS: u64 = 4 * TURNS;

/// Improves an answer with all of a budget. Prices and bound are those of the relaxation.
///
/// # Errors
/// [`Cancelled`] when the budget was.
pub fn anneal(program: &Program, whole: Whole, prices: &[f64], bound: f64, budget: &mut Budget) -> Result<Whole, Cancelled> {
    let cells = program.classes() * program.nodes;
    if program.nodes < 2 || cells == 0 || program.rows == 0 || bound <= 0.0 || !budget.spend(cells * (program.rows + SORTING))? {
        return Ok(whole);
    }
    let work = 48 + 24 * program.rows as u64;
    let turns = budget.left() / work;
    if turns < LEAST_TURNS {
        return Ok(whole);
    }
    let tasks: u64 = (0..program.classes()).map(|class| u64::from(whole.placed(class))).sum();
    let hot = HOT * bound / tasks.max(1) as f64;
    let mut state = State::new(program, &whole, prices, bound);
    let (mut best, mut least) = (whole, state.value());
    let dice = &mut Dice(0);
    for turn in 0..turns {
        if turn % TURNS == 0 && !budget.spend((TURNS * work) as usize)? {
            break;
        }
        let left = 1.0 - turn as f64 / turns as f64;
        let Some(change) = state.draw(dice) else { continue };
        let worse = state.difference(&change);
        if worse > 0.0 && dice.unit() >= (-worse / (hot * left * left)).exp() {
            continue;
        }
        state.apply(&change);
        if state.is_below(least * (1.0 - STEP)) && budget.spend(cells)? {
            (best, least) = (state.whole(), state.value());
        }
    }
    Ok(if state.is_below(least) { state.whole() } else { best })
}

struct State<'a> {
    program: &'a Program,
    prices: &'a [f64],
    bound: f64,
    /// What the square of a second too late weighs.
    sharp: f64,
    busy: Vec<f64>,
    costs: f64,
    /// A row that was too late for what was asked last.
    late: usize,
    /// Classes on each node, and how many tasks.
    on: Vec<Vec<(usize, u32)>>,
    /// Where the tasks of each class may go.
    targets: Vec<Vec<usize>>,
}

/// A task from one node to another, and perhaps one of another class back.
struct Change {
    from: usize,
    to: usize,
    class: usize,
    back: Option<usize>,
}

impl<'a> State<'a> {
    fn new(program: &'a Program, whole: &Whole, prices: &'a [f64], bound: f64) -> Self {
        let on = |node| {
            let on = (0..program.classes()).map(|class| (class, whole.get(class, node)));
            on.filter(|(_, count)| *count > 0).collect()
        };
        let busy = program.busy(whole);
        let costs = program.value(whole) - busy.iter().copied().fold(0.0, f64::max);
        let targets = (0..program.classes()).map(|class| cheapest(program, class, prices)).collect();
        let sharp = SHARP / (bound * program.nodes as f64);
        Self { program, prices, bound, sharp, busy, costs, late: 0, on: (0..program.nodes).map(on).collect(), targets }
    }

    fn value(&self) -> f64 {
        self.busy.iter().copied().fold(0.0, f64::max) + self.costs
    }

    /// Whether its value is below another. Mostly it is not, for the reason of the last time.
    fn is_below(&mut self, other: f64) -> bool {
        let limit = other - self.costs;
        if self.busy[self.late] < limit {
            match self.busy.iter().position(|busy| *busy >= limit) {
                Some(late) => self.late = late,
                None => return true,
            }
        }
        false
    }

    fn whole(&self) -> Whole {
        let mut whole = Whole::none(self.program);
        for (node, on) in self.on.iter().enumerate() {
            on.iter().for_each(|(class, count)| *whole.get_mut(*class, node) = *count);
        }
        whole
    }

    fn draw(&self, dice: &mut Dice) -> Option<Change> {
        let from = dice.below(self.program.nodes);
        let class = self.on[from].get(dice.below(self.on[from].len()))?.0;
        let to = *self.targets[class].get(dice.below(self.targets[class].len()))?;
        if to == from {
            return None;
        }
        if dice.below(2) == 0 {
            return Some(Change { from, to, class, back: None });
        }
        let back = self.on[to].get(dice.below(self.on[to].len()))?.0;
        (back != class && self.program.allows(back, from)).then_some(Change { from, to, class, back: Some(back) })
    }

    fn difference(&self, change: &Change) -> f64 {
        let Change { from, to, class, back } = *change;
        let (program, rows) = (self.program, self.program.rows);
        let mut sum = self.dearer(change);
        for row in 0..rows {
            let load = |class: Option<usize>, node| class.map_or(0.0, |class| program.load(class, node)[row]);
            let here = load(back, from) - load(Some(class), from);
            let there = load(Some(class), to) - load(back, to);
            sum += self.row(from * rows + row, here) + self.row(to * rows + row, there);
        }
        sum
    }

    /// By how much more the tasks cost, beyond their loads.
    fn dearer(&self, change: &Change) -> f64 {
        let cost = |class: Option<usize>, node| class.map_or(0.0, |class| self.program.cost(class, node));
        let Change { from, to, class, back } = *change;
        cost(Some(class), to) - cost(Some(class), from) + cost(back, from) - cost(back, to)
    }

    /// What more seconds in a row make worse.
    fn row(&self, at: usize, more: f64) -> f64 {
        let late = |busy: f64| (busy - self.bound).max(0.0).powi(2);
        self.prices[at] * more + self.sharp * (late(self.busy[at] + more) - late(self.busy[at]))
    }

    fn apply(&mut self, change: &Change) {
        self.costs += self.dearer(change);
        self.shift(change.class, change.from, change.to);
        if let Some(back) = change.back {
            self.shift(back, change.to, change.from);
        }
    }

    fn shift(&mut self, class: usize, from: usize, to: usize) {
        let rows = self.program.rows;
        for row in 0..rows {
            self.busy[from * rows + row] -= self.program.load(class, from)[row];
            self.busy[to * rows + row] += self.program.load(class, to)[row];
        }
        if let Some(at) = self.on[from].iter().position(|(other, _)| *other == class) {
            match self.on[from][at].1 {
                1 => drop(self.on[from].swap_remove(at)),
                _ => self.on[from][at].1 -= 1,
            }
        }
        match self.on[to].iter_mut().find(|(other, _)| *other == class) {
            Some((_, count)) => *count += 1,
            None => self.on[to].push((class, 1)),
        }
    }
}

/// The nodes where a task of a class is cheapest at these prices.
fn cheapest(program: &Program, class: usize, prices: &[f64]) -> Vec<usize> {
    let priced = |node: usize| {
        let loads = program.load(class, node).iter().zip(&prices[node * program.rows..]);
        loads.map(|(load, price)| load * price).sum::<f64>() + program.cost(class, node)
    };
    let allowed = (0..program.nodes).filter(|node| program.allows(class, *node));
    let mut nodes: Vec<(f64, usize)> = allowed.map(|node| (priced(node), node)).collect();
    nodes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    nodes.into_iter().take(TARGETS).map(|(_, node)| node).collect()
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): dice that fall alike on every machine and in every version.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`; 0 when that is 0.
    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    /// From 0 to below 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
