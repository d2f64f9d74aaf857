//! A [`Mixer`](super::Mixer) from what a family does on one head of one document: for families with one state that runs forward.
//!
//! Documents are independent of each other, so those that the state on its way does not reach are computed while it is awaited. Of the
//! document that it does reach, backward computes the states between stretches meanwhile; forward, nothing: all that a block does here
//! begins with its state.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    Carry, Gradients, Real, Segment, Span, StateShape, Tensor,
    heads::{Columns, add_columns, cut},
};

/// One head of some tokens of one document.
#[derive(Debug, Clone)]
pub(super) struct Piece<'a, T> {
    /// The inputs of the head, in the family's order.
    pub(super) inputs: Vec<Columns<'a, T>>,
    /// The rows of them.
    pub(super) rows: Range<usize>,
}

/// A family with one state, as it works on one head. States, maps and gradients are those of a head; outputs lie row after row.
pub(super) trait Sweep: Send + Sync {
    fn name(&self) -> &'static str;
    fn heads(&self) -> usize;
    /// The inputs of one head.
    fn inputs(&self) -> Vec<Tensor>;
    /// Elements of output of one head.
    fn output_width(&self) -> usize;
    /// The state of all heads.
    fn state(&self) -> StateShape;
    /// Its gradient.
    fn adjoint_state(&self) -> StateShape;

    /// Chunk by chunk. Without `out` the state alone.
    fn forward<T: Real>(&self, piece: &Piece<'_, T>, state: &mut [T], out: Option<&mut [T]>);
    /// Token by token.
    fn recurrent<T: Real>(&self, piece: &Piece<'_, T>, state: &mut [T], out: &mut [T]);
    /// The map of the piece; `fresh` where its document begins in it.
    fn summarize<T: Real>(&self, piece: &Piece<'_, T>, fresh: bool, map: &mut [T]);
    /// The map of the gradient of the state before the piece.
    fn adjoint<T: Real>(&self, piece: &Piece<'_, T>, state: &[T], d_out: &[T], map: &mut [T]);
    /// The states before stretches of the piece, for [`blocks_reversed`].
    fn stretches<T: Real>(&self, piece: &Piece<'_, T>, state: &[T]) -> Vec<Vec<T>>;
    /// The gradients of the inputs, row after row; `states` are those before its stretches, `d_state` is the gradient of the state
    /// after the piece, then that of the state before.
    fn backward<T: Real>(&self, piece: &Piece<'_, T>, states: Vec<Vec<T>>, d_out: &[T], d_state: &mut [T]) -> Vec<Vec<T>>;
}

fn piece<'a, T: Real>(family: &impl Sweep, span: &Span<'a, T>, tokens: &Range<usize>, head: usize) -> Piece<'a, T> {
    let widths = family.inputs().into_iter().map(|tensor| tensor.width);
    let columns = |(&data, width): (&&'a [T], usize)| Columns::head(data, family.heads(), width, head);
    Piece { inputs: span.inputs.iter().zip(widths).map(columns).collect(), rows: span.row(tokens.start)..span.row(tokens.end) }
}

/// The rows of one head of a tensor of the span's own tokens, without gaps.
fn of_head<T: Real>(family: &impl Sweep, span: &Span<'_, T>, tokens: &Range<usize>, head: usize, data: &[T]) -> Vec<T> {
    let columns = Columns::head(data, family.heads(), family.output_width(), head);
    tokens.clone().flat_map(|token| columns.row(token - span.own.start)).copied().collect()
}

/// The state of each head.
fn head_len(family: &impl Sweep, shape: StateShape) -> usize {
    shape.state_len() / family.heads()
}

/// What was done on each head of each segment.
type Done<'a, R> = Vec<(&'a Segment, usize, R)>;

/// Every head of some segments, in parallel; in order.
fn each_head<R: Send>(heads: usize, segments: &[Segment], work: impl Fn(usize, &Segment) -> R + Sync) -> Done<'_, R> {
    let pieces = segments.iter().flat_map(|segment| (0..heads).map(move |head| (segment, head)));
    let pieces: Vec<_> = pieces.collect();
    pieces.into_par_iter().map(|(segment, head)| (segment, head, work(head, segment))).collect()
}

/// The inputs of all heads.
pub(super) fn inputs(family: &impl Sweep) -> Vec<Tensor> {
    family.inputs().into_iter().map(|tensor| Tensor::new(tensor.name, family.heads() * tensor.width)).collect()
}

/// The map of the state over a span.
pub(super) fn summarize<T: Real>(family: &impl Sweep, span: &Span<'_, T>, map: &mut [T]) {
    map.copy_from_slice(&family.state().identity::<T>());
    // Whatever an earlier document left is cut off by the start of the last.
    let Some(last) = span.segments().next_back() else { return };
    let len = map.len() / family.heads();
    map.par_chunks_mut(len).enumerate().for_each(|(head, map)| {
        family.summarize(&piece(family, span, &last.tokens, head), last.fresh, map);
    });
}

/// Copies the rows of one head to the outputs, from the row of `first` on.
fn write<T: Real>(family: &impl Sweep, head: usize, first: usize, rows: &[T], out: &mut [T]) {
    let width = family.output_width();
    for (out, row) in out.chunks_mut(family.heads() * width).skip(first).zip(rows.chunks(width)) {
        out[head * width..][..width].copy_from_slice(row);
    }
}

/// The outputs, chunk by chunk, and the states after.
pub(super) fn forward<T: Real>(family: &impl Sweep, span: &Span<'_, T>, carry: Carry<'_, T>, out: &mut [T]) -> Vec<T> {
    let segments: Vec<_> = span.segments().collect();
    let waits = segments.first().is_some_and(|first| !first.fresh);
    let (waiting, ready) = segments.split_at(usize::from(waits));
    let empty = family.state().empty_state::<T>();
    let len = head_len(family, family.state());
    let run = |states: &[T], head: usize, segment: &Segment| {
        let mut state = states[head * len..][..len].to_vec();
        let mut rows = vec![T::ZERO; segment.tokens.len() * family.output_width()];
        family.forward(&piece(family, span, &segment.tokens, head), &mut state, Some(&mut rows));
        (state, rows)
    };
    let mut finish = |states: &mut [T], done: Done<'_, (Vec<T>, Vec<T>)>| {
        for (segment, head, (state, rows)) in done {
            write(family, head, segment.tokens.start - span.own.start, &rows, out);
            states[head * len..][..len].copy_from_slice(&state);
        }
    };
    let done = each_head(family.heads(), ready, |head, segment| run(&empty, head, segment));
    let mut states = empty.clone();
    carry(&mut states);
    let before = states.clone();
    finish(&mut states, each_head(family.heads(), waiting, |head, segment| run(&before, head, segment)));
    finish(&mut states, done);
    states
}

/// The same, token by token.
pub(super) fn recurrent<T: Real>(family: &impl Sweep, span: &Span<'_, T>, states: &mut [T], out: &mut [T]) {
    let len = head_len(family, family.state());
    for segment in span.segments() {
        if segment.fresh {
            states.copy_from_slice(&family.state().empty_state::<T>());
        }
        for (head, state) in states.chunks_mut(len).enumerate() {
            let mut rows = vec![T::ZERO; segment.tokens.len() * family.output_width()];
            family.recurrent(&piece(family, span, &segment.tokens, head), state, &mut rows);
            write(family, head, segment.tokens.start - span.own.start, &rows, out);
        }
    }
}

/// The map of the gradient of the state over a span.
pub(super) fn adjoint<T: Real>(family: &impl Sweep, span: &Span<'_, T>, states: &[T], d_out: &[T], map: &mut [T]) {
    let shape = family.adjoint_state();
    map.copy_from_slice(&shape.identity::<T>());
    let Some(first) = span.segments().next() else { return };
    if first.fresh {
        return map.fill(T::ZERO);
    }
    let (len, state_len) = (map.len() / family.heads(), head_len(family, family.state()));
    let alone = span.segments().nth(1).is_none();
    map.par_chunks_mut(len).zip(states.par_chunks(state_len)).enumerate().for_each(|(head, (map, state))| {
        let d_out = of_head(family, span, &first.tokens, head, d_out);
        family.adjoint(&piece(family, span, &first.tokens, head), state, &d_out, map);
        if !alone {
            map[..shape.transition_len()].fill(T::ZERO);
        }
    });
}

/// Adds the gradients of the inputs; returns that of the states before the span.
pub(super) fn backward<T: Real>(
    family: &impl Sweep,
    span: &Span<'_, T>,
    states: &[T],
    d_out: &[T],
    carry: Carry<'_, T>,
    gradients: &mut Gradients<T>,
) -> Vec<T> {
    let segments: Vec<_> = span.segments().collect();
    let (empty, len) = (family.state().empty_state::<T>(), head_len(family, family.state()));
    let d_len = head_len(family, family.adjoint_state());
    let ahead = |head: usize, segment: &Segment| {
        let states = if segment.fresh { &empty } else { states };
        family.stretches(&piece(family, span, &segment.tokens, head), &states[head * len..][..len])
    };
    let run = |d_states: &[T], states: Vec<Vec<T>>, head: usize, segment: &Segment| {
        let mut d_state = d_states[head * d_len..][..d_len].to_vec();
        let d_out = of_head(family, span, &segment.tokens, head, d_out);
        let piece = piece(family, span, &segment.tokens, head);
        let d_inputs = family.backward(&piece, states, &d_out, &mut d_state);
        (piece.rows.start, d_inputs, d_state)
    };
    let zeros = vec![T::ZERO; family.adjoint_state().state_len()];
    // What comes from after the span reaches its last document alone.
    let (ready, waiting) = segments.split_at(segments.len().saturating_sub(1));
    let mut done = each_head(family.heads(), ready, |head, segment| run(&zeros, ahead(head, segment), head, segment));
    let prepared = each_head(family.heads(), waiting, ahead);
    let mut d_states = zeros.clone();
    carry(&mut d_states);
    let finished = prepared.into_par_iter().map(|(segment, head, states)| (segment, head, run(&d_states, states, head, segment)));
    done.extend(finished.collect::<Vec<_>>());
    for (segment, head, (row, d_inputs, d_state)) in done {
        for (input, (rows, tensor)) in d_inputs.iter().zip(family.inputs()).enumerate() {
            let (stride, first) = (family.heads() * tensor.width, head * tensor.width);
            add_columns(&mut gradients.inputs[input], stride, (row, first), rows, tensor.width);
        }
        if segment.tokens.start == span.own.start {
            d_states[head * d_len..][..d_len].copy_from_slice(&d_state);
        }
    }
    if segments.first().is_some_and(|first| first.fresh) { zeros } else { d_states }
}

/// Blocks between the states that [`blocks_reversed`] keeps. Tests want many stretches in few tokens.
const KEPT: usize = if cfg!(test) { 2 } else { 16 };

/// The states before each stretch of [`KEPT`] blocks. `advance` takes a state over a block.
pub(super) fn stretch_states<T: Real>(
    rows: Range<usize>,
    block: usize,
    state: &[T],
    advance: impl Fn(Range<usize>, &mut [T]),
) -> Vec<Vec<T>> {
    let stretches = cut(rows, KEPT * block);
    let mut kept = vec![state.to_vec()];
    for stretch in stretches.clone().take(stretches.len().saturating_sub(1)) {
        let mut state = kept[kept.len() - 1].clone();
        cut(stretch, block).for_each(|rows| advance(rows, &mut state));
        kept.push(state);
    }
    kept
}

/// Calls `back` with blocks of rows from the last to the first, and with the states before and after each. `kept` are those of
/// [`stretch_states`]: `advance` is called twice on most blocks, so that not all states are held at once.
pub(super) fn blocks_reversed<T: Real>(
    rows: Range<usize>,
    block: usize,
    kept: Vec<Vec<T>>,
    advance: impl Fn(Range<usize>, &mut [T]),
    mut back: impl FnMut(Range<usize>, &[T], &[T]),
) {
    for (stretch, state) in cut(rows, KEPT * block).zip(kept).rev() {
        let mut states = vec![state];
        for rows in cut(stretch.clone(), block) {
            let mut state = states[states.len() - 1].clone();
            advance(rows, &mut state);
            states.push(state);
        }
        cut(stretch, block).enumerate().rev().for_each(|(i, rows)| back(rows, &states[i], &states[i + 1]));
    }
}

/// Makes a [`Sweep`] a [`Mixer`](super::Mixer).
macro_rules! mixer_by_sweep {
    ($family:ty) => {
        impl<T: $crate::attention::Real> $crate::attention::Mixer<T> for $family {
            fn name(&self) -> &'static str {
                $crate::attention::sweep::Sweep::name(self)
            }
            fn inputs(&self) -> Vec<$crate::attention::Tensor> {
                $crate::attention::sweep::inputs(self)
            }
            fn output_width(&self) -> usize {
                self.heads * $crate::attention::sweep::Sweep::output_width(self)
            }
            fn states(&self) -> Vec<$crate::attention::StateShape> {
                vec![self.state()]
            }
            fn adjoint_states(&self) -> Vec<$crate::attention::StateShape> {
                vec![self.adjoint_state()]
            }
            fn summarize(&self, span: &$crate::attention::Span<'_, T>, map: &mut [T]) {
                $crate::attention::sweep::summarize(self, span, map);
            }
            fn forward(
                &self,
                span: &$crate::attention::Span<'_, T>,
                carry: $crate::attention::Carry<'_, T>,
                out: &mut [T],
            ) -> Vec<T> {
                $crate::attention::sweep::forward(self, span, carry, out)
            }
            fn recurrent(&self, span: &$crate::attention::Span<'_, T>, states: &mut [T], out: &mut [T]) {
                $crate::attention::sweep::recurrent(self, span, states, out);
            }
            fn adjoint(&self, span: &$crate::attention::Span<'_, T>, states: &[T], d_out: &[T], map: &mut [T]) {
                $crate::attention::sweep::adjoint(self, span, states, d_out, map);
            }
            fn backward(
                &self,
                span: &$crate::attention::Span<'_, T>,
                states: &[T],
                d_out: &[T],
                carry: $crate::attention::Carry<'_, T>,
                gradients: &mut $crate::attention::Gradients<T>,
            ) -> Vec<T> {
                $crate::attention::sweep::backward(self, span, states, d_out, carry, gradients)
            }
        }
    };
}

pub(super) use mixer_by_sweep;
