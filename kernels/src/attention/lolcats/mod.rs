//! LoLCATs (arXiv 2410.10254): softmax over the last w tokens and linear attention over all before, under one normaliser.
//!
//! ```text
//! y_i = [ γ Σ_{j in window} e^(s_ij − c_i) v_j + φ_q(q_i)ᵀ Σ_{j ≤ i − w} φ_k(k_j) v_jᵀ ] / [ the same with v = 1 ]
//! s_ij = scale · q_i·k_j,   c_i = max over the window of s_ij,   γ = σ(factor) a head
//! ```
//!
//! c is no mere stabiliser: the linear part is not multiplied by e^(−c), so c moves the balance between near and far, and backward
//! goes through it, as it does in the released code. φ are Hedgehog's features. The linear part counts fully, as in the default of
//! the released code (its variant with 1 − γ there is not offered), and weights of the window are exactly softmax's, not clamped.
//!
//! A state is the far part at a boundary p: the tokens before p − w. So the map of a span covers the tokens that leave the window
//! in it, which its left halo of w tokens holds: nothing but halo and affine state travels, however short ranks are.
//!
//! Over ranks: 2 F (dv + 1) + 1 a head in each pass, and the halo. Cost of a token and head: that of
//! [`Hedgehog`](super::Hedgehog), and 2 w (dk + dv).

mod far;
mod near;
#[cfg(test)]
mod tests;

use super::{
    Carry, Gradients, Halo, HedgehogForm, Mixer, Real, Span, StateShape, Tensor,
    heads::{Columns, dot},
    softmax::online::one_query,
};
use far::Far;
use near::Near;

/// LoLCATs' attention. Inputs q and k (heads × key), v (heads × value); parameters wq and wk (heads × key × features), factor
/// (heads); output heads × value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lolcats {
    /// Heads.
    pub heads: usize,
    /// Elements of a query and of a key.
    pub key: usize,
    /// Elements of a value.
    pub value: usize,
    /// Columns of W: half of the features.
    pub features: usize,
    /// What the features are made of the projected row.
    pub form: HedgehogForm,
    /// Tokens of the window, the present one included; at least 1.
    pub window: usize,
    /// What scores of the window are multiplied by.
    pub scale: f64,
}

/// The place of the window's factors among the parameters.
const FACTOR: usize = 2;

impl Lolcats {
    fn far(&self) -> Far {
        let Self { heads, key, value, features, form, window, .. } = *self;
        Far { heads, key, value, features, form, window }
    }

    /// γ of one head.
    fn gamma<T: Real>(&self, span: &Span<'_, T>, head: usize) -> T {
        T::ONE / (T::ONE + (-span.params[FACTOR][head]).exp())
    }

    /// Elements of a row of sums: of each head, the values and what they are divided by.
    fn sums_width(&self) -> usize {
        self.heads * (self.value + 1)
    }
}

impl<T: Real> Mixer<T> for Lolcats {
    fn name(&self) -> &'static str {
        "LoLCATs"
    }

    fn inputs(&self) -> Vec<Tensor> {
        Mixer::<T>::inputs(&self.far())
    }

    fn params(&self) -> Vec<Tensor> {
        let mut params = Mixer::<T>::params(&self.far());
        params.push(Tensor::new("factor", self.heads));
        params
    }

    fn output_width(&self) -> usize {
        self.heads * self.value
    }

    fn halo(&self) -> Halo {
        Halo { left: self.window, right: 0 }
    }

    fn states(&self) -> Vec<StateShape> {
        Mixer::<T>::states(&self.far())
    }

    fn adjoint_states(&self) -> Vec<StateShape> {
        Mixer::<T>::adjoint_states(&self.far())
    }

    fn summarize(&self, span: &Span<'_, T>, map: &mut [T]) {
        self.far().summarize(span, map);
    }

    fn forward(&self, span: &Span<'_, T>, carry: Carry<'_, T>, out: &mut [T]) -> Vec<T> {
        let near = Near::new(self, span);
        let mut sums = vec![T::ZERO; span.len() * self.sums_width()];
        let states = self.far().forward(span, carry, &mut sums);
        near.add_to(&mut sums);
        for (out, sums) in out.chunks_mut(self.value).zip(sums.chunks(self.value + 1)) {
            out.iter_mut().zip(sums).for_each(|(out, &sum)| *out = sum / sums[self.value]);
        }
        states
    }

    fn recurrent(&self, span: &Span<'_, T>, states: &mut [T], out: &mut [T]) {
        let mut sums = vec![T::ZERO; span.len() * self.sums_width()];
        self.far().recurrent(span, states, &mut sums);
        let rows = out.chunks_mut(self.value).zip(sums.chunks(self.value + 1)).enumerate();
        for (place, (out, far)) in rows {
            let (token, head) = (span.own.start + place / self.heads, place % self.heads);
            let (row, pairs) = (span.row(token), near::pairs(self, span, head));
            let query = Columns::head(span.inputs[0], self.heads, self.key, head).row(row);
            let keys = near::reach(self, span, token);
            one_query(query, T::of(self.scale), pairs, keys.clone(), out);
            let scores = keys.map(|key| T::of(self.scale) * dot(query, pairs.keys.row(key)));
            let scores: Vec<T> = scores.collect();
            let top = scores.iter().fold(T::NEG_INFINITY, |top, &score| top.max(score));
            let sum = self.gamma(span, head) * scores.iter().map(|&score| (score - top).exp()).sum();
            out.iter_mut().zip(far).for_each(|(out, &far_sum)| *out = (sum * *out + far_sum) / (sum + far[self.value]));
        }
    }

    fn adjoint(&self, span: &Span<'_, T>, states: &[T], d_out: &[T], map: &mut [T]) {
        let (_, sums) = self.sums(span, states);
        self.far().adjoint(span, states, &self.d_sums(sums, d_out), map);
    }

    fn backward(
        &self,
        span: &Span<'_, T>,
        states: &[T],
        d_out: &[T],
        carry: Carry<'_, T>,
        gradients: &mut Gradients<T>,
    ) -> Vec<T> {
        let (near, sums) = self.sums(span, states);
        near.backward(&sums, d_out, gradients);
        self.far().backward(span, states, &self.d_sums(sums, d_out), carry, gradients)
    }
}

impl Lolcats {
    /// The sums of both parts, from the states before the span, and the window as it was needed for them.
    fn sums<'a, T: Real>(&'a self, span: &'a Span<'a, T>, states: &[T]) -> (Near<'a, T>, Vec<T>) {
        let near = Near::new(self, span);
        let mut sums = vec![T::ZERO; span.len() * self.sums_width()];
        self.far().forward(span, &mut |given| given.copy_from_slice(states), &mut sums);
        near.add_to(&mut sums);
        (near, sums)
    }

    /// The gradients of the rows of sums.
    fn d_sums<T: Real>(&self, mut sums: Vec<T>, d_out: &[T]) -> Vec<T> {
        for (sums, d_out) in sums.chunks_mut(self.value + 1).zip(d_out.chunks(self.value)) {
            let part = T::ONE / sums[self.value];
            let along = dot(&sums[..self.value], d_out) * part;
            sums.iter_mut().zip(d_out).for_each(|(sum, &d_out)| *sum = d_out * part);
            sums[self.value] = -along * part;
        }
        sums
    }
}
