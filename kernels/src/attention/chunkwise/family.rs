//! What a family says of itself, and what a rule must be able to do.

use std::{ops::Range, sync::Arc};

use super::{
    super::{Gradients, Real, Span, Tensor, Transition},
    Cut, Head, Output, Part, Route, Sheet, Stretch, Widths, merge_stripes,
};

/// Columns of an input that are a part of what a head reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stripe {
    pub(crate) part: Part,
    /// The place of the input among [`Family::inputs`].
    pub(crate) tensor: usize,
    /// The first of its columns.
    pub(crate) first: usize,
    pub(crate) width: usize,
}

impl Stripe {
    /// The columns of `head` in a tensor that has as many for each head.
    pub(crate) fn of_head(part: Part, tensor: usize, head: usize, width: usize) -> Self {
        Self { part, tensor, first: head * width, width }
    }
}

/// Some tokens of one head, to be loaded.
pub(crate) struct Tokens<'a, T> {
    pub(crate) span: &'a Span<'a, T>,
    pub(crate) head: usize,
    pub(crate) route: &'a Route<T>,
    /// Places of the route.
    pub(crate) range: Range<usize>,
}

/// A family of chunkwise attention: its tensors, and how they become queries, keys, values and gates.
pub(crate) trait Family<T: Real>: Send + Sync {
    /// As [`Mixer::name`](super::super::Mixer::name).
    fn name(&self) -> &'static str;

    /// As [`Mixer::inputs`](super::super::Mixer::inputs).
    fn inputs(&self) -> Vec<Tensor>;

    /// As [`Mixer::params`](super::super::Mixer::params).
    fn params(&self) -> Vec<Tensor> {
        vec![]
    }

    /// How many states there are, side by side.
    fn heads(&self) -> usize;

    /// What a head's rows are made of.
    fn widths(&self) -> Widths;

    /// Whether the last value is the constant 1 and outputs are divided by what it sums up to.
    fn normalised(&self) -> bool {
        false
    }

    /// How many heads have outputs of their own; state `i` adds to output `i % output_heads()`.
    fn output_heads(&self) -> usize {
        self.heads()
    }

    /// The tokens that each head reads. All, if a family says nothing.
    fn routes(&self, span: &Span<'_, T>) -> Vec<Arc<Route<T>>> {
        let all = Arc::new(Route::all(span));
        (0..self.heads()).map(|_| all.clone()).collect()
    }

    /// The inputs that a head's parts are copied from.
    fn stripes(&self, head: usize) -> Vec<Stripe>;

    /// Turns what was copied into what the rule reads.
    fn features(&self, _tokens: &Tokens<'_, T>, _chunk: &mut Sheet<T>) {}

    /// Mends the finished rows of a chunk of a gated sum that its features could not tell (nothing, in most families). `state` is that
    /// before the chunk.
    fn mend(&self, _tokens: &Tokens<'_, T>, _chunk: &Sheet<T>, _state: &[T], _rows: &mut [T]) {}

    /// Turns the gradients of what the rule read (`chunk`) into those of what was copied.
    fn pull_back(&self, _tokens: &Tokens<'_, T>, _chunk: &Sheet<T>, _d: &mut Sheet<T>) {}

    /// Adds the gradients of all heads over a stretch to those of the inputs and parameters.
    fn merge(&self, span: &Span<'_, T>, stretch: &Stretch<'_, T>, gradients: &mut Gradients<T>) {
        let stripes: Vec<_> = (0..self.heads()).map(|head| self.stripes(head)).collect();
        merge_stripes(&stripes, span, &self.inputs(), stretch, gradients);
    }
}

/// A family with the rule by which its state changes.
pub(crate) trait Chunkwise<T: Real>: Family<T> {
    /// The rule.
    type Rule: Rule<T>;
}

/// How much of a pass forward is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// What needs no state.
    Intra,
    /// The rest.
    Sweep,
    /// All at once, where the state is known: each token is read once.
    Both,
}

/// How a chunk of tokens changes a state, in both directions. All functions are of one head; `d_out` has a row of values for each
/// token of its route, `state` is key × value.
pub(crate) trait Rule<T: Real> {
    /// What a pass computes before it has the state.
    type Kept: Default + Send + Sync;

    /// What kind of map takes the state over a span.
    fn transition(widths: Widths) -> Transition;

    /// One token: the state after it.
    fn step(token: &Sheet<T>, state: &mut [T]);

    /// The map of all tokens: transition, then M.
    fn summarize(head: &Head<'_, T>, map: &mut [T]);

    /// Some chunks forward, as far as `pass` says; `kept` goes from the one half to the other.
    fn forward(head: &Head<'_, T>, cuts: &[Cut], pass: Pass, kept: &mut Self::Kept, state: &mut [T], out: &mut Output<'_, T>);

    /// The map of the gradient of the state.
    fn adjoint(head: &Head<'_, T>, d_out: &[T], map: &mut [T]);

    /// The state after some chunks.
    fn advance(head: &Head<'_, T>, cuts: &[Cut], state: &mut [T]);

    /// Of some chunks, what needs neither the state nor its gradient. `d_out` and `d` have the rows of these chunks alone; `d` comes as
    /// zeros.
    fn backward_intra(head: &Head<'_, T>, cuts: &[Cut], d_out: &[T], d: &mut Sheet<T>) -> Self::Kept;

    /// The rest of `d`, pulled back to what was copied; `state` is that before these chunks, `d_state` the gradient of that after them
    /// and becomes that before them.
    fn backward_sweep(
        head: &Head<'_, T>,
        cuts: &[Cut],
        kept: &Self::Kept,
        state: &[T],
        d_out: &[T],
        d_state: &mut [T],
        d: &mut Sheet<T>,
    );
}
