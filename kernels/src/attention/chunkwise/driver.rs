//! Every [`Chunkwise`] family as a [`Mixer`](super::super::Mixer): heads in parallel, the carry between what needs no state and what does.

use rayon::prelude::*;

use super::{
    super::{Carry, Direction, Gradients, Real, Span, StateShape},
    Chunkwise, Family, Head, Output, Pass, Rule, Sheet,
    output::OutputShape,
    recurrent::token_by_token,
};

/// As [`Mixer::summarize`](super::super::Mixer::summarize).
pub(crate) fn summarize<T: Real, F: Chunkwise<T>>(family: &F, span: &Span<'_, T>, map: &mut [T]) {
    let heads = Head::all(family, span);
    let len = map.len() / heads.len();
    heads.par_iter().zip(map.par_chunks_mut(len)).for_each(|(head, map)| F::Rule::summarize(head, map));
}

/// As [`Mixer::forward`](super::super::Mixer::forward). What no state comes into is done at once and as a whole; of the rest, before
/// the carry, what needs no state.
pub(crate) fn forward<T: Real, F: Chunkwise<T>>(family: &F, span: &Span<'_, T>, carry: Carry<'_, T>, out: &mut [T]) -> Vec<T> {
    let heads = Head::all(family, span);
    let mut groups = groups(family, span, &heads, out);
    let mut kept: Vec<Vec<_>> = groups
        .par_iter_mut()
        .map(|(heads, out)| {
            let ahead = |head: &&Head<'_, T>| {
                let ((open, closed), mut kept) = (head.open_and_closed(), Default::default());
                F::Rule::forward(head, open, Pass::Intra, &mut kept, &mut [], out);
                let mut state = vec![T::ZERO; head.state_len()];
                F::Rule::forward(head, closed, Pass::Both, &mut Default::default(), &mut state, out);
                (kept, (!closed.is_empty()).then_some(state))
            };
            heads.iter().map(ahead).collect()
        })
        .collect();
    let mut states = shape::<T, F>(family, Direction::Forward).empty_state();
    carry(&mut states);
    let dealt = deal(&mut states, heads.len(), groups.len());
    (groups.par_iter_mut(), kept.par_iter_mut(), dealt).into_par_iter().for_each(|((heads, out), kept, states)| {
        for ((head, (kept, after)), state) in heads.iter().zip(kept).zip(states) {
            F::Rule::forward(head, head.open_and_closed().0, Pass::Sweep, kept, state, out);
            if let Some(after) = after {
                state.copy_from_slice(after);
            }
        }
    });
    states
}

/// As [`Mixer::recurrent`](super::super::Mixer::recurrent).
pub(crate) fn recurrent<T: Real, F: Chunkwise<T>>(family: &F, span: &Span<'_, T>, states: &mut [T], out: &mut [T]) {
    let heads = Head::all(family, span);
    let groups = groups(family, span, &heads, out);
    let dealt = deal(states, heads.len(), groups.len());
    (groups, dealt).into_par_iter().for_each(|((heads, mut out), states)| {
        heads.iter().zip(states).for_each(|(head, state)| token_by_token::<T, F::Rule>(head, state, &mut out));
    });
}

/// The heads that write to the same columns of the outputs.
type Group<'a, 's, T> = (Vec<&'a Head<'s, T>>, Output<'a, T>);

fn groups<'a, 's, T: Real>(
    family: &impl Family<T>,
    span: &Span<'_, T>,
    heads: &'a [Head<'s, T>],
    out: &'a mut [T],
) -> Vec<Group<'a, 's, T>> {
    let count = family.output_heads();
    let shape =
        OutputShape { heads: count, width: output_value(family), normalised: family.normalised(), shared: heads.len() > count };
    let outputs = Output::deal(out, span.row(span.own.start), shape).into_iter().enumerate();
    outputs.map(|(group, out)| (heads.iter().skip(group).step_by(count).collect(), out)).collect()
}

/// What lies side by side for all heads, by the group that each head belongs to.
fn deal<T>(all: &mut [T], heads: usize, groups: usize) -> Vec<Vec<&mut [T]>> {
    let mut dealt: Vec<Vec<_>> = (0..groups).map(|_| vec![]).collect();
    all.chunks_mut(all.len() / heads).enumerate().for_each(|(head, part)| dealt[head % groups].push(part));
    dealt
}

/// As [`Mixer::adjoint`](super::super::Mixer::adjoint).
pub(crate) fn adjoint<T: Real, F: Chunkwise<T>>(family: &F, span: &Span<'_, T>, states: &[T], d_out: &[T], map: &mut [T]) {
    let heads = Head::all(family, span);
    let (state_len, len) = (states.len() / heads.len(), map.len() / heads.len());
    (heads.par_iter(), states.par_chunks(state_len), map.par_chunks_mut(len)).into_par_iter().enumerate().for_each(
        |(index, (head, state, map))| {
            let d_rows = d_rows::<T, F>(family, span, head, index, state, d_out);
            F::Rule::adjoint(head, &d_rows, map);
        },
    );
}

/// As [`Mixer::backward`](super::super::Mixer::backward).
pub(crate) fn backward<T: Real, F: Chunkwise<T>>(
    family: &F,
    span: &Span<'_, T>,
    states: &[T],
    d_out: &[T],
    carry: Carry<'_, T>,
    gradients: &mut Gradients<T>,
) -> Vec<T> {
    let heads = Head::all(family, span);
    let len = states.len() / heads.len();
    let kept: Vec<_> = (heads.par_iter(), states.par_chunks(len))
        .into_par_iter()
        .enumerate()
        .map(|(index, (head, state))| {
            let d_rows = d_rows::<T, F>(family, span, head, index, state, d_out);
            let mut sheet = Sheet::new(head.widths, head.route.len());
            let kept = F::Rule::backward_intra(head, &d_rows, &mut sheet);
            (kept, d_rows, sheet)
        })
        .collect();
    let mut d_states = vec![T::ZERO; states.len()];
    carry(&mut d_states);
    let sheets: Vec<Sheet<T>> = (heads.par_iter(), kept.into_par_iter(), states.par_chunks(len), d_states.par_chunks_mut(len))
        .into_par_iter()
        .map(|(head, (kept, d_rows, mut sheet), state, d_state)| {
            F::Rule::backward_sweep(head, &kept, state, &d_rows, d_state, &mut sheet);
            sheet
        })
        .collect();
    let routes: Vec<_> = heads.iter().map(|head| head.route.clone()).collect();
    family.merge(span, &routes, &sheets, gradients);
    d_states
}

/// The shape of the states.
pub(crate) fn shape<T: Real, F: Chunkwise<T>>(family: &F, direction: Direction) -> StateShape {
    let widths = family.widths();
    StateShape { heads: family.heads(), rows: widths.key, cols: widths.value, transition: F::Rule::transition(widths), direction }
}

/// As [`Mixer::output_width`](super::super::Mixer::output_width).
pub(crate) fn output_width<T: Real>(family: &impl Family<T>) -> usize {
    family.output_heads() * output_value(family)
}

/// Values of a head's output: a sum of weights is none of them.
fn output_value<T: Real>(family: &impl Family<T>) -> usize {
    family.widths().value - usize::from(family.normalised())
}

impl<T: Real> Head<'_, T> {
    /// A row of values for each token.
    fn rows(&self) -> Vec<T> {
        vec![T::ZERO; self.route.len() * self.widths.value]
    }
}

/// The gradient of a head's rows from that of the outputs. A division needs the rows themselves, which are computed again.
fn d_rows<T: Real, F: Chunkwise<T>>(
    family: &F,
    span: &Span<'_, T>,
    head: &Head<'_, T>,
    index: usize,
    state: &[T],
    d_out: &[T],
) -> Vec<T> {
    let (value, width) = (head.widths.value, output_value(family));
    let stride = family.output_heads() * width;
    let first = index % family.output_heads() * width;
    let mut d_rows = head.rows();
    for (place, row) in d_rows.chunks_mut(value).enumerate() {
        let token = head.route.row(place) - span.row(span.own.start);
        row[..width].copy_from_slice(&d_out[token * stride + first..][..width]);
    }
    if family.normalised() && head.route.len() > 0 {
        let (mut rows, mut state) = (head.rows(), state.to_vec());
        let raw = OutputShape { heads: 1, width: value, normalised: false, shared: false };
        for mut out in Output::deal(&mut rows, head.route.row(0), raw) {
            F::Rule::forward(head, head.cuts(), Pass::Both, &mut Default::default(), &mut state, &mut out);
        }
        for (d, row) in d_rows.chunks_mut(value).zip(rows.chunks(value)) {
            let sum = row[width];
            let along: T = d.iter().zip(&row[..width]).map(|(&d, &x)| d * x).sum();
            d[..width].iter_mut().for_each(|d| *d /= sum);
            d[width] = -along / (sum * sum);
        }
    }
    d_rows
}
