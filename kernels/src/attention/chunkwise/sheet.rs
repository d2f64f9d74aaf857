//! Some tokens of one head as an engine computes with them: queries, keys, values, gates; or the gradients of these.

use std::ops::Range;

use super::super::Real;

/// Elements a token of each part of a [`Sheet`]. A part that a family does not have has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Widths {
    /// Of queries and keys: rows of the state.
    pub(crate) key: usize,
    /// Of values: columns of the state.
    pub(crate) value: usize,
    /// Of the logarithm of the gate: 0, 1 (one for all channels) or as many as keys.
    pub(crate) gate: usize,
    /// Of the writing strength β: 0 or 1.
    pub(crate) beta: usize,
}

/// A part of a [`Sheet`] that comes from inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Queries,
    Keys,
    Values,
    Gates,
    Betas,
}

/// Rows of tokens, each part row-major and without gaps.
#[derive(Debug, Clone)]
pub(crate) struct Sheet<T> {
    pub(crate) widths: Widths,
    pub(crate) len: usize,
    pub(crate) q: Vec<T>,
    pub(crate) k: Vec<T>,
    pub(crate) v: Vec<T>,
    /// Logarithms of gates.
    pub(crate) g: Vec<T>,
    pub(crate) beta: Vec<T>,
    /// What a family keeps of each token beside, one number: the weight of a route.
    pub(crate) weight: Vec<T>,
}

impl<T: Real> Sheet<T> {
    /// Zeros.
    pub(crate) fn new(widths: Widths, len: usize) -> Self {
        let mut sheet = Self { widths, len: 0, q: vec![], k: vec![], v: vec![], g: vec![], beta: vec![], weight: vec![] };
        sheet.resize(len);
        sheet
    }

    /// A part, and how many elements a token has of it.
    pub(crate) fn part(&self, part: Part) -> (&[T], usize) {
        match part {
            Part::Queries => (&self.q, self.widths.key),
            Part::Keys => (&self.k, self.widths.key),
            Part::Values => (&self.v, self.widths.value),
            Part::Gates => (&self.g, self.widths.gate),
            Part::Betas => (&self.beta, self.widths.beta),
        }
    }

    /// A part to write to.
    pub(crate) fn part_mut(&mut self, part: Part) -> (&mut [T], usize) {
        match part {
            Part::Queries => (&mut self.q, self.widths.key),
            Part::Keys => (&mut self.k, self.widths.key),
            Part::Values => (&mut self.v, self.widths.value),
            Part::Gates => (&mut self.g, self.widths.gate),
            Part::Betas => (&mut self.beta, self.widths.beta),
        }
    }

    fn parts_mut(&mut self) -> [(&mut Vec<T>, usize); 6] {
        let Widths { key, value, gate, beta } = self.widths;
        [
            (&mut self.q, key),
            (&mut self.k, key),
            (&mut self.v, value),
            (&mut self.g, gate),
            (&mut self.beta, beta),
            (&mut self.weight, 1),
        ]
    }

    /// Makes room for `len` tokens; what the rows hold is then left open.
    pub(crate) fn resize(&mut self, len: usize) {
        self.len = len;
        for (part, width) in self.parts_mut() {
            part.resize(len * width, T::ZERO);
        }
    }

    /// `len` tokens of zeros.
    pub(crate) fn clear(&mut self, len: usize) {
        self.resize(len);
        for (part, _) in self.parts_mut() {
            part.fill(T::ZERO);
        }
    }

    /// Copies rows of a longer sheet into this one.
    pub(crate) fn take(&mut self, from: &mut Self, range: &Range<usize>) {
        self.resize(range.len());
        for ((part, width), (from, _)) in self.parts_mut().into_iter().zip(from.parts_mut()) {
            part.copy_from_slice(&from[range.start * width..range.end * width]);
        }
    }

    /// Copies all of this into the rows of a longer sheet.
    pub(crate) fn give(&mut self, into: &mut Self, range: &Range<usize>) {
        for ((part, width), (into, _)) in self.parts_mut().into_iter().zip(into.parts_mut()) {
            into[range.start * width..range.end * width].copy_from_slice(part);
        }
    }
}
