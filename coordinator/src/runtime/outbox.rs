//! Holds back what tells of a change until the change is durable.
//!
//! Pure bookkeeping. Writes are numbered in the order in which they go to the writer, which makes them durable in that
//! order; what follows write `n` is released when `n` is.

use std::collections::VecDeque;

/// What waits for which write.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    waiting: VecDeque<(u64, T)>,
    sent: u64,
    durable: u64,
}

impl<T> Outbox<T> {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::new(), sent: 0, durable: 0 }
    }

    /// Numbers a write that goes to the writer now.
    pub(super) fn wrote(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// Holds an effect until all writes so far are durable. Gives it back when they are.
    pub(super) fn hold(&mut self, effect: T) -> Option<T> {
        if self.durable == self.sent {
            return Some(effect);
        }
        self.waiting.push_back((self.sent, effect));
        None
    }

    /// Write `n` and all before it are durable: what waited for them, in order.
    pub(super) fn durable(&mut self, n: u64) -> impl Iterator<Item = T> + '_ {
        self.durable = self.durable.max(n).min(self.sent);
        let ready = self.waiting.partition_point(|(after, _)| *after <= self.durable);
        self.waiting.drain(..ready).map(|(_, effect)| effect)
    }

    /// Writes that are not durable yet.
    pub(super) fn in_flight(&self) -> u64 {
        self.sent - self.durable
    }

    /// Whether everything written is durable.
    pub(super) fn is_flushed(&self) -> bool {
        self.in_flight() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Effects come out in order, each exactly once, and never before the writes ahead of it are durable.
        #[test]
        fn nothing_overtakes_a_write(steps in proptest::collection::vec(0u8..3, 0..200)) {
            let mut outbox = Outbox::new();
            let (mut held, mut out, mut acked) = (Vec::new(), Vec::new(), 0);
            for (step, kind) in steps.into_iter().enumerate() {
                match kind {
                    0 => { outbox.wrote(); }
                    1 => {
                        held.push((outbox.sent, step));
                        out.extend(outbox.hold((outbox.sent, step)));
                    }
                    _ if acked < outbox.sent => {
                        acked += 1;
                        out.extend(outbox.durable(acked));
                    }
                    _ => {}
                }
                prop_assert!(out.iter().all(|(after, _)| *after <= acked));
            }
            let last = outbox.sent;
            out.extend(outbox.durable(last));
            prop_assert!(outbox.is_flushed());
            prop_assert_eq!(out, held);
        }
    }
}
