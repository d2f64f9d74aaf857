//! The short convolution that linear-time layers put before their keys and queries: depthwise, a few taps, with the tokens that
//! it reaches as its halo. No state.
//!
//! `y_t[c] = f(Σ_j w[c][j] · x_{t − left + j}[c])`, f the identity or SiLU; what lies outside the token's document counts as zero.
//! Causal as in Mamba (arXiv 2312.00752) and DeltaNet, centred as in Hydra (arXiv 2407.09941). Weights are laid out as PyTorch's
//! `conv1d` has them, channel by channel, the earliest token first. MoM's released code lets it run on across memories in
//! training; here nothing crosses a boundary.
//!
//! Cost of a token: 2 · taps for each channel, forward; about three times as much back.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    Carry, Gradients, Halo, Mixer, Real, Span, StateShape, Tensor,
    heads::{add, runs, share_out},
};

/// Tokens of one piece of parallel work.
const RUN: usize = 256;

/// A depthwise convolution over tokens. Input x (channels), parameter w (channels × taps), output channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShortConvolution {
    /// Elements of a token.
    pub channels: usize,
    /// Tokens that it reaches back.
    pub left: usize,
    /// Tokens that it reaches ahead.
    pub right: usize,
    /// Whether SiLU follows.
    pub silu: bool,
}

impl ShortConvolution {
    /// Over `width` tokens, the present one last.
    pub fn causal(channels: usize, width: usize, silu: bool) -> Self {
        Self { channels, left: width - 1, right: 0, silu }
    }

    /// Over `reach` tokens on either side.
    pub fn centred(channels: usize, reach: usize, silu: bool) -> Self {
        Self { channels, left: reach, right: reach, silu }
    }

    fn taps(&self) -> usize {
        self.left + 1 + self.right
    }

    /// The tokens of its document that `token` is made of.
    fn sources<T>(&self, span: &Span<'_, T>, token: usize) -> Range<usize> {
        let start = span.documents.start_of(token).max(token.saturating_sub(self.left));
        start..span.documents.end_of(token).min(token + self.right + 1)
    }

    /// The weights tap by tap, so that channels lie side by side.
    fn by_tap<T: Real>(&self, span: &Span<'_, T>) -> Vec<T> {
        let taps = self.taps();
        (0..taps).flat_map(|tap| (0..self.channels).map(move |channel| span.params[0][channel * taps + tap])).collect()
    }

    fn row<'a, T>(&self, span: &Span<'a, T>, token: usize) -> &'a [T] {
        &span.inputs[0][span.row(token) * self.channels..][..self.channels]
    }

    /// The sums of a run of tokens, before the activation.
    fn sums<T: Real>(&self, span: &Span<'_, T>, weights: &[T], run: Range<usize>, out: &mut [T]) {
        for (token, out) in run.zip(out.chunks_mut(self.channels)) {
            out.fill(T::ZERO);
            for source in self.sources(span, token) {
                let tap = source + self.left - token;
                let weights = &weights[tap * self.channels..][..self.channels];
                for ((out, &weight), &x) in out.iter_mut().zip(weights).zip(self.row(span, source)) {
                    *out += weight * x;
                }
            }
        }
    }

    /// The gradients of the sums of all own tokens.
    fn d_sums<T: Real>(&self, span: &Span<'_, T>, weights: &[T], d_out: &[T]) -> Vec<T> {
        let mut d_sums = d_out.to_vec();
        if self.silu {
            let all = runs(span.documents, span.own.clone(), RUN);
            share_out(&mut d_sums, self.channels, all).into_par_iter().for_each(|(run, d_sums)| {
                let mut sums = vec![T::ZERO; d_sums.len()];
                self.sums(span, weights, run, &mut sums);
                for (d, x) in d_sums.iter_mut().zip(sums) {
                    let gate = sigmoid(x);
                    *d *= gate * (T::ONE + x * (T::ONE - gate));
                }
            });
        }
        d_sums
    }
}

fn sigmoid<T: Real>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exp())
}

impl<T: Real> Mixer<T> for ShortConvolution {
    fn name(&self) -> &'static str {
        "short convolution"
    }

    fn inputs(&self) -> Vec<Tensor> {
        vec![Tensor::new("x", self.channels)]
    }

    fn params(&self) -> Vec<Tensor> {
        vec![Tensor::new("w", self.channels * self.taps())]
    }

    fn output_width(&self) -> usize {
        self.channels
    }

    fn halo(&self) -> Halo {
        Halo { left: self.left, right: self.right }
    }

    fn states(&self) -> Vec<StateShape> {
        vec![]
    }

    fn adjoint_states(&self) -> Vec<StateShape> {
        vec![]
    }

    fn summarize(&self, _: &Span<'_, T>, _: &mut [T]) {}

    fn forward(&self, span: &Span<'_, T>, _: Carry<'_, T>, out: &mut [T]) -> Vec<T> {
        let weights = self.by_tap(span);
        let all = runs(span.documents, span.own.clone(), RUN);
        share_out(out, self.channels, all).into_par_iter().for_each(|(run, out)| {
            self.sums(span, &weights, run, out);
            if self.silu {
                out.iter_mut().for_each(|x| *x *= sigmoid(*x));
            }
        });
        vec![]
    }

    fn recurrent(&self, span: &Span<'_, T>, _: &mut [T], out: &mut [T]) {
        let weights = self.by_tap(span);
        for (token, out) in span.own.clone().zip(out.chunks_mut(self.channels)) {
            self.sums(span, &weights, token..token + 1, out);
            if self.silu {
                out.iter_mut().for_each(|x| *x *= sigmoid(*x));
            }
        }
    }

    fn adjoint(&self, _: &Span<'_, T>, _: &[T], _: &[T], _: &mut [T]) {}

    fn backward(&self, span: &Span<'_, T>, _: &[T], d_out: &[T], _: Carry<'_, T>, gradients: &mut Gradients<T>) -> Vec<T> {
        let (channels, weights) = (self.channels, self.by_tap(span));
        let d_sums = self.d_sums(span, &weights, d_out);
        let d_sum = |token: usize| &d_sums[(token - span.own.start) * channels..][..channels];

        let rows = runs(span.documents, span.rows.clone(), RUN);
        share_out(&mut gradients.inputs[0], channels, rows).into_par_iter().for_each(|(run, d_x)| {
            for (token, d_x) in run.zip(d_x.chunks_mut(channels)) {
                let document = span.documents.start_of(token)..span.documents.end_of(token);
                let start = token.saturating_sub(self.right).max(span.own.start).max(document.start);
                for to in start..(token + self.left + 1).min(span.own.end).min(document.end) {
                    let weights = &weights[(token + self.left - to) * channels..][..channels];
                    d_x.iter_mut().zip(weights).zip(d_sum(to)).for_each(|((d_x, &weight), &d)| *d_x += weight * d);
                }
            }
        });

        let by_run = |run: Range<usize>| {
            let mut d_weights = vec![T::ZERO; weights.len()];
            for token in run {
                for source in self.sources(span, token) {
                    let d_weights = &mut d_weights[(source + self.left - token) * channels..][..channels];
                    let products = self.row(span, source).iter().zip(d_sum(token));
                    d_weights.iter_mut().zip(products).for_each(|(d_weight, (&x, &d))| *d_weight += x * d);
                }
            }
            d_weights
        };
        let parts: Vec<_> = runs(span.documents, span.own.clone(), RUN).into_par_iter().map(by_run).collect();
        let mut d_weights = vec![T::ZERO; weights.len()];
        parts.iter().for_each(|part| add(&mut d_weights, part));
        for (tap, d_weights) in d_weights.chunks(channels).enumerate() {
            for (channel, &d_weight) in d_weights.iter().enumerate() {
                gradients.params[0][channel * self.taps() + tap] += d_weight;
            }
        }
        vec![]
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::prove, *};

    /// The definition, with a plain sum over the whole document.
    fn dense(conv: ShortConvolution, span: &Span<'_, f64>) -> Vec<f64> {
        let mut out = vec![];
        for t in span.own.clone() {
            for c in 0..conv.channels {
                let mut sum = 0.0;
                for s in span.documents.start_of(t)..span.documents.end_of(t) {
                    let tap = s as i64 - t as i64 + conv.left as i64;
                    if (0..conv.taps() as i64).contains(&tap) {
                        let weight = span.params[0][c * conv.taps() + tap as usize];
                        sum += weight * span.inputs[0][span.row(s) * conv.channels + c];
                    }
                }
                out.push(if conv.silu { sum / (1.0 + (-sum).exp()) } else { sum });
            }
        }
        out
    }

    #[test]
    fn a_short_convolution_is_its_sum_on_any_ranks() {
        for conv in [
            ShortConvolution::causal(5, 4, true),
            ShortConvolution::causal(3, 1, false),
            ShortConvolution::centred(4, 3, false),
            ShortConvolution::centred(2, 1, true),
        ] {
            prove(&conv, &conv, &|span, _| dense(conv, span));
        }
    }
}
