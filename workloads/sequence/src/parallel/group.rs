//! The ranks that compute one packed sequence together: one rank's end of them.

use std::{borrow::Cow, ops::Range};

use braid_kernels::attention::{Documents, Span};
use braid_workload::{
    Exchange,
    exchange::{ScanMethod, TypedExchange},
};

use super::{Layout, ParallelError, Shard, halo::Loans};

/// One rank of a group that computes a packed sequence together.
///
/// All ranks make the same calls in the same order, each with its own [`Shard`]. Calls block, and are made on compute threads. When
/// a rank fails, so do the others: those that wait for it at once, the rest when they next wait for anybody.
#[derive(Clone, Copy)]
pub struct SequenceGroup<'a> {
    pub(super) exchange: &'a dyn Exchange,
    pub(super) layout: &'a Layout,
    pub(super) method: Option<ScanMethod>,
}

impl<'a> SequenceGroup<'a> {
    /// The group of all members of `exchange`, which hold the sequence as `layout` says. Asks nobody.
    ///
    /// # Errors
    /// [`ParallelError::GroupSize`] when the layout is not one of this group.
    pub fn new(exchange: &'a dyn Exchange, layout: &'a Layout) -> Result<Self, ParallelError> {
        let group = Self { exchange, layout, method: None };
        if layout.ranks() == exchange.size() {
            return Ok(group);
        }
        group.or_abort(Err(ParallelError::GroupSize { layout: layout.ranks(), group: exchange.size() }))
    }

    /// Compares the layouts of all ranks: one small gather, for a caller who does not hand all of them the same plan.
    ///
    /// # Errors
    /// [`ParallelError::Layouts`] on every rank; those of the exchange.
    pub fn agree(&self) -> Result<(), ParallelError> {
        let mine = self.layout.digest();
        let mut all = vec![0; mine.len() * self.exchange.size()];
        self.exchange.all_gather_values(&mine, &mut all)?;
        let first = &all[..mine.len()];
        match all.chunks(mine.len()).position(|digest| digest != first) {
            Some(rank) => Err(ParallelError::Layouts { rank }),
            None => Ok(()),
        }
    }

    /// Exchanges the maps of states this way whatever their size. The same on all ranks.
    #[must_use]
    pub fn with_method(self, method: ScanMethod) -> Self {
        Self { method: Some(method), ..self }
    }

    /// The tokens of this rank.
    pub fn own(&self) -> Range<usize> {
        self.layout.own(self.rank())
    }

    /// Where the documents of the packed sequence begin.
    pub fn documents(&self) -> &'a Documents {
        self.layout.documents()
    }

    /// This rank.
    pub fn rank(&self) -> usize {
        self.exchange.rank()
    }

    /// Ends the exchange with an error of this rank's own, so that nobody waits for it.
    pub(super) fn or_abort<R>(&self, result: Result<R, ParallelError>) -> Result<R, ParallelError> {
        if let Err(error) = &result
            && !matches!(error, ParallelError::Exchange(_))
        {
            self.exchange.abort(&error.to_string());
        }
        result
    }

    /// The span of this rank over inputs that hold the rows of its loans.
    pub(super) fn span<'s, T: Clone>(&'s self, loans: &Loans, inputs: &'s [Cow<'_, [T]>], shard: &Shard<'s, T>) -> Span<'s, T> {
        Span {
            documents: self.layout.documents(),
            rows: loans.rows(),
            own: self.layout.own(self.rank()),
            inputs: inputs.iter().map(|input| &**input).collect(),
            params: shard.params.clone(),
        }
    }
}
