//! Which rank holds which tokens of a packed sequence. Pure; the same on every rank, and all that a rank needs to know of the
//! others: who lends it rows, whose states reach it, with whom it shares a document.

use std::ops::Range;

use braid_kernels::attention::{Direction, Documents, Halo};
use braid_workload::exchange::share;

use super::ParallelError;

/// A packed sequence cut into consecutive parts, one a rank, in rank order. Parts may be empty and may begin anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    documents: Documents,
    /// Where parts begin, and the end: one more than ranks, ascending.
    cuts: Vec<usize>,
}

impl Layout {
    /// Parts that differ by one token at most. At least one rank.
    pub fn balanced(documents: Documents, ranks: usize) -> Self {
        let (tokens, ranks) = (documents.tokens(), ranks.max(1));
        let cuts = (0..ranks).map(|rank| share(tokens, ranks, rank).start).chain([tokens]).collect();
        Self { documents, cuts }
    }

    /// Parts of these lengths.
    ///
    /// # Errors
    /// [`ParallelError::Split`] when they are not the whole sequence, or there are none.
    pub fn of_lengths(documents: Documents, lengths: &[usize]) -> Result<Self, ParallelError> {
        let (ranks, tokens) = (lengths.len(), documents.tokens());
        let sum: u128 = lengths.iter().map(|&length| length as u128).sum();
        if ranks == 0 || sum != tokens as u128 {
            return Err(ParallelError::Split { ranks, sum, tokens });
        }
        let ends = lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        });
        Ok(Self { cuts: [0].into_iter().chain(ends).collect(), documents })
    }

    /// Where documents begin.
    pub fn documents(&self) -> &Documents {
        &self.documents
    }

    /// How many ranks there are.
    pub fn ranks(&self) -> usize {
        self.cuts.len() - 1
    }

    /// The tokens of a rank.
    ///
    /// # Panics
    /// When there is no such rank: a mistake of the caller.
    pub fn own(&self, rank: usize) -> Range<usize> {
        self.cuts[rank]..self.cuts[rank + 1]
    }

    /// The tokens that a rank reads: its own and its neighbours'. One without tokens reads nothing.
    pub fn rows(&self, rank: usize, halo: Halo) -> Range<usize> {
        let own = self.own(rank);
        if own.is_empty() {
            return own;
        }
        own.start.saturating_sub(halo.left)..own.end.saturating_add(halo.right).min(self.documents.tokens())
    }

    /// The tokens of rank `from` that rank `to` reads.
    pub(super) fn lent(&self, from: usize, to: usize, halo: Halo) -> Range<usize> {
        let (own, rows) = (self.own(from), self.rows(to, halo));
        let start = own.start.max(rows.start);
        start..own.end.min(rows.end).max(start)
    }

    fn owner(&self, token: usize) -> usize {
        self.cuts.partition_point(|&cut| cut <= token) - 1
    }

    /// The ranks that hold tokens of the documents that this rank has tokens of: itself, and those between which a document is
    /// cut. A rank without tokens shares with nobody; there may be some among others' ranks.
    pub fn sharing(&self, rank: usize) -> Range<usize> {
        let own = self.own(rank);
        if own.is_empty() {
            return rank..rank;
        }
        self.owner(self.documents.start_of(own.start))..self.owner(self.documents.end_of(own.end - 1) - 1) + 1
    }

    /// Whether a state that travels this way leaves the rank within a document: whether anybody needs the rank's map.
    pub(super) fn hands_on(&self, rank: usize, direction: Direction) -> bool {
        let sharing = self.sharing(rank);
        match direction {
            Direction::Forward => sharing.end > rank + 1,
            Direction::Reverse => sharing.start < rank,
        }
    }

    /// The ranks that a state passes, within a document, before it reaches this one: in the order in which it does.
    pub(super) fn passed(&self, rank: usize, direction: Direction) -> Vec<usize> {
        let sharing = self.sharing(rank);
        let with_tokens = |rank: &usize| !self.own(*rank).is_empty();
        match direction {
            Direction::Forward => (sharing.start..rank).filter(with_tokens).collect(),
            Direction::Reverse => (rank + 1..sharing.end).rev().filter(with_tokens).collect(),
        }
    }

    /// A digest of the documents and the split, to compare with that of others.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut hash = blake3::Hasher::new();
        let starts = self.documents.segments(0..self.documents.tokens()).map(|segment| segment.tokens.start);
        for place in self.cuts.iter().copied().chain(starts) {
            hash.update(&(place as u64).to_le_bytes());
        }
        hash.update(&(self.cuts.len() as u64).to_le_bytes());
        *hash.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout(documents: &[usize], ranks: &[usize]) -> Layout {
        Layout::of_lengths(Documents::of_lengths(documents.iter().copied()), ranks).unwrap()
    }

    #[test]
    fn a_split_has_to_be_one_of_the_sequence() {
        let documents = || Documents::of_lengths([3, 4]);
        let split = |ranks, sum| Err(ParallelError::Split { ranks, sum, tokens: 7 });
        assert_eq!(Layout::of_lengths(documents(), &[3, 3]), split(2, 6));
        assert_eq!(Layout::of_lengths(documents(), &[]), split(0, 0));
        assert_eq!(Layout::of_lengths(documents(), &[usize::MAX, 8]), split(2, usize::MAX as u128 + 8));
        assert_eq!(Layout::balanced(documents(), 3), layout(&[3, 4], &[3, 2, 2]));
        assert_eq!(Layout::balanced(documents(), 0).ranks(), 1);
    }

    #[test]
    fn states_travel_only_inside_documents() {
        use Direction::{Forward, Reverse};
        // Tokens 0..4 | 4..10 | 10..12 are documents.
        let layout = layout(&[4, 6, 2], &[4, 0, 3, 1, 2, 2]);
        let sharing: Vec<_> = (0..6).map(|rank| layout.sharing(rank)).collect();
        assert_eq!(sharing, [0..1, 1..1, 2..5, 2..5, 2..5, 5..6]);
        let hands_on = |way| (0..6).filter(|&rank| layout.hands_on(rank, way)).collect::<Vec<_>>();
        assert_eq!((hands_on(Forward), hands_on(Reverse)), (vec![2, 3], vec![3, 4]));
        assert_eq!((layout.passed(4, Forward), layout.passed(2, Reverse)), (vec![2, 3], vec![4, 3]));
        assert_eq!((layout.passed(2, Forward), layout.passed(5, Reverse)), (vec![], vec![]));
    }

    #[test]
    fn neighbours_may_lie_several_ranks_away() {
        let layout = layout(&[10], &[3, 1, 0, 1, 5]);
        let halo = Halo { left: 3, right: 1 };
        assert_eq!(layout.rows(4, halo), 2..10);
        let lenders: Vec<_> = (0..4).map(|from| layout.lent(from, 4, halo)).filter(|lent| !lent.is_empty()).collect();
        assert_eq!(lenders, [2..3, 3..4, 4..5]);
        assert_eq!(layout.rows(2, halo), 4..4);
    }

    proptest! {
        #[test]
        fn ranks_that_share_a_document_know_it_of_each_other(
            documents in prop::collection::vec(0usize..9, 1..6),
            cuts in prop::collection::vec(0usize..40, 0..7),
        ) {
            let documents = Documents::of_lengths(documents);
            let tokens = documents.tokens();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(tokens)).chain([0, tokens]).collect();
            cuts.sort_unstable();
            let layout = Layout { documents, cuts };
            let tokens_of = |rank| layout.own(rank);
            for a in 0..layout.ranks() {
                for b in (0..layout.ranks()).filter(|&b| !tokens_of(b).is_empty()) {
                    let one = |token| layout.documents.start_of(token);
                    let share = tokens_of(a).any(|x| tokens_of(b).any(|y| one(x) == one(y)));
                    prop_assert_eq!(layout.sharing(a).contains(&b), share, "ranks {} and {}", a, b);
                }
            }
        }
    }
}
