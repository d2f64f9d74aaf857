//! The collectives as rounds of messages. Small ones take one round; large ones move no byte more often than they must.
//!
//! | call | small | large | bytes a rank receives |
//! |---|---|---|---|
//! | all_gather | everyone sends to everyone | the same | those of the others |
//! | all_reduce | gather, everyone adds | each adds its share and sends it to everyone, block by block | 2·n·(W−1)/W |
//! | reduce_scatter | each adds its share | the same | n·(W−1)/W |
//! | broadcast | root sends to everyone | root deals out shares, gather of the shares | n |
//!
//! All links of a rank work at the same time, each rank begins with the one after it. A ring would move the same bytes in
//! W−1 rounds, each as slow as its slowest link; what it saves, connections, is not short at the sizes of a gang.

use super::{
    Call, Deadline, Exchange, ExchangeError, Group, Incoming, Operation, Outgoing, Transport,
    reduce::{Element, gathers_all, share, sum_in_rank_order},
};
use std::ops::Range;

/// What a link carries in the time that one more round takes: 30 µs at 2 GB/s.
pub(super) const ROUND_BYTES: usize = 64 << 10;
/// What a reduction receives before it adds. It stays in the second-level cache: what is added was just received, and what
/// is sent was just added.
const SCRATCH: usize = 1 << 20;

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
        self.gather_as(call, self.deadline(), mine, lens, out)
    }

    fn gather_as(
        &self,
        call: Call,
        deadline: Deadline,
        mine: Option<&[u8]>,
        lens: &[usize],
        out: &mut [u8],
    ) -> Result<(), ExchangeError> {
        let (own, others) = slots(out, lens, self.rank);
        let mine = match mine {
            None => own,
            Some(mine) => {
                own.copy_from_slice(mine);
                mine
            }
        };
        self.round(call, deadline, self.others().map(|to| (to, mine)), others)
    }

    pub(super) fn all_reduce<E: Element>(&self, values: &mut [E]) -> Result<(), ExchangeError> {
        let (size, total) = (self.size(), values.len());
        let (call, deadline) = (reduction::<E>(Operation::AllReduce, total), self.deadline());
        let mut scratch = Vec::new();
        if !gathers_all(size, size_of_val(values), ROUND_BYTES) {
            return self.reduce_in_blocks(call, deadline, values);
        }
        for block in blocks::<E>(size, total) {
            let block = within(&(0..total), &block);
            self.receive_shares(call, deadline, |_| &values[block.clone()], block.len(), &mut scratch)?;
            sum_in_rank_order(&mut values[block], self.rank, &scratch);
        }
        Ok(())
    }

    /// In each round, parts of one block go to the rank that adds them, and the sums of the block before to everyone.
    fn reduce_in_blocks<E: Element>(&self, call: Call, deadline: Deadline, values: &mut [E]) -> Result<(), ExchangeError> {
        let (size, total) = (self.size(), values.len());
        let blocks: Vec<_> = blocks::<E>(size, share(total, size, 0).len()).collect();
        let mut shares = shares(values, size, &blocks);
        let mut scratch = Vec::new();
        for turn in 0..=blocks.len() {
            // The first message of every way to reduce has the first ticket, so that ranks that go different ways find out.
            let (parts, sums) = (self.next_round(), self.next_round());
            let (mut sends, mut receives) = (Vec::with_capacity(size * 2), Vec::with_capacity(size * 2));
            let (before, rest) = shares.split_at_mut(self.rank);
            let (own, after) = rest.split_first_mut().unwrap_or_else(|| unreachable!("a rank of the group has a share"));
            let len = own.get(turn).map_or(0, |block| block.len());
            scratch.resize(len * (size - 1), E::zeroed());
            let mut slots = scratch.chunks_exact_mut(len.max(1));
            let mine = turn.checked_sub(1).and_then(|block| own.get(block));
            for (at, other) in before.iter_mut().chain(after).enumerate() {
                let rank = self.members[at + usize::from(at >= self.rank)];
                let (added, open) = other.split_at_mut(turn);
                if let (Some(mine), Some(theirs)) = (mine, added.last_mut()) {
                    sends.push(Outgoing { to: rank, ticket: sums, call, bytes: bytemuck::cast_slice(mine) });
                    receives.push(Incoming { from: rank, ticket: sums, call, bytes: bytemuck::cast_slice_mut(theirs) });
                }
                if let Some(part) = open.first() {
                    let slot = slots.next().unwrap_or_default();
                    sends.push(Outgoing { to: rank, ticket: parts, call, bytes: bytemuck::cast_slice(part) });
                    receives.push(Incoming { from: rank, ticket: parts, call, bytes: bytemuck::cast_slice_mut(slot) });
                }
            }
            self.transport.round(&sends, &mut receives, deadline).map_err(|cause| self.transport.end(cause))?;
            if let Some(block) = own.get_mut(turn) {
                sum_in_rank_order(block, self.rank, &scratch);
            }
        }
        Ok(())
    }

    pub(super) fn reduce_scatter<E: Element>(&self, values: &[E], out: &mut [E]) -> Result<(), ExchangeError> {
        let part = |rank| share(values.len(), self.size(), rank);
        let (own, got) = (part(self.rank), out.len());
        self.require(Operation::ReduceScatter, own.len() == got, || {
            format!("a result of {got} elements where the share of rank {} is {}", self.rank, own.len())
        })?;
        let (call, deadline) = (reduction::<E>(Operation::ReduceScatter, values.len()), self.deadline());
        out.copy_from_slice(&values[own]);
        let mut scratch = Vec::new();
        for block in blocks::<E>(self.size(), part(0).len()) {
            let own = within(&(0..out.len()), &block);
            let sends = |to| &values[within(&part(to), &block)];
            self.receive_shares(call, deadline, sends, own.len(), &mut scratch)?;
            sum_in_rank_order(&mut out[own], self.rank, &scratch);
        }
        Ok(())
    }

    /// Sends to each rank what `sends` says, and receives `len` elements from each of the others into `scratch`, in rank
    /// order.
    fn receive_shares<'a, E: Element>(
        &self,
        call: Call,
        deadline: Deadline,
        sends: impl Fn(usize) -> &'a [E],
        len: usize,
        scratch: &mut Vec<E>,
    ) -> Result<(), ExchangeError> {
        let from: Vec<usize> = (0..self.size()).filter(|&rank| rank != self.rank).collect();
        scratch.resize(len * from.len(), E::zeroed());
        let lens = vec![len * size_of::<E>(); from.len()];
        let receives = from.into_iter().zip(cut(bytemuck::cast_slice_mut(scratch), &lens));
        self.round(call, deadline, self.others().map(|to| (to, bytemuck::cast_slice(sends(to)))), receives)
    }

    pub(super) fn broadcast_from(&self, root: usize, bytes: &mut [u8]) -> Result<(), ExchangeError> {
        let size = self.size();
        let deadline = self.deadline();
        let call = Call { root: root as u32, ..Call::new(Operation::Broadcast, bytes.len()) };
        let others = self.others().filter(|&rank| rank != root);
        // From the root's link n·(W−1) bytes, or n and then n everywhere.
        if bytes.len() * size.saturating_sub(2) <= ROUND_BYTES {
            let bytes = &mut *bytes;
            return if self.rank == root {
                let bytes = &*bytes;
                self.round(call, deadline, others.map(|to| (to, bytes)), [].into_iter())
            } else {
                self.round(call, deadline, [].into_iter(), [(root, bytes)].into_iter())
            };
        }
        let lens: Vec<usize> = (0..size).map(|rank| share(bytes.len(), size, rank).len()).collect();
        if self.rank == root {
            let all = &*bytes;
            let parts = others.map(|to| (to, &all[share(all.len(), size, to)]));
            self.round(call, deadline, parts, [].into_iter())?;
            let mine = &all[share(all.len(), size, root)];
            return self.round(call, deadline, self.others().map(|to| (to, mine)), [].into_iter());
        }
        let (own, _) = slots(bytes, &lens, self.rank);
        self.round(call, deadline, [].into_iter(), [(root, own)].into_iter())?;
        let (own, parts) = slots(bytes, &lens, self.rank);
        let own = &*own;
        self.round(call, deadline, others.map(|to| (to, own)), parts)
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

/// The blocks of shares of `len` elements at most: the same for all ranks, with what `size` ranks receive of one in
/// [`SCRATCH`] bytes. At least one, so that ranks without elements hear of the others' calls, too.
fn blocks<E>(size: usize, len: usize) -> impl Iterator<Item = Range<usize>> {
    let block = (SCRATCH / size_of::<E>() / size.max(2)).max(1);
    (0..len.div_ceil(block).max(1)).map(move |index| index * block..(index + 1) * block)
}

/// The part of `all` that a range counted from its start covers.
fn within(all: &Range<usize>, part: &Range<usize>) -> Range<usize> {
    let at = |index: usize| all.start + index.min(all.len());
    at(part.start)..at(part.end)
}

/// The blocks of every rank's share of `values`.
fn shares<'a, E>(values: &'a mut [E], size: usize, blocks: &[Range<usize>]) -> Vec<Vec<&'a mut [E]>> {
    let (total, mut rest) = (values.len(), values);
    let mut take = |len| rest.split_off_mut(..len).unwrap_or_default();
    let all = (0..size).map(|rank| share(total, size, rank));
    all.map(|share| blocks.iter().map(|block| take(within(&share, block).len())).collect()).collect()
}

/// Cuts `out` into one slot per rank: that of `rank`, and those of the others with their ranks.
fn slots<'a>(out: &'a mut [u8], lens: &[usize], rank: usize) -> (&'a mut [u8], impl Iterator<Item = (usize, &'a mut [u8])>) {
    let mut all: Vec<(usize, &mut [u8])> = cut(out, lens).enumerate().collect();
    let (_, own) = all.remove(rank);
    (own, all.into_iter())
}

/// Cuts `bytes` into consecutive parts.
pub(super) fn cut<'a>(bytes: &'a mut [u8], lens: &[usize]) -> impl Iterator<Item = &'a mut [u8]> {
    let mut rest = bytes;
    lens.iter().map(move |&len| {
        let (part, after) = std::mem::take(&mut rest).split_at_mut(len);
        rest = after;
        part
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_every_share_once_and_are_as_many_on_all_ranks() {
        for (size, total) in [(1, 0), (3, 0), (3, 2), (2, 10_000_001), (5, 12_345_678)] {
            let longest = share(total, size, 0).len();
            for part in (0..size).map(|rank| share(total, size, rank)) {
                let blocks: Vec<_> = blocks::<f32>(size, longest).map(|block| within(&part, &block)).collect();
                assert!(blocks.iter().all(|block| block.len() * (size - 1) * size_of::<f32>() <= SCRATCH));
                blocks.windows(2).for_each(|pair| assert_eq!(pair[0].end, pair[1].start));
                assert_eq!(blocks[0].start..blocks[blocks.len() - 1].end, part, "{total} over {size}");
            }
        }
    }
}
