//! The collectives as rounds of messages. Small ones take one round; large ones move no byte more often than they must.
//!
//! | call | small | large | bytes a rank receives |
//! |---|---|---|---|
//! | all_gather | everyone sends to everyone | the same | those of the others |
//! | all_reduce | gather, everyone adds | each adds its share, gather of the shares | 2·n·(W−1)/W |
//! | reduce_scatter | each adds its share | the same | n·(W−1)/W |
//! | broadcast | root sends to everyone | root deals out shares, gather of the shares | n |
//!
//! All links of a rank work at the same time, each rank begins with the one after it. A ring would move the same bytes in
//! W−1 rounds, each as slow as its slowest link; what it saves, connections, is not short at the sizes of a gang.

use super::{
    Call, Exchange, ExchangeError, Group, Operation, Transport,
    reduce::{Element, gathers_all, share, sum_in_rank_order},
};
use std::ops::Range;

/// What a link carries in the time that one more round takes: 30 µs at 2 GB/s.
pub(super) const ROUND_BYTES: usize = 64 << 10;

impl<T: Transport> Group<T> {
    pub(super) fn check_gather(&self, mine: usize, lens: &[usize], out: usize) -> Result<(), ExchangeError> {
        let operation = Operation::AllGather;
        self.require(operation, lens.len() == self.size(), || format!("{} lengths for {} ranks", lens.len(), self.size()))?;
        self.require(operation, lens[self.rank] == mine, || format!("{mine} bytes where the lengths say {}", lens[self.rank]))?;
        let total: usize = lens.iter().sum();
        self.require(operation, total == out, || format!("a result of {out} bytes where the lengths add up to {total}"))
    }

    /// With `mine` or, without, what lies at its place in `out`.
    pub(super) fn gather(&self, mine: Option<&[u8]>, lens: &[usize], out: &mut [u8]) -> Result<(), ExchangeError> {
        let call = Call::new(Operation::AllGather, out.len());
        self.gather_as(call, mine, lens, out)
    }

    fn gather_as(&self, call: Call, mine: Option<&[u8]>, lens: &[usize], out: &mut [u8]) -> Result<(), ExchangeError> {
        let (own, others) = slots(out, lens, self.rank);
        let mine = match mine {
            None => own,
            Some(mine) => {
                own.copy_from_slice(mine);
                mine
            }
        };
        self.round(call, self.deadline(), self.others().map(|to| (to, mine)), others)
    }

    pub(super) fn all_reduce<E: Element>(&self, values: &mut [E]) -> Result<(), ExchangeError> {
        let size = self.size();
        let call = reduction::<E>(Operation::AllReduce, values.len());
        if gathers_all(size, size_of_val(values), ROUND_BYTES) {
            let mine = values.to_vec();
            return self.add_shares(call, |_| 0..mine.len(), &mine, values);
        }
        let total = values.len();
        let part = |rank| share(total, size, rank);
        let mut own = values[part(self.rank)].to_vec();
        self.add_shares(call, part, values, &mut own)?;
        values[part(self.rank)].copy_from_slice(&own);
        let lens: Vec<usize> = (0..size).map(|rank| part(rank).len() * size_of::<E>()).collect();
        self.gather_as(call, None, &lens, bytemuck::cast_slice_mut(values))
    }

    pub(super) fn reduce_scatter<E: Element>(&self, values: &[E], out: &mut [E]) -> Result<(), ExchangeError> {
        let part = |rank| share(values.len(), self.size(), rank);
        let (own, got) = (part(self.rank), out.len());
        self.require(Operation::ReduceScatter, own.len() == got, || {
            format!("a result of {got} elements where the share of rank {} is {}", self.rank, own.len())
        })?;
        out.copy_from_slice(&values[own]);
        self.add_shares(reduction::<E>(Operation::ReduceScatter, values.len()), part, values, out)
    }

    /// Sends to each rank its part of `values`; adds what comes to `own`, which is this rank's own part.
    fn add_shares<E: Element>(
        &self,
        call: Call,
        part: impl Fn(usize) -> Range<usize>,
        values: &[E],
        own: &mut [E],
    ) -> Result<(), ExchangeError> {
        let len = own.len();
        if self.size() == 1 {
            return Ok(());
        }
        let mut scratch = vec![E::zeroed(); len * (self.size() - 1)];
        {
            // chunks_mut(0) panics; a rank without a part still hears the others' calls, with nothing in them.
            let mut rest = scratch.as_mut_slice();
            let from = (0..self.size()).filter(|&rank| rank != self.rank);
            let slots: Vec<_> = from
                .map(|from| {
                    let (slot, after) = std::mem::take(&mut rest).split_at_mut(len);
                    rest = after;
                    (from, bytemuck::cast_slice_mut(slot))
                })
                .collect();
            let sends = self.others().map(|to| (to, bytemuck::cast_slice(&values[part(to)])));
            self.round(call, self.deadline(), sends, slots.into_iter())?;
        }
        let others: Vec<&[E]> = (0..self.size() - 1).map(|at| &scratch[at * len..(at + 1) * len]).collect();
        sum_in_rank_order(own, self.rank, &others);
        Ok(())
    }

    pub(super) fn broadcast_from(&self, root: usize, bytes: &mut [u8]) -> Result<(), ExchangeError> {
        let size = self.size();
        let call = Call { root: root as u32, ..Call::new(Operation::Broadcast, bytes.len()) };
        let others = self.others().filter(|&rank| rank != root);
        // From the root's link n·(W−1) bytes, or n and then n everywhere.
        if bytes.len() * size.saturating_sub(2) <= ROUND_BYTES {
            let bytes = &mut *bytes;
            return if self.rank == root {
                let bytes = &*bytes;
                self.round(call, self.deadline(), others.map(|to| (to, bytes)), [].into_iter())
            } else {
                self.round(call, self.deadline(), [].into_iter(), [(root, bytes)].into_iter())
            };
        }
        let lens: Vec<usize> = (0..size).map(|rank| share(bytes.len(), size, rank).len()).collect();
        if self.rank == root {
            let all = &*bytes;
            let parts = others.map(|to| (to, &all[share(all.len(), size, to)]));
            self.round(call, self.deadline(), parts, [].into_iter())?;
            let mine = &all[share(all.len(), size, root)];
            return self.round(call, self.deadline(), self.others().map(|to| (to, mine)), [].into_iter());
        }
        let (own, _) = slots(bytes, &lens, self.rank);
        self.round(call, self.deadline(), [].into_iter(), [(root, own)].into_iter())?;
        let (own, parts) = slots(bytes, &lens, self.rank);
        let own = &*own;
        self.round(call, self.deadline(), others.map(|to| (to, own)), parts)
    }

    pub(super) fn meet(&self) -> Result<(), ExchangeError> {
        let nothing: &[u8] = &[];
        let call = Call::new(Operation::Barrier, 0);
        let none = self.others().map(|from| (from, <&mut [u8]>::default()));
        self.round(call, self.deadline(), self.others().map(|to| (to, nothing)), none)
    }
}

fn reduction<E: Element>(operation: Operation, elements: usize) -> Call {
    Call { element: size_of::<E>() as u8, ..Call::new(operation, elements * size_of::<E>()) }
}

/// Cuts `out` into one slot per rank: that of `rank`, and those of the others with their ranks.
fn slots<'a>(out: &'a mut [u8], lens: &[usize], rank: usize) -> (&'a mut [u8], impl Iterator<Item = (usize, &'a mut [u8])>) {
    let mut rest = out;
    let mut all: Vec<(usize, &mut [u8])> = lens
        .iter()
        .map(|&len| {
            let (slot, after) = std::mem::take(&mut rest).split_at_mut(len);
            rest = after;
            slot
        })
        .enumerate()
        .collect();
    let (_, own) = all.remove(rank);
    (own, all.into_iter())
}
