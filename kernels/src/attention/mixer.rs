//! What a family of linear-time attention is to those who run it: inputs, outputs, a state that is an affine map, and both passes.
//!
//! ```text
//! forward    summarize ──► (A, M) ──► gather, prefix ──► S_in ──┐
//!            forward: what needs no state … carry() ◄───────────┘ … the rest ──► outputs, S_out
//!
//! backward   adjoint ──► (Aᵀ, dM) ──► gather, suffix ──► dS_out ─┐
//!            backward: what needs no state … carry() ◄───────────┘ … the rest ──► gradients, dS_in
//! ```
//!
//! On one rank nothing is gathered: `S_in` and `dS_out` are the empty state and zero, and `summarize` is never called.

use super::{Gradients, Halo, Real, Span, StateShape};

/// A tensor that a family reads, by the name it has in the literature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// `q`, `k`, `v`, `g`, `beta`.
    pub name: &'static str,
    /// Elements: of an input, a token; of a parameter, altogether.
    pub width: usize,
}

impl Tensor {
    /// A tensor of this name and width.
    pub fn new(name: &'static str, width: usize) -> Self {
        Self { name, width }
    }
}

/// Fills in a state when it is first needed, so that what does not need it can be computed while it is on its way. Called at most
/// once, with the states of [`Mixer::states`] (or of [`Mixer::adjoint_states`]) one after the other.
///
/// The slice comes filled with the state of a sequence's beginning (or with zeros, for the gradient); one rank leaves it so.
pub type Carry<'a, T> = &'a mut dyn FnMut(&mut [T]);

/// A family of linear-time attention. Pure: nothing is remembered between calls, and backward computes again what it needs.
///
/// Heads are computed in parallel on the current rayon pool; results do not depend on how many threads it has. Shapes are the
/// caller's business: a tensor of a wrong length panics.
pub trait Mixer<T: Real>: Send + Sync {
    /// The family's name in the literature.
    fn name(&self) -> &'static str;

    /// What each token brings.
    fn inputs(&self) -> Vec<Tensor>;

    /// What all tokens share.
    fn params(&self) -> Vec<Tensor> {
        vec![]
    }

    /// Elements of output for each token.
    fn output_width(&self) -> usize;

    /// The neighbours' tokens that it reads.
    fn halo(&self) -> Halo {
        Halo::default()
    }

    /// What it carries from token to token. More than one where directions or kinds differ.
    fn states(&self) -> Vec<StateShape>;

    /// What backward carries: the gradients of [`Mixer::states`], in the same order, with directions turned round.
    fn adjoint_states(&self) -> Vec<StateShape>;

    /// The map of each state over the span, one after the other: `map` has the sum of [`StateShape::map_len`] elements.
    fn summarize(&self, span: &Span<'_, T>, map: &mut [T]);

    /// Chunk by chunk: the outputs of the span's own tokens (`out`: own tokens × width, overwritten) and the states after it.
    fn forward(&self, span: &Span<'_, T>, carry: Carry<'_, T>, out: &mut [T]) -> Vec<T>;

    /// Token by token: the same function, as decoding runs it. `states` holds the states before the span and then after it.
    fn recurrent(&self, span: &Span<'_, T>, states: &mut [T], out: &mut [T]);

    /// The map of each adjoint state over the span. `states` are those before the span, as forward was given them.
    fn adjoint(&self, span: &Span<'_, T>, states: &[T], d_out: &[T], map: &mut [T]);

    /// Adds the gradients of inputs and parameters, and returns the gradient of `states`, those before the span.
    fn backward(
        &self,
        span: &Span<'_, T>,
        states: &[T],
        d_out: &[T],
        carry: Carry<'_, T>,
        gradients: &mut Gradients<T>,
    ) -> Vec<T>;
}
