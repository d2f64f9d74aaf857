//! What a family is that has no state of fixed size: its ranks need a tensor of all others (keys and values, segment summaries).

use super::{Gradients, Halo, Real, Span, Tensor};

/// A family whose ranks gather a tensor that grows with the sequence: softmax attention (LASP-2H), Combiner.
///
/// ```text
/// forward    contribute ──► gather in rank order ──► forward ──► outputs
/// backward   backward ──► gradient of the gathered, reduce-scattered ──► contribute_backward
/// ```
///
/// Pure, parallel over heads on the current rayon pool, with the promises of [`Mixer`](super::Mixer).
pub trait Gathered<T: Real>: Send + Sync {
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

    /// The neighbours' tokens that it reads beside what is gathered.
    fn halo(&self) -> Halo {
        Halo::default()
    }

    /// How many elements a span contributes. Every rank can tell it of every other.
    fn contribution_len(&self, span: &Span<'_, T>) -> usize;

    /// What the others need of this span.
    fn contribute(&self, span: &Span<'_, T>) -> Vec<T>;

    /// The outputs of the span's own tokens (`out`: own tokens × width, overwritten). `shared` holds all contributions in order.
    fn forward(&self, span: &Span<'_, T>, shared: &[T], out: &mut [T]);

    /// Adds the gradients of inputs and parameters, but for what went through the contribution, and of `shared` to `d_shared`.
    fn backward(&self, span: &Span<'_, T>, shared: &[T], d_out: &[T], d_shared: &mut [T], gradients: &mut Gradients<T>);

    /// Adds what the gradient of the own contribution, summed over all ranks, means for inputs and parameters.
    fn contribute_backward(&self, span: &Span<'_, T>, d_own: &[T], gradients: &mut Gradients<T>);
}
