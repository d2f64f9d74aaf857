//! Every [`Chunkwise`] family as a [`Mixer`](super::super::Mixer): heads in parallel, the carry between what needs no state and what does.

use rayon::prelude::*;

use super::{
    super::{Carry, Direction, Gradients, Real, Span, StateShape},
    Chunkwise, Family, Head, Output, Pass, Rule, Stretch,
    output::OutputShape,
    recurrent::token_by_token,
    stretch::{Desk, d_rows, output_value},
};

/// Chunks of which, before the carry, what needs no state is computed: far more than an exchange of states takes, and so few that
/// what is kept of them does not grow with the sequence. Tests want more to be left.
const AHEAD: usize = if cfg!(test) { 1 } else { 64 };

/// As [`Mixer::summarize`](super::super::Mixer::summarize).
pub(crate) fn summarize<T: Real, F: Chunkwise<T>>(family: &F, span: &Span<'_, T>, map: &mut [T]) {
    let heads = Head::all(family, span);
    let len = map.len() / heads.len();
    heads.par_iter().zip(map.par_chunks_mut(len)).for_each(|(head, map)| F::Rule::summarize(head, map));
}

/// As [`Mixer::forward`](super::super::Mixer::forward). What no state comes into is done at once and as a whole; of the rest, before
/// the carry, what needs no state of its first chunks.
pub(crate) fn forward<T: Real, F: Chunkwise<T>>(family: &F, span: &Span<'_, T>, carry: Carry<'_, T>, out: &mut [T]) -> Vec<T> {
    let heads = Head::all(family, span);
    let mut groups = groups(family, span, &heads, out);
    let mut kept: Vec<Vec<_>> = groups
        .par_iter_mut()
        .map(|(heads, out)| {
            let ahead = |head: &&Head<'_, T>| {
                let ((open, closed), mut kept) = (head.open_and_closed(), Default::default());
                let ahead = &open[..open.len().min(AHEAD)];
                F::Rule::forward(head, ahead, Pass::Intra, &mut kept, &mut [], out);
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
            let open = head.open_and_closed().0;
            let (ahead, rest) = open.split_at(open.len().min(AHEAD));
            F::Rule::forward(head, ahead, Pass::Sweep, kept, state, out);
            F::Rule::forward(head, rest, Pass::Both, &mut Default::default(), state, out);
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
            let mut rows = vec![];
            d_rows::<T, F>(family, span, head, (index, head.cuts(), 0..head.route.len()), (state, d_out), &mut rows);
            F::Rule::adjoint(head, &rows, map);
        },
    );
}

/// As [`Mixer::backward`](super::super::Mixer::backward). Before the carry: the states between stretches, and of the last stretch what
/// needs no gradient of a state.
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
    let desk = |(index, (head, state))| Desk::new::<F::Rule>(head, index, state);
    let mut desks: Vec<_> = (heads.par_iter(), states.par_chunks(len)).into_par_iter().enumerate().map(desk).collect();
    let last = desks.iter().map(Desk::stretches).max().unwrap_or(1) - 1;
    desks.par_iter_mut().for_each(|desk| desk.prepare(family, span, d_out, last));
    let mut d_states = vec![T::ZERO; states.len()];
    carry(&mut d_states);
    let routes: Vec<_> = heads.iter().map(|head| head.route.clone()).collect();
    for stretch in (0..=last).rev() {
        (desks.par_iter_mut(), d_states.par_chunks_mut(len)).into_par_iter().for_each(|(desk, d_state)| {
            if stretch < last {
                desk.prepare(family, span, d_out, stretch);
            }
            desk.finish::<F::Rule>(stretch, d_state);
        });
        let (places, sheets) = desks.iter().map(|desk| (desk.places(stretch), &desk.sheet)).unzip();
        family.merge(span, &Stretch { routes: &routes, places, sheets }, gradients);
    }
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
