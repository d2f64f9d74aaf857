//! What a node holds, and how much more of something it may be given. Arithmetic alone: no choice between nodes.
//!
//! Wide and narrow tasks run side by side in lanes of their own, as the worker's queue has it; memory and GPUs they share.

use super::{Candidate, Waiting};
use crate::model::Class;

/// Seconds of work that a node may hold beyond what it runs.
pub(crate) const AHEAD: f64 = 0.25;
/// Tasks that a node may hold at most, however short they are.
pub(super) const MOST: u32 = 1024;

/// The tasks that a node holds, summed up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// Wide ones.
    pub wide: u32,
    /// Narrow ones.
    pub narrow: u32,
    /// Threads of the narrow ones.
    pub threads: u32,
    /// Bytes of memory that they need.
    pub memory: u64,
    /// GPUs that they have for themselves.
    pub gpus: u32,
    /// Bytes that they have still to read and write.
    pub backlog: f64,
}

impl Load {
    /// Takes a task on.
    pub fn add(&mut self, class: &Class, bytes: f64) {
        if class.wide {
            self.wide = self.wide.saturating_add(1);
        } else {
            self.narrow = self.narrow.saturating_add(1);
            self.threads = self.threads.saturating_add(class.threads);
        }
        self.memory = self.memory.saturating_add(class.memory);
        self.gpus = self.gpus.saturating_add(class.gpus);
        self.backlog += bytes.max(1.0);
    }
}

impl Candidate {
    /// Whether such a task could ever run here, were nothing else there.
    pub(super) fn fits(&self, class: &Waiting) -> bool {
        self.offer.could_run(&class.kind, &class.class)
    }

    /// How many such tasks run at once where nothing else does. One that asks for more memory or threads than there are runs
    /// alone.
    pub(super) fn capacity(&self, class: &Class) -> u32 {
        let by_gpus = per(self.offer.gpus.count.into(), class.gpus.into());
        self.lanes(class).min(self.portions(class)).min(by_gpus)
    }

    /// How many such tasks, members of a gang, would start at this moment.
    pub(crate) fn free(&self, class: &Class) -> u32 {
        let crossed = if class.wide { self.load.narrow > 0 } else { self.load.wide > 0 };
        if crossed { 0 } else { self.unused(class) }
    }

    /// How many more such tasks the node may be given now: what it can run at once, and a little ahead, so that the next is
    /// there when one ends. On GPUs nothing is handed ahead: whoever has them is to use them.
    pub(crate) fn room(&self, class: &Class, seconds: Option<f64>) -> u32 {
        if class.gpus > 0 {
            return self.unused(class).min(MOST);
        }
        let at_once = self.capacity(class).min(MOST);
        let ahead = match seconds {
            Some(seconds) if seconds > 0.0 => (AHEAD * f64::from(at_once) / seconds).ceil().min(f64::from(MOST)) as u32,
            Some(_) => MOST,
            None => at_once,
        };
        let left = |whole: u32, used: u32| whole.saturating_add(ahead.max(1)).min(MOST).saturating_sub(used);
        left(self.lanes(class), self.lanes_used(class)).min(left(self.portions(class), self.portions_used(class)))
    }

    /// How many such tasks would start if their kind of lane, wide or narrow, had no others: as a task in no gang does.
    pub(crate) fn unused(&self, class: &Class) -> u32 {
        let used = if class.wide { self.load.wide } else { self.narrow_used(class) };
        let by_memory = per(self.offer.memory.saturating_sub(self.load.memory), class.memory);
        let by_gpus = per(self.offer.gpus.count.saturating_sub(self.load.gpus).into(), class.gpus.into());
        self.lanes(class).saturating_sub(used).min(by_memory).min(by_gpus)
    }

    fn lanes(&self, class: &Class) -> u32 {
        if class.wide { 1 } else { (self.offer.threads / class.threads.max(1)).max(1) }
    }

    /// Tasks that it holds, wide and narrow, counted in lanes of a class.
    fn lanes_used(&self, class: &Class) -> u32 {
        let narrow = if class.wide { self.load.narrow } else { self.narrow_used(class) };
        self.load.wide.saturating_add(narrow)
    }

    fn narrow_used(&self, class: &Class) -> u32 {
        self.load.threads.div_ceil(class.threads.max(1))
    }

    /// How often what a task holds is in the memory.
    fn portions(&self, class: &Class) -> u32 {
        per(self.offer.memory, class.memory).max(1)
    }

    fn portions_used(&self, class: &Class) -> u32 {
        self.load.memory.checked_div(class.memory).map_or(0, |units| u32::try_from(units).unwrap_or(u32::MAX))
    }
}

/// How many parts of a size there are in a whole; no size has no end.
fn per(whole: u64, part: u64) -> u32 {
    whole.checked_div(part).map_or(u32::MAX, |most| u32::try_from(most).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Gpus, Inventory};
    use braid_workload::NodeId;
    use std::sync::Arc;

    fn node(threads: u32, memory: u64, gpus: u32) -> Candidate {
        let gpus = Gpus { count: gpus, ..Gpus::default() };
        Candidate {
            node: NodeId("a".into()),
            offer: Arc::new(Inventory { threads, memory, gpus, ..Inventory::default() }),
            ..Candidate::default()
        }
    }

    /// Gives as many tasks of a class as there is room for, and counts them.
    fn filled(node: &mut Candidate, class: &Class) -> u32 {
        let mut given = 0;
        while node.room(class, Some(60.0)) > 0 {
            node.load.add(class, 1.0);
            given += 1;
        }
        given
    }

    #[test]
    fn the_scarcest_of_threads_memory_and_gpus_counts() {
        // threads, memory, GPUs; then what one task takes of each; what runs at once
        let cases = [
            ((8, 100, 0), (1, 0, 0), 8),
            ((8, 100, 0), (3, 0, 0), 2),
            ((8, 100, 0), (1, 30, 0), 3),
            ((8, 100, 4), (1, 30, 2), 2),
            ((8, 100, 4), (1, 10, 5), 0),
            // More than there is runs alone, as the worker has it.
            ((2, 100, 0), (4, 0, 0), 1),
            ((2, 100, 0), (1, 200, 0), 1),
        ];
        for ((threads, memory, gpus), (each, bytes, cards), expected) in cases {
            let class = Class { threads: each, memory: bytes, gpus: cards, ..Class::default() };
            assert_eq!(node(threads, memory, gpus).capacity(&class), expected, "{class:?}");
        }
    }

    #[test]
    fn gpus_are_never_given_away_twice_nor_ahead() {
        let class = |gpus| Class { gpus, ..Class::default() };
        let mut node = node(16, 100, 8);
        node.load.add(&class(3), 1.0);
        assert_eq!(filled(&mut node, &class(2)), 2);
        assert_eq!(node.load.gpus, 7);
        assert_eq!(node.room(&class(2), Some(0.001)), 0);
        assert_eq!(filled(&mut node, &class(0)), 14, "what needs none goes on: 16 threads, one more ahead, three taken");
    }

    #[test]
    fn wide_threads_count_in_tasks_of_the_class() {
        let mut node = node(8, 100, 0);
        node.load.add(&Class { threads: 6, ..Class::default() }, 1.0);
        assert_eq!((node.free(&Class::default()), node.free(&Class { threads: 4, ..Class::default() })), (2, 0));
    }
}
