//! A whole answer at once: the longest task first, each to the node where it ends first. Classes of more tasks than it is worth
//! to look at one by one go in lots.

use super::{Program, Whole};

/// Lots that a class is cut into, at most.
const LOTS: u32 = 1024;

/// Places all tasks that may go anywhere.
pub fn list(program: &Program) -> Whole {
    let shortest = |class: usize| {
        let longest_row = |node| program.load(class, node).iter().copied().fold(0.0, f64::max);
        (0..program.nodes).filter(|node| program.allows(class, *node)).map(longest_row).fold(f64::INFINITY, f64::min)
    };
    let mut order: Vec<(usize, f64)> = (0..program.classes()).map(|class| (class, shortest(class))).collect();
    order.retain(|(_, seconds)| seconds.is_finite());
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut whole = Whole::none(program);
    let mut busy = program.base.clone();
    for (class, _) in order {
        complete(program, &mut whole, &mut busy, class);
    }
    whole
}

/// Places what is left of a class, each task or lot to where it ends first.
pub(super) fn complete(program: &Program, whole: &mut Whole, busy: &mut [f64], class: usize) {
    let mut left = program.count(class).saturating_sub(whole.placed(class));
    let lot = left.div_ceil(LOTS).max(1);
    while left > 0 {
        let size = lot.min(left);
        let Some(node) = first_done(program, busy, class, f64::from(size)) else { return };
        add(program, whole, busy, class, node, size);
        left -= size;
    }
}

fn first_done(program: &Program, busy: &[f64], class: usize, size: f64) -> Option<usize> {
    let mut best: Option<(f64, usize)> = None;
    for node in (0..program.nodes).filter(|node| program.allows(class, *node)) {
        let rows = busy[node * program.rows..(node + 1) * program.rows].iter().zip(program.load(class, node));
        let done = rows.map(|(busy, load)| busy + size * load).fold(0.0, f64::max) + size * program.cost(class, node);
        if best.is_none_or(|(least, _)| done < least) {
            best = Some((done, node));
        }
    }
    best.map(|(_, node)| node)
}

pub(super) fn add(program: &Program, whole: &mut Whole, busy: &mut [f64], class: usize, node: usize, size: u32) {
    let at = whole.get_mut(class, node);
    *at = at.saturating_add(size);
    let rows = busy[node * program.rows..(node + 1) * program.rows].iter_mut();
    rows.zip(program.load(class, node)).for_each(|(busy, load)| *busy += f64::from(size) * load);
}
