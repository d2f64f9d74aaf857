//! Which waiting batches go into the next transaction. Pure.
//!
//! Batches are taken in order and whole. Only one that exceeds the limits by itself is cut, and then each transaction
//! holds a prefix of what remains. Within a transaction a later operation on a key replaces the earlier one.

use crate::store::{Key, MAX_KEY, MAX_OPS, MAX_TRANSACTION, Op, Revision};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
};

/// Bytes that the operations of one transaction may have; the guard of the fence needs the rest.
const MAX_BYTES: usize = MAX_TRANSACTION - MAX_KEY;

/// Called when a batch is durable.
pub(super) type OnDurable = Box<dyn FnOnce(Revision) + Send>;

/// What a caller wants written together.
pub(super) struct Batch {
    ops: VecDeque<Op>,
    on_durable: OnDurable,
}

/// What fits into one transaction.
#[derive(Default)]
pub(super) struct Packed {
    /// At most one of a key. Empty if all the batches were.
    pub(super) ops: Vec<Op>,
    /// Of the batches that are durable with it, in order.
    pub(super) on_durable: Vec<OnDurable>,
    at: HashMap<Key, usize>,
    bytes: usize,
}

impl Batch {
    pub(super) fn new(ops: Vec<Op>, on_durable: OnDurable) -> Self {
        Self { ops: ops.into(), on_durable }
    }
}

/// Takes from the front of the queue what fits into one transaction.
pub(super) fn pack(queue: &mut VecDeque<Batch>) -> Packed {
    let mut packed = Packed::default();
    while let Some(batch) = queue.front_mut() {
        if !packed.fits(&batch.ops) {
            if packed.ops.is_empty() {
                packed.take_prefix(&mut batch.ops);
            }
            break;
        }
        if let Some(batch) = queue.pop_front() {
            batch.ops.into_iter().for_each(|op| packed.push(op));
            packed.on_durable.push(batch.on_durable);
        }
    }
    packed
}

impl Packed {
    /// Whether all of these fit beside what is there. May say no where folding within the batch would just make room.
    fn fits(&self, ops: &VecDeque<Op>) -> bool {
        let (mut new, mut bytes) = (HashSet::new(), self.bytes);
        // A batch may be a hundred thousand operations: it is asked again for each transaction that it is cut into.
        ops.iter().all(|op| {
            bytes += op.size();
            if !self.at.contains_key(op.key()) {
                new.insert(op.key());
            }
            self.ops.len() + new.len() <= MAX_OPS && bytes <= MAX_BYTES
        })
    }

    /// Takes operations while they fit. Takes at least one when empty, since one alone always fits.
    fn take_prefix(&mut self, ops: &mut VecDeque<Op>) {
        while let Some(op) = ops.front() {
            let more = usize::from(!self.at.contains_key(op.key()));
            if self.ops.len() + more > MAX_OPS || self.bytes + op.size() > MAX_BYTES {
                break;
            }
            if let Some(op) = ops.pop_front() {
                self.push(op);
            }
        }
    }

    fn push(&mut self, op: Op) {
        self.bytes += op.size();
        match self.at.get(op.key()).and_then(|&at| self.ops.get_mut(at)) {
            Some(earlier) => {
                self.bytes -= earlier.size();
                *earlier = op;
            }
            None => {
                self.at.insert(op.key().clone(), self.ops.len());
                self.ops.push(op);
            }
        }
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} operations of {} bytes, {} batches", self.ops.len(), self.bytes, self.on_durable.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MAX_RECORD, Transaction};
    use proptest::prelude::*;
    use std::{
        collections::BTreeMap,
        sync::{Arc, Mutex},
    };

    type Model = BTreeMap<Key, Option<Vec<u8>>>;

    fn apply<'a>(model: &mut Model, ops: impl IntoIterator<Item = &'a Op>) {
        for op in ops {
            match op {
                Op::Put(key, value) => model.insert(key.clone(), Some(value.to_vec())),
                Op::Delete(key) => model.insert(key.clone(), None),
            };
        }
    }

    fn op() -> impl Strategy<Value = Op> {
        let size = prop_oneof![9 => 0..20_usize, 1 => MAX_RECORD - 10..=MAX_RECORD];
        (0..300_u32, prop::option::weighted(0.9, size), any::<u8>()).prop_map(|(key, size, fill)| match size {
            Some(size) => Op::put(format!("k{key}"), vec![fill; size]),
            None => Op::delete(format!("k{key}")),
        })
    }

    /// Packs batches to the end, and returns the state after each transaction with the batches durable by then.
    fn pack_all(batches: &[Vec<Op>]) -> Vec<(Model, usize)> {
        let acked = Arc::new(Mutex::new(Vec::new()));
        let mut queue: VecDeque<Batch> = VecDeque::new();
        for (number, ops) in batches.iter().enumerate() {
            let acked = Arc::clone(&acked);
            queue.push_back(Batch::new(ops.clone(), Box::new(move |_| acked.lock().unwrap().push(number))));
        }
        let (mut model, mut states) = (Model::new(), Vec::new());
        while !queue.is_empty() {
            let packed = pack(&mut queue);
            assert!(!packed.ops.is_empty() || !packed.on_durable.is_empty(), "no progress");
            Transaction::new(vec![], packed.ops.clone()).unwrap();
            apply(&mut model, &packed.ops);
            packed.on_durable.into_iter().for_each(|ack| ack(Revision(1)));
            states.push((model.clone(), acked.lock().unwrap().len()));
        }
        assert_eq!(*acked.lock().unwrap(), (0..batches.len()).collect::<Vec<_>>());
        states
    }

    proptest! {
        /// Each transaction leaves the state after a prefix of all operations; it ends between two batches unless the
        /// batch it cuts is too big for one transaction.
        #[test]
        fn every_transaction_is_a_prefix(batches in prop::collection::vec(prop::collection::vec(op(), 0..250), 1..8)) {
            let ops: Vec<&Op> = batches.iter().flatten().collect();
            let ends: Vec<usize> = batches.iter().scan(0, |end, batch| { *end += batch.len(); Some(*end) }).collect();
            let (mut expected, mut applied) = (Model::new(), 0);
            for (state, acked) in pack_all(&batches) {
                let must = acked.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0);
                apply(&mut expected, ops[applied..must.max(applied)].iter().copied());
                applied = applied.max(must);
                while expected != state {
                    prop_assert!(applied < ops.len(), "not the state after any prefix");
                    apply(&mut expected, [ops[applied]]);
                    applied += 1;
                }
                if applied > must {
                    let cut = &batches[acked];
                    let keys: HashSet<_> = cut.iter().map(Op::key).collect();
                    let bytes: usize = cut.iter().map(Op::size).sum();
                    prop_assert!(keys.len() > MAX_OPS || bytes > MAX_BYTES, "a batch that fits was cut");
                }
            }
        }
    }

    #[test]
    fn small_batches_fill_a_transaction_and_hot_keys_take_one_place() {
        let acked = |batches: &[Vec<Op>]| pack_all(batches).iter().map(|(_, acked)| *acked).collect::<Vec<_>>();
        let job_and_task = |n: u32| vec![Op::put("job/1", n.to_string().into_bytes()), Op::put(format!("task/1/{n}"), *b"x")];
        assert_eq!(acked(&(0..150).map(job_and_task).collect::<Vec<_>>()), [99, 150]);
        let large = vec![Op::put("job/1", vec![0; MAX_RECORD])];
        assert_eq!(acked(&vec![large; 40]), [40]);
    }
}
