//! A matrix for each head that its queries or keys are multiplied by.

use std::ops::Range;

use rayon::prelude::*;

use super::super::{
    Gradients, Matrix, MatrixMut, Real, Span, Update,
    heads::{Columns, add, add_columns},
    product,
};

/// `logits = x · W`, W of width × logits, one for each head of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Projection {
    /// The place of x among the inputs.
    pub(crate) input: usize,
    /// The place of W among the parameters.
    pub(crate) param: usize,
    pub(crate) heads: usize,
    /// Elements of a row of one head of x.
    pub(crate) width: usize,
    pub(crate) logits: usize,
    /// Whether the parameter holds Wᵀ.
    pub(crate) transposed: bool,
}

impl Projection {
    fn rows<'a, T: Real>(&self, span: &Span<'a, T>, head: usize, rows: Range<usize>) -> Matrix<'a, T> {
        Columns::head(span.inputs[self.input], self.heads, self.width, head).rows(rows)
    }

    /// W of one head.
    fn weights<'a, T: Real>(&self, span: &Span<'a, T>, head: usize) -> Matrix<'a, T> {
        let (width, logits) = (self.width, self.logits);
        let data = &span.params[self.param][head * width * logits..][..width * logits];
        if self.transposed { Matrix::dense(data, logits, width).t() } else { Matrix::dense(data, width, logits) }
    }

    /// Writes `scale ·` logits of some rows; each row of `out` begins `stride` elements after the one before.
    pub(crate) fn apply<T: Real>(
        &self,
        span: &Span<'_, T>,
        head: usize,
        rows: Range<usize>,
        scale: f64,
        (out, stride): (&mut [T], usize),
    ) {
        let out = MatrixMut::new(out, rows.len(), self.logits, stride);
        product(Update::Set, out, T::of(scale), self.rows(span, head, rows), self.weights(span, head));
    }

    fn back<T: Real>(&self, span: &Span<'_, T>, head: usize, rows: Range<usize>, d: Matrix<'_, T>, learn: bool) -> Back<T> {
        let (width, logits) = (self.width, self.logits);
        let mut d_x = vec![T::ZERO; rows.len() * width];
        let out = MatrixMut::dense(&mut d_x, rows.len(), width);
        product(Update::Set, out, T::ONE, d, self.weights(span, head).t());
        let mut d_weights = vec![T::ZERO; if learn { width * logits } else { 0 }];
        if learn {
            let x = self.rows(span, head, rows);
            let (rows, cols, a, b) = if self.transposed { (logits, width, d.t(), x) } else { (width, logits, x.t(), d) };
            product(Update::Set, MatrixMut::dense(&mut d_weights, rows, cols), T::ONE, a, b);
        }
        Back { d_x, d_weights }
    }
}

struct Back<T> {
    d_x: Vec<T>,
    d_weights: Vec<T>,
}

/// Adds to the gradients of inputs what the gradients of logits of some rows mean (`d(head)`: rows of the stride that comes with
/// them), and to those of parameters, if these `learn`.
pub(crate) fn merge_projections<'a, T: Real>(
    projection: &Projection,
    span: &Span<'_, T>,
    rows: Range<usize>,
    d: impl Fn(usize) -> (&'a [T], usize) + Sync,
    learn: bool,
    gradients: &mut Gradients<T>,
) {
    if rows.is_empty() {
        return;
    }
    let Projection { input, param, heads, width, logits, .. } = *projection;
    let back = |head: usize| {
        let (data, stride) = d(head);
        projection.back(span, head, rows.clone(), Matrix::new(data, rows.len(), logits, stride), learn)
    };
    let parts: Vec<_> = (0..heads).into_par_iter().map(back).collect();
    for (head, part) in parts.iter().enumerate() {
        add_columns(&mut gradients.inputs[input], heads * width, (rows.start, head * width), &part.d_x, width);
        add(&mut gradients.params[param][head * width * logits..][..part.d_weights.len()], &part.d_weights);
    }
}
