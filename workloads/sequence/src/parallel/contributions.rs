//! What ranks give each other in layers without a state of fixed size: keys and values, or summaries, of every length.
//!
//! A rank needs those of the ranks that it shares a document with. Where one document goes through all ranks that is everyone's, and
//! they are gathered (LASP-2H); else each pair that shares one passes its own, and what nobody needs stays zero and is never sent.
//! Gradients go the same ways back: each rank gets what the others have for its contribution, added in rank order in f64 and rounded
//! once, as every sum of the exchange is. (A reduce-scatter whose shares are as long as contributions are.)

use std::ops::Range;

use braid_kernels::attention::Real;
use braid_workload::{Exchange, ExchangeError, exchange::TypedExchange};
use bytemuck::{Pod, cast_slice_mut};

use super::Layout;

/// The contributions of all ranks to one layer, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contributions {
    rank: usize,
    /// Where each begins, and the end of the last.
    starts: Vec<usize>,
    /// The others that this rank shares a document with.
    partners: Vec<usize>,
    /// Whether all ranks that have tokens, more than one, share documents with each other.
    together: bool,
}

impl Contributions {
    pub(super) fn new(layout: &Layout, rank: usize, len_of: impl Fn(usize) -> usize) -> Self {
        let with_tokens: Vec<usize> = (0..layout.ranks()).filter(|&rank| !layout.own(rank).is_empty()).collect();
        let ends = (0..layout.ranks()).scan(0, |end, rank| {
            *end += len_of(rank);
            Some(*end)
        });
        let share_all = |&rank: &usize| with_tokens.iter().all(|other| layout.sharing(rank).contains(other));
        let sharing = layout.sharing(rank);
        Self {
            rank,
            starts: [0].into_iter().chain(ends).collect(),
            together: with_tokens.len() > 1 && with_tokens.iter().all(share_all),
            partners: with_tokens.into_iter().filter(|&other| other != rank && sharing.contains(&other)).collect(),
        }
    }

    fn of(&self, rank: usize) -> Range<usize> {
        self.starts[rank]..self.starts[rank + 1]
    }

    /// Elements of all together.
    pub(super) fn total(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    /// The contributions that this rank needs, its own among them; zeros where the others would be.
    pub(super) fn gather<T: Real + Pod>(&self, exchange: &dyn Exchange, mine: Vec<T>) -> Result<Vec<T>, ExchangeError> {
        let alone = !self.together && self.partners.is_empty();
        if self.total() == 0 || (alone && mine.len() == self.total()) {
            return Ok(mine);
        }
        let mut shared = vec![T::ZERO; self.total()];
        shared[self.of(self.rank)].copy_from_slice(&mine);
        if self.together {
            let lens: Vec<usize> = self.starts.windows(2).map(|ends| (ends[1] - ends[0]) * size_of::<T>()).collect();
            exchange.all_gather_in_place(&lens, cast_slice_mut(&mut shared))?;
            return Ok(shared);
        }
        let sends: Vec<_> = self.partners.iter().filter(|_| !mine.is_empty()).map(|&to| (to, mine.as_slice())).collect();
        exchange.transfer_values(&sends, &mut self.partner_slots(&mut shared))?;
        Ok(shared)
    }

    /// This rank's part of the sum over ranks of the gradients of what they gathered.
    pub(super) fn scatter<T: Real + Pod>(&self, exchange: &dyn Exchange, d_shared: Vec<T>) -> Result<Vec<T>, ExchangeError> {
        let own = self.of(self.rank);
        if self.partners.is_empty() {
            let mut d_own = d_shared;
            d_own.truncate(own.end);
            d_own.drain(..own.start);
            return Ok(d_own);
        }
        let mut came = vec![T::ZERO; own.len() * self.partners.len()];
        let sends: Vec<_> =
            self.partners.iter().map(|&to| (to, &d_shared[self.of(to)])).filter(|(_, part)| !part.is_empty()).collect();
        let mut receives: Vec<_> = self.partners.iter().copied().zip(came.chunks_mut(own.len().max(1))).collect();
        exchange.transfer_values(&sends, &mut receives)?;
        let mut parts: Vec<(usize, &[T])> = receives.into_iter().map(|(from, part)| (from, &*part)).collect();
        parts.push((self.rank, &d_shared[own.clone()]));
        parts.sort_by_key(|part| part.0);
        Ok((0..own.len()).map(|i| T::of(parts.iter().map(|(_, part)| part[i].to_f64()).sum())).collect())
    }

    /// The places of the partners' contributions, but for empty ones.
    fn partner_slots<'a, T>(&self, shared: &'a mut [T]) -> Vec<(usize, &'a mut [T])> {
        let (mut rest, mut at) = (shared, 0);
        let slot = |&from: &usize| {
            let part = self.of(from);
            let (_, here) = std::mem::take(&mut rest).split_at_mut(part.start - at);
            let (slot, after) = here.split_at_mut(part.len());
            (rest, at) = (after, part.end);
            (from, slot)
        };
        self.partners.iter().map(slot).filter(|(_, slot)| !slot.is_empty()).collect()
    }
}
