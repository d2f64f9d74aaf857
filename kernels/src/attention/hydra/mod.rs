//! Hydra (arXiv 2407.09941): a quasiseparable mixer, which looks both ways with two states and has a diagonal of its own.
//!
//! ```text
//! y_i = Σ_{j<i} q_{i−1}ᵀ (Π_{j<t<i} a_t) k_j v_j  +  δ_i v_i  +  Σ_{j>i} q'_{i+1}ᵀ (Π_{i<t<j} a'_t) k'_j v_j
//! ```
//!
//! Each direction is Mamba-2's recurrence (arXiv 2405.21060), with C as q, Δ·B as k and e^(Δ·A) as a, put one token later (the
//! paper's shift): what token i − 1 would put out is the output of i. So each reads one neighbour's token, its halo. The reverse
//! direction is the forward one on the mirrored sequence. Δ, B, C, the projections and the centred convolution before
//! ([`ShortConvolution`](super::ShortConvolution)) belong to the caller; δ comes as one number a head (`fc_D(x) + D`).
//!
//! The released code shifts the batch as it is; here neither the shift nor a state crosses the boundary of a document.
//!
//! Over ranks: one forward and one reverse state, each dk dv + 1 a head, in each pass. Cost of a token and head: twice that of
//! linear attention with a scalar gate.

mod mirror;
mod shifted;
#[cfg(test)]
mod tests;

use super::{Carry, Direction, Gradients, Halo, Mixer, Real, Span, StateShape, Tensor, heads::add};
use mirror::{Mirror, mirrored};
use shifted::Shifted;

/// Hydra's mixer. Inputs, each of them forward and then reverse, q and k (heads × key), g (heads; logarithms of gates, not
/// positive); then v (heads × value) and the diagonal d (heads). Output heads × value. States: forward, then reverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hydra {
    /// Heads.
    pub heads: usize,
    /// Elements of a query and of a key: Mamba's state size.
    pub key: usize,
    /// Elements of a value.
    pub value: usize,
}

/// Places of the inputs that each direction reads: q, k, g, v.
const READ: [[usize; 4]; 2] = [[0, 1, 2, 6], [3, 4, 5, 6]];
const VALUES: usize = 6;
const DIAGONAL: usize = 7;

impl Hydra {
    fn shifted(&self) -> Shifted {
        Shifted { heads: self.heads, key: self.key, value: self.value }
    }

    /// The shape of one state.
    fn shape<T: Real>(&self, direction: Direction) -> StateShape {
        let [state]: [StateShape; 1] = Mixer::<T>::states(&self.shifted()).try_into().expect("a shifted direction has one state");
        StateShape { direction, ..state }
    }

    fn output_stride(&self) -> usize {
        self.heads * self.value
    }

    /// Adds the diagonal's part to the outputs.
    fn add_diagonal<T: Real>(&self, span: &Span<'_, T>, out: &mut [T]) {
        let (row, value) = (span.row(span.own.start), self.value);
        let values = span.inputs[VALUES][row * self.output_stride()..].chunks(value);
        let diagonal = &span.inputs[DIAGONAL][row * self.heads..];
        for ((out, values), &d) in out.chunks_mut(value).zip(values).zip(diagonal) {
            out.iter_mut().zip(values).for_each(|(out, &v)| *out += d * v);
        }
    }

    fn diagonal_backward<T: Real>(&self, span: &Span<'_, T>, d_out: &[T], gradients: &mut Gradients<T>) {
        let (row, value) = (span.row(span.own.start), self.value);
        let (first, head) = (row * self.output_stride(), row * self.heads);
        let values = span.inputs[VALUES][first..].chunks(value);
        let rows = values.zip(&span.inputs[DIAGONAL][head..]).zip(d_out.chunks(value));
        let d_values = first..first + d_out.len();
        let d_diagonal = gradients.inputs[DIAGONAL][head..].iter_mut();
        for (((values, _), d_out), d_diagonal) in rows.clone().zip(d_diagonal) {
            *d_diagonal += super::heads::dot(values, d_out);
        }
        for (((_, &d), d_out), d_values) in rows.zip(gradients.inputs[VALUES][d_values].chunks_mut(value)) {
            d_values.iter_mut().zip(d_out).for_each(|(d_value, &d_out)| *d_value += d * d_out);
        }
    }
}

/// The inputs of one direction, as they are.
fn forward_span<'a, T: Real>(span: &Span<'a, T>) -> Span<'a, T> {
    Span { inputs: READ[0].map(|input| span.inputs[input]).to_vec(), ..span.clone() }
}

impl<T: Real> Mixer<T> for Hydra {
    fn name(&self) -> &'static str {
        "Hydra"
    }

    fn inputs(&self) -> Vec<Tensor> {
        let (key, value, one) = (self.heads * self.key, self.heads * self.value, self.heads);
        let directions = [("q", key), ("k", key), ("g", one), ("q reverse", key), ("k reverse", key), ("g reverse", one)];
        let names = directions.into_iter().chain([("v", value), ("d", one)]);
        names.map(|(name, width)| Tensor::new(name, width)).collect()
    }

    fn output_width(&self) -> usize {
        self.output_stride()
    }

    fn halo(&self) -> Halo {
        Halo { left: 1, right: 1 }
    }

    fn states(&self) -> Vec<StateShape> {
        vec![self.shape::<T>(Direction::Forward), self.shape::<T>(Direction::Reverse)]
    }

    fn adjoint_states(&self) -> Vec<StateShape> {
        vec![self.shape::<T>(Direction::Reverse), self.shape::<T>(Direction::Forward)]
    }

    fn summarize(&self, span: &Span<'_, T>, map: &mut [T]) {
        let (forward, reverse) = map.split_at_mut(self.shape::<T>(Direction::Forward).map_len());
        self.shifted().summarize(&forward_span(span), forward);
        self.shifted().summarize(&Mirror::new(span, &READ[1]).span(), reverse);
    }

    fn forward(&self, span: &Span<'_, T>, carry: Carry<'_, T>, out: &mut [T]) -> Vec<T> {
        let (width, len) = (self.output_stride(), self.shape::<T>(Direction::Forward).state_len());
        let (mut states, mut reverse) = (vec![T::ZERO; 2 * len], vec![T::ZERO; out.len()]);
        let mut after = self.shifted().forward(
            &forward_span(span),
            &mut |forward| {
                carry(&mut states);
                forward.copy_from_slice(&states[..len]);
            },
            out,
        );
        let mirror = Mirror::new(span, &READ[1]);
        let before = self.shifted().forward(&mirror.span(), &mut |state| state.copy_from_slice(&states[len..]), &mut reverse);
        after.extend(before);
        add(out, &mirrored(&reverse, width));
        self.add_diagonal(span, out);
        after
    }

    fn recurrent(&self, span: &Span<'_, T>, states: &mut [T], out: &mut [T]) {
        let (forward, reverse) = states.split_at_mut(self.shape::<T>(Direction::Forward).state_len());
        self.shifted().recurrent(&forward_span(span), forward, out);
        let mut other = vec![T::ZERO; out.len()];
        self.shifted().recurrent(&Mirror::new(span, &READ[1]).span(), reverse, &mut other);
        add(out, &mirrored(&other, self.output_stride()));
        self.add_diagonal(span, out);
    }

    fn adjoint(&self, span: &Span<'_, T>, states: &[T], d_out: &[T], map: &mut [T]) {
        let (forward, reverse) = map.split_at_mut(self.shape::<T>(Direction::Forward).map_len());
        let (state, other) = states.split_at(self.shape::<T>(Direction::Forward).state_len());
        self.shifted().adjoint(&forward_span(span), state, d_out, forward);
        self.shifted().adjoint(&Mirror::new(span, &READ[1]).span(), other, &mirrored(d_out, self.output_stride()), reverse);
    }

    fn backward(
        &self,
        span: &Span<'_, T>,
        states: &[T],
        d_out: &[T],
        carry: Carry<'_, T>,
        gradients: &mut Gradients<T>,
    ) -> Vec<T> {
        let (state, other) = states.split_at(self.shape::<T>(Direction::Forward).state_len());
        let (forward, mirror) = (forward_span(span), Mirror::new(span, &READ[1]));
        let reverse = mirror.span();
        let (mut d_forward, mut d_reverse) = (Gradients::zeros(&forward), Gradients::zeros(&reverse));
        let mut d_states = vec![T::ZERO; states.len()];
        let fill = &mut |d: &mut [T]| {
            carry(&mut d_states);
            d.copy_from_slice(&d_states[..state.len()]);
        };
        let mut before = self.shifted().backward(&forward, state, d_out, fill, &mut d_forward);
        let d_mirrored = mirrored(d_out, self.output_stride());
        let fill = &mut |d: &mut [T]| d.copy_from_slice(&d_states[state.len()..]);
        before.extend(self.shifted().backward(&reverse, other, &d_mirrored, fill, &mut d_reverse));
        for (input, d) in READ[0].into_iter().zip(&d_forward.inputs) {
            add(&mut gradients.inputs[input], d);
        }
        for (input, d) in READ[1].into_iter().zip(&d_reverse.inputs) {
            add(&mut gradients.inputs[input], &mirrored(d, d.len() / span.rows.len().max(1)));
        }
        self.diagonal_backward(span, d_out, gradients);
        before
    }
}
