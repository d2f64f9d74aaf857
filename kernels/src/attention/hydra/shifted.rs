//! One direction of Hydra: gated sums in which each token reads what its left neighbour brings.

use super::super::{
    Gradients, Real, Span, Tensor,
    chunkwise::{Family, Part, Sheet, Stretch, Stripe, Tokens, Widths, chunkwise},
    features::rows_of,
    gated::Gated,
    heads::{Columns, add_columns},
};

/// `o_t` of a scalar-gated sum at token t − 1. Inputs q and k (heads × key), g (heads), v (heads × value).
///
/// Its state before a token holds what the tokens up to two before it brought: the neighbour's is read when the token is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shifted {
    pub(super) heads: usize,
    pub(super) key: usize,
    pub(super) value: usize,
}

const PARTS: [Part; 4] = [Part::Queries, Part::Keys, Part::Gates, Part::Values];

impl Shifted {
    fn tensor_widths(&self) -> [usize; 4] {
        [self.key, self.key, 1, self.value]
    }
}

/// Whether the tokens begin a document: then the first has no neighbour.
fn alone<T: Real>(tokens: &Tokens<'_, T>) -> bool {
    let first = tokens.span.rows.start + rows_of(tokens).start;
    tokens.span.documents.start_of(first) == first
}

impl<T: Real> Family<T> for Shifted {
    fn name(&self) -> &'static str {
        "one direction of Hydra"
    }

    fn inputs(&self) -> Vec<Tensor> {
        let names = ["q", "k", "g", "v"].into_iter().zip(self.tensor_widths());
        names.map(|(name, width)| Tensor::new(name, self.heads * width)).collect()
    }

    fn heads(&self) -> usize {
        self.heads
    }

    fn widths(&self) -> Widths {
        Widths { key: self.key, value: self.value, gate: 1, beta: 0 }
    }

    fn stripes(&self, _: usize) -> Vec<Stripe> {
        // All that it reads lies a row before.
        vec![]
    }

    fn features(&self, tokens: &Tokens<'_, T>, chunk: &mut Sheet<T>) {
        let (rows, missing) = (rows_of(tokens), usize::from(alone(tokens)));
        for (input, (part, width)) in PARTS.into_iter().zip(self.tensor_widths()).enumerate() {
            let columns = Columns::head(tokens.span.inputs[input], self.heads, width, tokens.head);
            let (out, _) = chunk.part_mut(part);
            let (first, rest) = out.split_at_mut(missing * width);
            first.fill(T::ZERO);
            for (out, row) in rest.chunks_mut(width).zip(rows.start + missing - 1..) {
                out.copy_from_slice(columns.row(row));
            }
        }
    }

    fn pull_back(&self, tokens: &Tokens<'_, T>, _: &Sheet<T>, d: &mut Sheet<T>) {
        if alone(tokens) {
            // They are zero but for rounding, and the row before is another document's.
            for (part, width) in PARTS.into_iter().zip(self.tensor_widths()) {
                d.part_mut(part).0[..width].fill(T::ZERO);
            }
        }
    }

    fn merge(&self, _: &Span<'_, T>, stretch: &Stretch<'_, T>, gradients: &mut Gradients<T>) {
        let first = stretch.rows().start;
        // The row before the first of all is nobody's; nothing was read from it.
        let skipped = usize::from(first == 0);
        for (head, sheet) in stretch.sheets.iter().enumerate() {
            for (input, (part, width)) in PARTS.into_iter().zip(self.tensor_widths()).enumerate() {
                let (data, _) = sheet.part(part);
                let place = (first + skipped - 1, head * width);
                let rows = data.get(skipped * width..).unwrap_or_default();
                add_columns(&mut gradients.inputs[input], self.heads * width, place, rows, width);
            }
        }
    }
}

chunkwise!(Shifted, Gated);
