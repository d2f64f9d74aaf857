//! The rows that a rank reads of its neighbours: fetched before a layer is computed, their gradients given back after it.
//!
//! A rank lends rows of its own to every rank that reads them, however far away: where parts are shorter than the halo there are
//! several lenders on one side. Rows travel from the tensors that they lie in, one message a tensor and pair.

use std::{borrow::Cow, ops::Range};

use braid_kernels::attention::{Halo, Real, Tensor};
use braid_workload::{Exchange, ExchangeError, exchange::TypedExchange};
use bytemuck::Pod;

use super::Layout;

/// Tokens that pass between this rank and another.
type Loan = (usize, Range<usize>);

/// Who lends what to whom, as one rank sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loans {
    own: Range<usize>,
    rows: Range<usize>,
    /// From lower ranks, then from higher ones.
    borrowed: [Vec<Loan>; 2],
    lent: Vec<Loan>,
}

impl Loans {
    pub(super) fn new(layout: &Layout, rank: usize, halo: Halo) -> Self {
        let some = |(other, tokens): Loan| (!tokens.is_empty()).then_some((other, tokens));
        let borrowed = |from: Range<usize>| from.filter_map(|from| some((from, layout.lent(from, rank, halo)))).collect();
        let others = (0..layout.ranks()).filter(|&to| to != rank);
        Self {
            own: layout.own(rank),
            rows: layout.rows(rank, halo),
            borrowed: [borrowed(0..rank), borrowed(rank + 1..layout.ranks())],
            lent: others.filter_map(|to| some((to, layout.lent(rank, to, halo)))).collect(),
        }
    }

    /// The tokens that this rank reads.
    pub(super) fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    fn is_none(&self) -> bool {
        self.lent.is_empty() && self.rows == self.own
    }

    /// Lends the rows that others read and borrows those that this rank does.
    pub(super) fn fetch<T: Real + Pod>(
        &self,
        exchange: &dyn Exchange,
        tensors: &[Tensor],
        inputs: &[&[T]],
    ) -> Result<Neighbours<T>, ExchangeError> {
        if self.is_none() {
            return Ok(Neighbours { sides: vec![] });
        }
        let counts = [self.own.start - self.rows.start, self.rows.end - self.own.end];
        let mut sides: Vec<_> = tensors.iter().map(|tensor| counts.map(|rows| vec![T::ZERO; rows * tensor.width])).collect();
        let (mut sends, mut receives) = (vec![], vec![]);
        for ((tensor, input), sides) in tensors.iter().zip(inputs).zip(&mut sides) {
            sends.extend(self.lent.iter().map(|(to, tokens)| (*to, rows_of(input, tensor.width, self.own.start, tokens))));
            for (loans, side) in self.borrowed.iter().zip(sides) {
                receives.extend(slots(side, tensor.width, loans));
            }
        }
        exchange.transfer_values(&sends, &mut receives)?;
        Ok(Neighbours { sides })
    }

    /// Sends the gradients of borrowed rows to those whose rows they are, adds what comes of lent ones (in rank order), and leaves
    /// the gradients of this rank's own rows.
    pub(super) fn give_back<T: Real + Pod>(
        &self,
        exchange: &dyn Exchange,
        tensors: &[Tensor],
        gradients: &mut [Vec<T>],
    ) -> Result<(), ExchangeError> {
        if self.is_none() {
            return Ok(());
        }
        let lent: usize = self.lent.iter().map(|(_, tokens)| tokens.len()).sum();
        let mut came: Vec<_> = tensors.iter().map(|tensor| vec![T::ZERO; lent * tensor.width]).collect();
        let (mut sends, mut receives) = (vec![], vec![]);
        for ((tensor, gradient), came) in tensors.iter().zip(&*gradients).zip(&mut came) {
            let borrowed = self.borrowed.iter().flatten();
            sends.extend(borrowed.map(|(to, tokens)| (*to, rows_of(gradient, tensor.width, self.rows.start, tokens))));
            receives.extend(slots(came, tensor.width, &self.lent));
        }
        exchange.transfer_values(&sends, &mut receives)?;
        for ((tensor, gradient), came) in tensors.iter().zip(gradients).zip(came) {
            let place = |token: usize| (token - self.rows.start) * tensor.width;
            let mut came = came.as_slice();
            for (_, tokens) in &self.lent {
                let (now, later) = came.split_at(tokens.len() * tensor.width);
                gradient[place(tokens.start)..place(tokens.end)].iter_mut().zip(now).for_each(|(sum, &x)| *sum += x);
                came = later;
            }
            gradient.truncate(place(self.own.end));
            gradient.drain(..place(self.own.start));
        }
        Ok(())
    }
}

/// The rows of some tokens in a tensor whose first row is that of token `first`.
fn rows_of<'a, T>(tensor: &'a [T], width: usize, first: usize, tokens: &Range<usize>) -> &'a [T] {
    &tensor[(tokens.start - first) * width..(tokens.end - first) * width]
}

/// A place for the rows of each loan, one after the other.
fn slots<'a, T>(buffer: &'a mut [T], width: usize, loans: &[Loan]) -> Vec<(usize, &'a mut [T])> {
    let mut rest = buffer;
    let slot = |(rank, tokens): &Loan| {
        let (slot, after) = std::mem::take(&mut rest).split_at_mut(tokens.len() * width);
        rest = after;
        (*rank, slot)
    };
    loans.iter().map(slot).collect()
}

/// The rows before and after a rank's own, of each input. Empty where it reads none.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Neighbours<T> {
    sides: Vec<[Vec<T>; 2]>,
}

impl<T: Clone> Neighbours<T> {
    /// The inputs with their neighbours' rows around them; as they are where there are none.
    pub(super) fn around<'a>(&self, inputs: &[&'a [T]]) -> Vec<Cow<'a, [T]>> {
        let join = |(i, &input): (usize, &&'a [T])| match self.sides.get(i) {
            Some([before, after]) if !(before.is_empty() && after.is_empty()) => Cow::Owned([before, input, after].concat()),
            _ => Cow::Borrowed(input),
        };
        inputs.iter().enumerate().map(join).collect()
    }
}
