//! The Logsparse form: a query sees its own region and a summary of each of at most log2 runs of regions before it.
//!
//! ```text
//! own region m = Σ 2^j over the digits that are one: the run of digit j is regions [(m >> j) − 1, m >> j) · 2^j
//! ```
//!
//! These runs are all that is before the region, largest first, and queries share them: a sequence has as many as regions. Each is
//! summed up as a region of the Fixed form is. With c = 1 it is the paper's form.
//!
//! Over ranks: a run may span many ranks, and the weights of its values need the maximum of all its queries; so queries, keys and
//! values are gathered, and each rank makes the summaries that its own tokens see. Sent: 2 dk + dv a token and head.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    super::{
        Gathered, Gradients, Real, Span, Tensor,
        heads::{Columns, add, add_columns, cut},
        softmax::online::{Back, Online, PairGradients, Pairs, QUERIES},
    },
    region::Region,
};

/// Combiner-Logsparse. Inputs q and k (heads × dk), v (heads × dv); output heads × dv.
///
/// What is gathered: of each token q, k and v, all heads of each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogsparseCombiner {
    /// Heads of queries, keys and values.
    pub heads: usize,
    /// Elements of a query and of a key.
    pub key_width: usize,
    /// Elements of a value.
    pub value_width: usize,
    /// Tokens of a region; one is the paper's form.
    pub region: usize,
    /// What scores are multiplied by.
    pub scale: f64,
}

/// Tokens of a span that are of one document, which starts at `start`.
#[derive(Debug, Clone)]
struct Piece {
    start: usize,
    own: Range<usize>,
}

/// The tokens of each run of regions before region `number` of a document that starts at `start`; those of digit 0 last.
fn runs_before(number: usize, start: usize, region: usize) -> impl Iterator<Item = Range<usize>> {
    let digits = (0..usize::BITS - number.leading_zeros()).rev().filter(move |digit| number >> digit & 1 == 1);
    digits.map(move |digit| {
        let end = number >> digit;
        start + ((end - 1) << digit) * region..start + (end << digit) * region
    })
}

/// One head of a document, and the summaries that its own tokens see.
struct Head<'a, T> {
    of: &'a LogsparseCombiner,
    piece: &'a Piece,
    queries: Columns<'a, T>,
    tokens: Pairs<'a, T>,
    /// The tokens of each summary, ascending.
    runs: Vec<Range<usize>>,
    keys: Vec<T>,
    values: Vec<T>,
}

/// Some own tokens of one region: what they see.
struct Block<T> {
    tokens: Range<usize>,
    region_start: usize,
    /// Which summaries, and those side by side.
    seen: Vec<usize>,
    keys: Vec<T>,
    values: Vec<T>,
}

impl<T: Real> Block<T> {
    fn near(&self) -> impl Fn(usize) -> Range<usize> + use<T> {
        let (start, first) = (self.region_start, self.tokens.start);
        move |row| start..first + row + 1
    }

    fn far(&self) -> impl Fn(usize) -> Range<usize> + use<T> {
        let seen = self.seen.len();
        move |_| 0..seen
    }

    fn pairs(&self, of: &LogsparseCombiner) -> Pairs<'_, T> {
        Pairs {
            keys: Columns::new(&self.keys, of.key_width, 0, of.key_width),
            values: Columns::new(&self.values, of.value_width, 0, of.value_width),
        }
    }
}

/// The gradients of one head: of a document's tokens from its start to the last own one, row after row.
struct Part<T> {
    head: usize,
    first: usize,
    tensors: [Vec<T>; 3],
}

impl<'a, T: Real> Head<'a, T> {
    fn new(of: &'a LogsparseCombiner, shared: &'a [T], piece: &'a Piece, head: usize) -> Self {
        let columns = |i: usize| {
            let (first, width) = of.columns(i, head);
            Columns::new(shared, of.token_width(), first, width)
        };
        let numbers = (piece.own.start - piece.start) / of.region..(piece.own.end - 1 - piece.start) / of.region + 1;
        let mut runs: Vec<_> = numbers.flat_map(|number| runs_before(number, piece.start, of.region)).collect();
        runs.sort_unstable_by_key(|run| (run.start, run.end));
        runs.dedup();
        let mut this = Self {
            of,
            piece,
            queries: columns(0),
            tokens: Pairs { keys: columns(1), values: columns(2) },
            keys: vec![T::ZERO; runs.len() * of.key_width],
            values: vec![T::ZERO; runs.len() * of.value_width],
            runs: vec![],
        };
        let (keys, values) = (this.keys.chunks_mut(of.key_width), this.values.chunks_mut(of.value_width));
        for ((run, key), value) in runs.iter().zip(keys).zip(values) {
            region(of, this.queries, this.tokens, run).summarize(key, value);
        }
        this.runs = runs;
        this
    }

    fn blocks(&self) -> impl Iterator<Item = Block<T>> {
        let (Piece { start, own }, region) = (self.piece, self.of.region);
        let numbers = (own.start - start) / region..(own.end - 1 - start) / region + 1;
        numbers.flat_map(move |number| {
            let region_start = start + number * region;
            let at = |run: Range<usize>| self.runs.partition_point(|other| (other.start, other.end) < (run.start, run.end));
            let seen: Vec<_> = runs_before(number, *start, region).map(at).collect();
            let gather = |rows: &[T], width: usize| -> Vec<T> {
                seen.iter().flat_map(|&at| &rows[at * width..][..width]).copied().collect()
            };
            let (keys, values) = (gather(&self.keys, self.of.key_width), gather(&self.values, self.of.value_width));
            let tokens = region_start.max(own.start)..(region_start + region).min(own.end);
            cut(tokens, QUERIES).map(move |tokens| Block {
                tokens,
                region_start,
                seen: seen.clone(),
                keys: keys.clone(),
                values: values.clone(),
            })
        })
    }

    fn absorbed(&self, block: &Block<T>) -> Online<T> {
        let mut online = Online::new(block.tokens.len(), self.of.value_width);
        let (queries, scale) = (self.queries.rows(block.tokens.clone()), T::of(self.of.scale));
        online.absorb(queries, scale, self.tokens, block.near());
        online.absorb(queries, scale, block.pairs(self.of), block.far());
        online
    }

    fn forward(&self) -> Vec<T> {
        let width = self.of.value_width;
        let mut out = vec![T::ZERO; self.piece.own.len() * width];
        for block in self.blocks() {
            self.absorbed(&block).write(&mut out[(block.tokens.start - self.piece.own.start) * width..], width, width);
        }
        out
    }

    /// `d_out`: the own tokens of the document, this head.
    fn backward(&self, head: usize, d_out: Columns<'_, T>, d_out_first: usize) -> Part<T> {
        let LogsparseCombiner { key_width, value_width, scale, .. } = *self.of;
        let start = self.piece.start;
        let mut tokens = PairGradients::new(start..self.piece.own.end, key_width, value_width);
        let mut d_queries = vec![T::ZERO; (self.piece.own.end - start) * key_width];
        let (mut d_keys, mut d_values) = (vec![T::ZERO; self.keys.len()], vec![T::ZERO; self.values.len()]);
        for block in self.blocks() {
            let out = block.tokens.start - d_out_first..block.tokens.end - d_out_first;
            let normaliser = self.absorbed(&block).normaliser(d_out, out.start, value_width);
            let queries = self.queries.rows(block.tokens.clone());
            let back = Back { queries, d_out: d_out.rows(out), normaliser: &normaliser, scale: T::of(scale) };
            let d_queries = &mut d_queries[(block.tokens.start - start) * key_width..(block.tokens.end - start) * key_width];
            back.through(self.tokens, block.near(), d_queries, &mut tokens);
            let mut runs = PairGradients::new(0..block.seen.len(), key_width, value_width);
            back.through(block.pairs(self.of), block.far(), d_queries, &mut runs);
            for ((&at, d_key), d_value) in block.seen.iter().zip(runs.keys.chunks(key_width)).zip(runs.values.chunks(value_width))
            {
                add(&mut d_keys[at * key_width..][..key_width], d_key);
                add(&mut d_values[at * value_width..][..value_width], d_value);
            }
        }
        let mut tensors = [d_queries, tokens.keys, tokens.values];
        for ((run, d_key), d_value) in self.runs.iter().zip(d_keys.chunks(key_width)).zip(d_values.chunks(value_width)) {
            let d_run = region(self.of, self.queries, self.tokens, run).backward(d_key, d_value);
            for ((tensor, d_run), width) in tensors.iter_mut().zip(&d_run).zip([key_width, key_width, value_width]) {
                add(&mut tensor[(run.start - start) * width..(run.end - start) * width], d_run);
            }
        }
        Part { head, first: start, tensors }
    }
}

fn region<'a, T: Real>(
    of: &LogsparseCombiner,
    queries: Columns<'a, T>,
    Pairs { keys, values }: Pairs<'a, T>,
    run: &Range<usize>,
) -> Region<'a, T> {
    let LogsparseCombiner { key_width, value_width, scale, .. } = *of;
    Region { queries, keys, values, rows: run.clone(), scale: T::of(scale), key_width, value_width }
}

impl LogsparseCombiner {
    /// Elements of a token in what is gathered.
    fn token_width(&self) -> usize {
        self.heads * (2 * self.key_width + self.value_width)
    }

    /// Where one head of an input is in a token: its first element and how many.
    fn columns(&self, input: usize, head: usize) -> (usize, usize) {
        let width = if input == 2 { self.value_width } else { self.key_width };
        (input * self.heads * self.key_width + head * width, width)
    }

    fn pieces<T>(&self, span: &Span<'_, T>) -> Vec<(usize, Piece)> {
        let of = |own: Range<usize>| Piece { start: span.documents.start_of(own.start), own };
        let pieces = span.documents.segments(span.own.clone()).map(|segment| of(segment.tokens));
        pieces.flat_map(|piece| (0..self.heads).map(move |head| (head, piece.clone()))).collect()
    }
}

impl<T: Real> Gathered<T> for LogsparseCombiner {
    fn name(&self) -> &'static str {
        "Combiner-Logsparse"
    }

    fn inputs(&self) -> Vec<Tensor> {
        let (keys, values) = (self.heads * self.key_width, self.heads * self.value_width);
        vec![Tensor::new("q", keys), Tensor::new("k", keys), Tensor::new("v", values)]
    }

    fn output_width(&self) -> usize {
        self.heads * self.value_width
    }

    fn contribution_len(&self, span: &Span<'_, T>) -> usize {
        span.len() * self.token_width()
    }

    fn contribute(&self, span: &Span<'_, T>) -> Vec<T> {
        let widths = <Self as Gathered<T>>::inputs(self).into_iter().map(|tensor| tensor.width);
        let inputs: Vec<_> = span.inputs.iter().zip(widths).collect();
        let rows = span.own.clone().map(|token| span.row(token));
        rows.flat_map(|row| inputs.iter().flat_map(move |(input, width)| &input[row * width..][..*width])).copied().collect()
    }

    fn forward(&self, span: &Span<'_, T>, shared: &[T], out: &mut [T]) {
        let pieces = self.pieces(span);
        let parts: Vec<_> = pieces.par_iter().map(|(head, piece)| Head::new(self, shared, piece, *head).forward()).collect();
        out.fill(T::ZERO);
        for ((head, piece), part) in pieces.iter().zip(parts) {
            let place = (piece.own.start - span.own.start, head * self.value_width);
            add_columns(out, self.heads * self.value_width, place, &part, self.value_width);
        }
    }

    fn backward(&self, span: &Span<'_, T>, shared: &[T], d_out: &[T], d_shared: &mut [T], _: &mut Gradients<T>) {
        let backward = |(head, piece): &(usize, Piece)| {
            let d_out = Columns::head(d_out, self.heads, self.value_width, *head);
            Head::new(self, shared, piece, *head).backward(*head, d_out, span.own.start)
        };
        let parts: Vec<_> = self.pieces(span).par_iter().map(backward).collect();
        for Part { head, first, tensors } in parts {
            for (input, tensor) in tensors.iter().enumerate() {
                let (column, width) = self.columns(input, head);
                add_columns(d_shared, self.token_width(), (first, column), tensor, width);
            }
        }
    }

    fn contribute_backward(&self, span: &Span<'_, T>, d_own: &[T], gradients: &mut Gradients<T>) {
        for (token, d_token) in span.own.clone().zip(d_own.chunks(self.token_width())) {
            for input in 0..3 {
                let (first, width) = self.columns(input, 0);
                let width = width * self.heads;
                add(&mut gradients.inputs[input][span.row(token) * width..][..width], &d_token[first..first + width]);
            }
        }
    }
}
