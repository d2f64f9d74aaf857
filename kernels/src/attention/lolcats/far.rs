//! The linear part of LoLCATs: each token's turn to be remembered comes w tokens after its own.

use std::ops::Range;

use super::super::{
    Gradients, HedgehogForm, Real, Span, Tensor,
    chunkwise::{Family, Part, Sheet, Stretch, Stripe, Tokens, Widths, chunkwise},
    features::{HedgehogMap, Projection, merge_projections, rows_of},
    gated::Gated,
    heads::{Columns, add},
};

/// `φ_q(q_i)ᵀ Σ_{j ≤ i − w} φ_k(k_j) [v_j 1]ᵀ`: rows of sums, of each head the values and the sum of weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Far {
    pub(super) heads: usize,
    pub(super) key: usize,
    pub(super) value: usize,
    pub(super) features: usize,
    pub(super) form: HedgehogForm,
    pub(super) window: usize,
}

impl Far {
    fn map(&self) -> HedgehogMap {
        HedgehogMap { features: self.features, form: self.form }
    }

    /// Of queries (0) or keys (1).
    fn projection(&self, of: usize) -> Projection {
        let Self { heads, key: width, features: logits, .. } = *self;
        Projection { input: of, param: of, heads, width, logits, transposed: false }
    }

    /// How many of the tokens, at the front, see none of their document leave the window.
    fn idle<T: Real>(&self, tokens: &Tokens<'_, T>) -> usize {
        let first = tokens.span.rows.start + rows_of(tokens).start;
        let start = tokens.span.documents.start_of(first);
        (start + self.window).saturating_sub(first).min(tokens.range.len())
    }

    /// The rows whose turn comes with the tokens of some rows, but for the idle.
    fn leaving(&self, rows: &Range<usize>, idle: usize) -> Range<usize> {
        if idle == rows.len() { 0..0 } else { rows.start + idle - self.window..rows.end - self.window }
    }
}

impl<T: Real> Family<T> for Far {
    fn name(&self) -> &'static str {
        "far part of LoLCATs"
    }

    fn inputs(&self) -> Vec<Tensor> {
        let (key, value) = (self.heads * self.key, self.heads * self.value);
        vec![Tensor::new("q", key), Tensor::new("k", key), Tensor::new("v", value)]
    }

    fn params(&self) -> Vec<Tensor> {
        let weights = self.heads * self.key * self.features;
        vec![Tensor::new("wq", weights), Tensor::new("wk", weights)]
    }

    fn heads(&self) -> usize {
        self.heads
    }

    fn widths(&self) -> Widths {
        Widths { key: 2 * self.features, value: self.value + 1, gate: 0, beta: 0 }
    }

    fn stripes(&self, _: usize) -> Vec<Stripe> {
        // Keys and values lie w rows before, and queries are projected.
        vec![]
    }

    fn features(&self, tokens: &Tokens<'_, T>, chunk: &mut Sheet<T>) {
        let (rows, idle, width) = (rows_of(tokens), self.idle(tokens), 2 * self.features);
        let (span, head, leaving) = (tokens.span, tokens.head, self.leaving(&rows, idle));
        self.projection(0).apply(span, head, rows, 1.0, (&mut chunk.q, width));
        self.map().apply(&mut chunk.q);
        let (none, keys) = chunk.k.split_at_mut(idle * width);
        none.fill(T::ZERO);
        self.projection(1).apply(span, head, leaving.clone(), 1.0, (keys, width));
        self.map().apply(keys);
        let (none, values) = chunk.v.split_at_mut(idle * (self.value + 1));
        none.fill(T::ZERO);
        let columns = Columns::head(span.inputs[2], self.heads, self.value, head);
        for (row, out) in leaving.zip(values.chunks_mut(self.value + 1)) {
            out[..self.value].copy_from_slice(columns.row(row));
            out[self.value] = T::ONE;
        }
    }

    fn pull_back(&self, tokens: &Tokens<'_, T>, chunk: &Sheet<T>, d: &mut Sheet<T>) {
        self.map().pull_back(&chunk.q, &mut d.q);
        self.map().pull_back(&chunk.k, &mut d.k);
        let idle = self.idle(tokens);
        d.k[..idle * 2 * self.features].fill(T::ZERO);
        d.v[..idle * (self.value + 1)].fill(T::ZERO);
    }

    fn merge(&self, span: &Span<'_, T>, stretch: &Stretch<'_, T>, gradients: &mut Gradients<T>) {
        let rows = stretch.rows();
        let queries = |head: usize| stretch.part(head, Part::Queries);
        merge_projections(&self.projection(0), span, rows.clone(), queries, true, gradients);
        // Rows before the first of all are nobody's; nothing was read from them.
        let skipped = self.window.saturating_sub(rows.start).min(rows.len());
        let leaving = self.leaving(&rows, skipped);
        let keys = |head: usize| {
            let (data, width) = stretch.part(head, Part::Keys);
            (&data[skipped * width..], width)
        };
        merge_projections(&self.projection(1), span, leaving.clone(), keys, true, gradients);
        for (head, sheet) in stretch.sheets.iter().enumerate() {
            let (data, width) = sheet.part(Part::Values);
            let stride = self.heads * self.value;
            let rows = data[skipped * width..].chunks(width);
            for (row, d_value) in leaving.clone().zip(rows) {
                let at = row * stride + head * self.value;
                add(&mut gradients.inputs[2][at..at + self.value], &d_value[..self.value]);
            }
        }
    }
}

chunkwise!(Far, Gated);
