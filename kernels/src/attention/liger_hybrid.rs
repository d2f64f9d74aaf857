//! Liger attention (arXiv 2503.01496): half a window of softmax, half gated linear attention, of one pre-trained layer.
//!
//! `o = ½ · window(q', k', v) + ½ · liger(q, k, v)`: the [`SlidingWindow`] sees queries and keys with rotary embedding (q', k'), the
//! linear branch ([`Liger`]) those without, which also make its gates. The released code calls the halves important; its window is
//! 64. Layers with fewer heads of keys repeat them, as there.
//!
//! Over ranks: the state of [`Liger`], and the window's halo. Cost of a token: the sum of both.

use super::{
    Carry, Gradients, Halo, Liger, Mixer, Real, SlidingWindow, SoftmaxHeads, Span, StateShape, Tensor,
    heads::{add, axpy},
};

/// Liger's hybrid. Inputs q, k (heads × key, as projected), v (heads × value), then q and k with rotary embedding; output heads ×
/// value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LigerHybrid {
    linear: Liger,
    window: SlidingWindow,
}

/// Places of the inputs that the window reads: q, k, v.
const WINDOW: [usize; 3] = [3, 4, 2];

impl LigerHybrid {
    /// Of so many heads, with a window of so many tokens (at least 1).
    pub fn new(heads: usize, key: usize, value: usize, window: usize) -> Self {
        let heads_of_window = SoftmaxHeads::equal(heads, key, value);
        Self { linear: Liger::new(heads, key, value), window: SlidingWindow { heads: heads_of_window, window } }
    }
}

fn linear_span<'a, T: Real>(span: &Span<'a, T>) -> Span<'a, T> {
    Span { inputs: span.inputs[..3].to_vec(), ..span.clone() }
}

fn window_span<'a, T: Real>(span: &Span<'a, T>) -> Span<'a, T> {
    Span { inputs: WINDOW.map(|input| span.inputs[input]).to_vec(), ..span.clone() }
}

/// Half of each.
fn blend<T: Real>(out: &mut [T], other: &[T]) {
    out.iter_mut().zip(other).for_each(|(out, &other)| *out = T::of(0.5) * (*out + other));
}

impl<T: Real> Mixer<T> for LigerHybrid {
    fn name(&self) -> &'static str {
        "Liger attention"
    }

    fn inputs(&self) -> Vec<Tensor> {
        let mut inputs = Mixer::<T>::inputs(&self.linear);
        let (q, k) = (inputs[0].width, inputs[1].width);
        inputs.extend([Tensor::new("q rotary", q), Tensor::new("k rotary", k)]);
        inputs
    }

    fn output_width(&self) -> usize {
        Mixer::<T>::output_width(&self.linear)
    }

    fn halo(&self) -> Halo {
        Mixer::<T>::halo(&self.window)
    }

    fn states(&self) -> Vec<StateShape> {
        Mixer::<T>::states(&self.linear)
    }

    fn adjoint_states(&self) -> Vec<StateShape> {
        Mixer::<T>::adjoint_states(&self.linear)
    }

    fn summarize(&self, span: &Span<'_, T>, map: &mut [T]) {
        self.linear.summarize(&linear_span(span), map);
    }

    fn forward(&self, span: &Span<'_, T>, carry: Carry<'_, T>, out: &mut [T]) -> Vec<T> {
        let mut near = vec![T::ZERO; out.len()];
        self.window.forward(&window_span(span), &mut |_| {}, &mut near);
        let states = self.linear.forward(&linear_span(span), carry, out);
        blend(out, &near);
        states
    }

    fn recurrent(&self, span: &Span<'_, T>, states: &mut [T], out: &mut [T]) {
        let mut near = vec![T::ZERO; out.len()];
        self.window.recurrent(&window_span(span), &mut [], &mut near);
        self.linear.recurrent(&linear_span(span), states, out);
        blend(out, &near);
    }

    fn adjoint(&self, span: &Span<'_, T>, states: &[T], d_out: &[T], map: &mut [T]) {
        self.linear.adjoint(&linear_span(span), states, &half(d_out), map);
    }

    fn backward(
        &self,
        span: &Span<'_, T>,
        states: &[T],
        d_out: &[T],
        carry: Carry<'_, T>,
        gradients: &mut Gradients<T>,
    ) -> Vec<T> {
        let (linear, window, d_out) = (linear_span(span), window_span(span), half(d_out));
        let mut near = Gradients::zeros(&window);
        self.window.backward(&window, &[], &d_out, &mut |_| {}, &mut near);
        WINDOW.iter().zip(&near.inputs).for_each(|(&input, near)| add(&mut gradients.inputs[input], near));
        let mut far = Gradients::zeros(&linear);
        let d_states = self.linear.backward(&linear, states, &d_out, carry, &mut far);
        gradients.inputs.iter_mut().zip(&far.inputs).for_each(|(all, far)| add(all, far));
        d_states
    }
}

fn half<T: Real>(x: &[T]) -> Vec<T> {
    let mut out = vec![T::ZERO; x.len()];
    axpy(&mut out, T::of(0.5), x);
    out
}

#[cfg(test)]
mod tests {
    use super::{super::testing::prove, *};

    fn softmax(x: &[f64]) -> Vec<f64> {
        let sum: f64 = x.iter().map(|x| x.exp()).sum();
        x.iter().map(|x| x.exp() / sum).collect()
    }

    /// One head: the window with all its scores at hand, the linear branch token by token.
    fn plain(key: usize, value: usize, window: usize, span: &Span<'_, f64>, state: &mut [f64]) -> Vec<f64> {
        let row = |input: usize, token: usize, width: usize| &span.inputs[input][span.row(token) * width..][..width];
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut out = vec![];
        for t in span.own.clone() {
            let start = span.documents.start_of(t);
            if start == t {
                state.fill(0.0);
            }
            let (q, k, v) = (softmax(row(0, t, key)), softmax(row(1, t, key)), row(2, t, value));
            for (c, state) in state.chunks_mut(value).enumerate() {
                let gate = (1.0 / (1.0 + (-row(1, t, key)[c]).exp())).powf(1.0 / 16.0);
                state.iter_mut().zip(v).for_each(|(s, v)| *s = gate * *s + k[c] * v);
            }
            let seen: Vec<usize> = (start..=t).filter(|j| t - j < window).collect();
            let scores: Vec<f64> = seen.iter().map(|&j| dot(row(3, t, key), row(4, j, key)) / (key as f64).sqrt()).collect();
            for e in 0..value {
                let near: f64 = seen.iter().zip(softmax(&scores)).map(|(&j, weight)| weight * row(2, j, value)[e]).sum();
                let far: f64 = (0..key).map(|c| q[c] * state[c * value + e]).sum();
                out.push((near + far) / 2.0);
            }
        }
        out
    }

    #[test]
    fn liger_attention_is_half_a_window_and_half_a_recurrence_on_any_ranks() {
        let hybrid = LigerHybrid::new(1, 4, 3, 6);
        prove(&hybrid, &hybrid, &|span, states| plain(4, 3, 6, span, states));
    }
}
