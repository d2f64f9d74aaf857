//! The Axial form, row after row (`axial_rowmajor` of the released code): a document is written in rows of c tokens; a query sees
//! its own row so far and, of each row above, what the token in its own column made of that row.
//!
//! ```text
//! p_uj = softmax_j(scale · q_u·k_j) over all j of the row of u,   k̄_u = Σ p_uj k_j,   v̄_u = Σ p_uj v_j
//! o_i = Σ_{j in row of i, j ≤ i} w_ij v_j + Σ_{u above i} w_iu v̄_u,   w_i = softmax(scale · [q_i·k_j … q_i·k̄_u …])
//! ```
//!
//! Keys are summed up with the weights of the values (`row_summary` = `wsum`); the released code's dense layers after that belong
//! to another module. A last row may be short: nobody sees what it would be summed up to.
//!
//! Over ranks: the summaries of a row are gathered from the rank that holds its last token; the c − 1 tokens before a span are its
//! halo. Sent: dk + dv a token and head.
//!
//! Queries of a run share the keys of their rows, and those of a column its summaries: each is a softmax of its own, put together
//! token by token.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    super::{
        Gathered, Gradients, Halo, Matrix, Real, Span, Tensor,
        heads::{Columns, add, add_columns, axpy, cut, dot},
        softmax::online::{Back, Normaliser, Online, PairGradients, Pairs, QUERIES},
    },
    Document, add_heads, documents, own_regions,
};

/// Combiner-Axial, row after row. Inputs q and k (heads × dk), v (heads × dv); output heads × dv.
///
/// What is gathered: of each token of a row that has a successor, in order of the sequence, head after head, k̄ and then v̄.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AxialCombiner {
    /// Heads of queries, keys and values.
    pub heads: usize,
    /// Elements of a query and of a key.
    pub key_width: usize,
    /// Elements of a value.
    pub value_width: usize,
    /// Tokens of a row; about the square root of the length of documents serves best.
    pub row: usize,
    /// What scores are multiplied by.
    pub scale: f64,
}

/// Own tokens of one document.
#[derive(Debug, Clone)]
struct Piece {
    document: Document,
    own: Range<usize>,
}

/// Some own tokens of one column: the first, and how many; each is a row below the one before.
#[derive(Debug, Clone, Copy)]
struct Down {
    first: usize,
    count: usize,
}

/// One head of one document.
struct Head<'a, T> {
    of: &'a AxialCombiner,
    span: &'a Span<'a, T>,
    piece: &'a Piece,
    shared: &'a [T],
    head: usize,
}

/// The softmax of every own token of a head: its largest score, Σ e^(score − largest), and that sum over values.
struct Seen<T> {
    top: Vec<T>,
    sum: Vec<T>,
    mixed: Vec<T>,
}

/// The gradients of one head: of queries by own token, of tokens by row of the span, of summaries by token from the document's start.
struct Part<T> {
    queries: Vec<T>,
    tokens: PairGradients<T>,
    summaries: Vec<T>,
}

impl<T: Real> Seen<T> {
    /// Lets the own token at `at` see what row `row` of another softmax saw.
    fn join(&mut self, at: usize, other: &Online<T>, row: usize, width: usize) {
        if other.sum[row] == T::ZERO {
            return;
        }
        let top = if other.top[row] > self.top[at] { other.top[row] } else { self.top[at] };
        let (mine, its) = ((self.top[at] - top).exp(), (other.top[row] - top).exp());
        let mixed = &mut self.mixed[at * width..][..width];
        mixed.iter_mut().for_each(|x| *x *= mine);
        axpy(mixed, its, &other.mixed[row * width..][..width]);
        self.sum[at] = self.sum[at] * mine + other.sum[row] * its;
        self.top[at] = top;
    }

    /// What backward needs of some own tokens.
    fn normaliser(&self, d_out: &Columns<'_, T>, d_out_first: usize, at: impl Iterator<Item = usize>) -> Normaliser<T> {
        let width = self.mixed.len() / self.sum.len();
        let row = |at: usize| {
            let mean = dot(&self.mixed[at * width..][..width], d_out.row(d_out_first + at)) / self.sum[at];
            (self.top[at] + self.sum[at].ln(), mean)
        };
        let (log_sum, mean) = at.map(row).unzip();
        Normaliser { log_sum, mean }
    }
}

impl<'a, T: Real> Head<'a, T> {
    fn input(&self, input: usize) -> Columns<'a, T> {
        let width = if input == 2 { self.of.value_width } else { self.of.key_width };
        Columns::head(self.span.inputs[input], self.of.heads, width, self.head)
    }

    fn tokens(&self) -> Pairs<'a, T> {
        Pairs { keys: self.input(1), values: self.input(2) }
    }

    /// The summaries in one column: row `r` is that of row `r` of all.
    fn summaries(&self, column: usize) -> Pairs<'a, T> {
        let AxialCombiner { key_width, value_width, row, .. } = *self.of;
        let (width, pair) = (self.of.summary_width(), key_width + value_width);
        let first = column * width + self.head * pair;
        Pairs {
            keys: Columns::new(self.shared, row * width, first, key_width),
            values: Columns::new(self.shared, row * width, first + key_width, value_width),
        }
    }

    /// Runs of own tokens.
    fn runs(&self) -> impl Iterator<Item = Range<usize>> + use<T> {
        cut(self.piece.own.clone(), QUERIES)
    }

    /// Own tokens column by column, a document's first row left out: it has nothing above.
    fn columns(&self) -> impl Iterator<Item = (usize, Down)> + use<T> {
        let (start, row, own) = (self.piece.document.tokens.start, self.of.row, self.piece.own.clone());
        let first = own.start.max(start + row);
        (0..row).flat_map(move |column| {
            let first = first + (column + row - (first - start) % row) % row;
            let count = own.end.saturating_sub(first).div_ceil(row);
            cut(0..count, QUERIES).map(move |rows| (column, Down { first: first + rows.start * row, count: rows.len() }))
        })
    }

    /// Rows of a tensor with `heads × width` elements a token: the tokens of a column, of which `at` is the first's row.
    fn down(&self, tensor: &'a [T], width: usize, at: usize, count: usize) -> Matrix<'a, T> {
        let stride = self.of.heads * width;
        Matrix::new(&tensor[at * stride + self.head * width..], count, width, self.of.row * stride)
    }

    fn near(&self, run: &Range<usize>) -> impl Fn(usize) -> Range<usize> + use<T> {
        let (start, base, row, first) = (self.piece.document.tokens.start, self.span.rows.start, self.of.row, run.start);
        move |i| {
            let token = first + i;
            token - (token - start) % row - base..token + 1 - base
        }
    }

    fn above(&self, down: Down) -> impl Fn(usize) -> Range<usize> + use<T> {
        let Document { tokens, first_region } = &self.piece.document;
        let (from, passed) = (*first_region, (down.first - tokens.start) / self.of.row);
        move |i| from..from + passed + i
    }

    fn down_queries(&self, down: Down) -> Matrix<'a, T> {
        self.down(self.span.inputs[0], self.of.key_width, self.span.row(down.first), down.count)
    }

    fn seen(&self) -> Seen<T> {
        let (width, scale) = (self.of.value_width, T::of(self.of.scale));
        let mut seen = Seen { top: vec![], sum: vec![], mixed: vec![] };
        for run in self.runs() {
            let mut online = Online::new(run.len(), width);
            let queries = self.input(0).rows(self.span.row(run.start)..self.span.row(run.end));
            online.absorb(queries, scale, self.tokens(), self.near(&run));
            seen.top.extend(online.top);
            seen.sum.extend(online.sum);
            seen.mixed.extend(online.mixed);
        }
        for (column, down) in self.columns() {
            let mut online = Online::new(down.count, width);
            online.absorb(self.down_queries(down), scale, self.summaries(column), self.above(down));
            for i in 0..down.count {
                seen.join(down.first + i * self.of.row - self.piece.own.start, &online, i, width);
            }
        }
        seen
    }

    fn forward(&self) -> Vec<T> {
        let Seen { sum, mut mixed, .. } = self.seen();
        for (mixed, sum) in mixed.chunks_mut(self.of.value_width).zip(sum) {
            let part = T::ONE / sum;
            mixed.iter_mut().for_each(|x| *x *= part);
        }
        mixed
    }

    fn backward(&self, d_out: &'a [T]) -> Part<T> {
        let AxialCombiner { heads, key_width, value_width, row, scale } = *self.of;
        let (own, seen, scale) = (&self.piece.own, self.seen(), T::of(scale));
        let d_columns = Columns::head(d_out, heads, value_width, self.head);
        let d_first = own.start - self.span.own.start;
        let rows = self.near(own)(0).start..self.span.row(own.start) + own.len();
        let mut tokens = PairGradients::new(rows, key_width, value_width);
        let mut queries = vec![T::ZERO; own.len() * key_width];
        for run in self.runs() {
            let at = run.start - own.start..run.end - own.start;
            let normaliser = seen.normaliser(&d_columns, d_first, at.clone());
            let back = Back {
                queries: self.input(0).rows(self.span.row(run.start)..self.span.row(run.end)),
                d_out: d_columns.rows(d_first + at.start..d_first + at.end),
                normaliser: &normaliser,
                scale,
            };
            back.through(self.tokens(), self.near(&run), &mut queries[at.start * key_width..at.end * key_width], &mut tokens);
        }
        let pair = key_width + value_width;
        let above = (own.end - 1 - self.piece.document.tokens.start) / row;
        let mut summaries = vec![T::ZERO; above * row * pair];
        for (column, down) in self.columns() {
            let at = |i: usize| down.first + i * row - own.start;
            let normaliser = seen.normaliser(&d_columns, d_first, (0..down.count).map(at));
            let d_out = self.down(d_out, value_width, down.first - self.span.own.start, down.count);
            let back = Back { queries: self.down_queries(down), d_out, normaliser: &normaliser, scale };
            let visible = self.above(down);
            let mut d_queries = vec![T::ZERO; down.count * key_width];
            let mut d_pairs = PairGradients::new(visible(down.count - 1), key_width, value_width);
            back.through(self.summaries(column), visible, &mut d_queries, &mut d_pairs);
            for (i, d_query) in d_queries.chunks(key_width).enumerate() {
                add(&mut queries[at(i) * key_width..][..key_width], d_query);
            }
            for (u, (d_key, d_value)) in d_pairs.keys.chunks(key_width).zip(d_pairs.values.chunks(value_width)).enumerate() {
                let (key, value) = summaries[(u * row + column) * pair..][..pair].split_at_mut(key_width);
                add(key, d_key);
                add(value, d_value);
            }
        }
        Part { queries, tokens, summaries }
    }
}

impl AxialCombiner {
    /// Elements that are gathered of a token.
    fn summary_width(&self) -> usize {
        self.heads * (self.key_width + self.value_width)
    }

    /// Each head of each document that a span has tokens of.
    fn pieces<T>(&self, span: &Span<'_, T>) -> Vec<(usize, Piece)> {
        let piece = |document: Document| {
            let own = document.tokens.start.max(span.own.start)..document.tokens.end.min(span.own.end);
            Piece { document, own }
        };
        let pieces = documents(span.documents, self.row).map(piece).filter(|piece| !piece.own.is_empty());
        pieces.flat_map(|piece| (0..self.heads).map(move |head| (head, piece.clone()))).collect()
    }

    /// One head of a row: its queries, and of each token key and value side by side, which the summaries are means of.
    fn row<'a, T: Real>(&self, span: &'a Span<'a, T>, tokens: &Range<usize>, head: usize) -> (Matrix<'a, T>, Vec<T>) {
        let rows = span.row(tokens.start)..span.row(tokens.start) + tokens.len();
        let columns = |input: usize, width| Columns::head(span.inputs[input], self.heads, width, head);
        let (keys, values) = (columns(1, self.key_width), columns(2, self.value_width));
        let both = rows.clone().flat_map(|row| [keys.row(row), values.row(row)]).flatten().copied().collect();
        (columns(0, self.key_width).rows(rows), both)
    }

    /// What the queries of a row mix, by [`Self::row`].
    fn pairs<'a, T>(&self, both: &'a [T]) -> Pairs<'a, T> {
        let pair = self.key_width + self.value_width;
        Pairs { keys: Columns::new(both, pair, 0, self.key_width), values: Columns::new(both, pair, 0, pair) }
    }

    /// The softmax of some queries of a row over all of it.
    fn mixed<T: Real>(&self, queries: Matrix<'_, T>, both: &[T]) -> Online<T> {
        let mut online = Online::new(queries.rows(), self.key_width + self.value_width);
        online.absorb(queries, T::of(self.scale), self.pairs(both), |_| 0..self.row);
        online
    }

    /// The gradients of one head of a row from those of its summaries: of queries, keys and values.
    fn row_backward<T: Real>(&self, span: &Span<'_, T>, tokens: &Range<usize>, head: usize, d_summaries: &[T]) -> [Vec<T>; 3] {
        let Self { heads, key_width, value_width, row, scale } = *self;
        let pair = key_width + value_width;
        let d_summaries = Columns::head(d_summaries, heads, pair, head);
        let (queries, both) = self.row(span, tokens, head);
        let normaliser = self.mixed(queries, &both).normaliser(d_summaries, 0, pair);
        let back = Back { queries, d_out: d_summaries.rows(0..row), normaliser: &normaliser, scale: T::of(scale) };
        let mut d_queries = vec![T::ZERO; row * key_width];
        let mut d_pairs = PairGradients::new(0..row, key_width, pair);
        back.through(self.pairs(&both), |_| 0..row, &mut d_queries, &mut d_pairs);
        let (mut d_keys, mut d_values) = (d_pairs.keys, vec![]);
        for (d_key, d_both) in d_keys.chunks_mut(key_width).zip(d_pairs.values.chunks(pair)) {
            let (mixed_key, d_value) = d_both.split_at(key_width);
            add(d_key, mixed_key);
            d_values.extend_from_slice(d_value);
        }
        [d_queries, d_keys, d_values]
    }
}

impl<T: Real> Gathered<T> for AxialCombiner {
    fn name(&self) -> &'static str {
        "Combiner-Axial"
    }

    fn inputs(&self) -> Vec<Tensor> {
        let (keys, values) = (self.heads * self.key_width, self.heads * self.value_width);
        vec![Tensor::new("q", keys), Tensor::new("k", keys), Tensor::new("v", values)]
    }

    fn output_width(&self) -> usize {
        self.heads * self.value_width
    }

    fn halo(&self) -> Halo {
        Halo { left: self.row - 1, right: 0 }
    }

    fn contribution_len(&self, span: &Span<'_, T>) -> usize {
        own_regions(span, self.row).len() * self.row * self.summary_width()
    }

    fn contribute(&self, span: &Span<'_, T>) -> Vec<T> {
        let (stride, pair) = (self.summary_width(), self.key_width + self.value_width);
        let summaries = |tokens: Range<usize>| {
            let mut summaries = vec![T::ZERO; self.row * stride];
            for head in 0..self.heads {
                let (queries, both) = self.row(span, &tokens, head);
                self.mixed(queries, &both).write(&mut summaries[head * pair..], stride, pair);
            }
            summaries
        };
        own_regions(span, self.row).into_par_iter().map(summaries).collect::<Vec<_>>().concat()
    }

    fn forward(&self, span: &Span<'_, T>, shared: &[T], out: &mut [T]) {
        let pieces = self.pieces(span);
        let forward = |(head, piece): &(usize, Piece)| Head { of: self, span, piece, shared, head: *head }.forward();
        let parts: Vec<_> = pieces.par_iter().map(forward).collect();
        out.fill(T::ZERO);
        for ((head, piece), part) in pieces.iter().zip(parts) {
            let place = (piece.own.start - span.own.start, head * self.value_width);
            add_columns(out, self.heads * self.value_width, place, &part, self.value_width);
        }
    }

    fn backward(&self, span: &Span<'_, T>, shared: &[T], d_out: &[T], d_shared: &mut [T], gradients: &mut Gradients<T>) {
        let Self { heads, key_width, value_width, row, .. } = *self;
        let pieces = self.pieces(span);
        let backward = |(head, piece): &(usize, Piece)| Head { of: self, span, piece, shared, head: *head }.backward(d_out);
        let parts: Vec<_> = pieces.par_iter().map(backward).collect();
        for ((head, Piece { document, own }), Part { queries, tokens, summaries }) in pieces.into_iter().zip(parts) {
            let (key, value, pair) = (head * key_width, head * value_width, key_width + value_width);
            add_columns(&mut gradients.inputs[0], heads * key_width, (span.row(own.start), key), &queries, key_width);
            add_columns(&mut gradients.inputs[1], heads * key_width, (tokens.first, key), &tokens.keys, key_width);
            add_columns(&mut gradients.inputs[2], heads * value_width, (tokens.first, value), &tokens.values, value_width);
            add_columns(d_shared, heads * pair, (document.first_region * row, head * pair), &summaries, pair);
        }
    }

    fn contribute_backward(&self, span: &Span<'_, T>, d_own: &[T], gradients: &mut Gradients<T>) {
        let rows = own_regions(span, self.row);
        let backward = |(tokens, d_summaries): (&Range<usize>, &[T])| {
            let heads = (0..self.heads).map(|head| self.row_backward(span, tokens, head, d_summaries));
            heads.collect::<Vec<_>>()
        };
        let parts: Vec<_> = rows.par_iter().zip(d_own.par_chunks(self.row * self.summary_width())).map(backward).collect();
        for (tokens, parts) in rows.iter().zip(parts) {
            add_heads(gradients, span.row(tokens.start), &parts, [self.key_width, self.key_width, self.value_width]);
        }
    }
}
