//! The core of LongVQ (arXiv 2404.11163): softmax attention over keys that are rounded to a codebook, in linear time.
//!
//! With `C_s` the codes of a head and `s_j` the code nearest to `k_j`,
//!
//! ```text
//! o_t = Σ_{j≤t} e^(scale · q_t·C_{s_j}) v_j / Σ_{j≤t} e^(scale · q_t·C_{s_j})
//!     = Σ_s e^(scale · q_t·C_s) V_s(t) / Σ_s e^(scale · q_t·C_s) n_s(t)
//! ```
//!
//! exactly: linear attention with one-hot keys, a state of codes × (dv + 1) that holds the sum of values and the count of each code.
//! Each query's exponents are taken below their maximum over the codebook, which the quotient does not see. A query whose best code
//! met so far scores far below its best code of all (in f32 by 69) would find next to no weight: its row is computed again, below
//! the maximum over the codes met. Such a query, next to which no code that it looks for has been, has gradients of about zero.
//!
//! Gradients of q, v and the codebook are exact. That of k goes straight through the rounding, as if the one-hot key were
//! `softmax_s(−|k − C_s|²)`; the codebook learns from queries alone, and from whatever commitment loss the caller adds. The paper's
//! `k + stop(C_s − k)` has no linear-time gradient: it needs, for each code, a state of dk × (dv + 1) of its own.
//! The paper's gates, its branch of moving averages and its window belong to the caller: no code of the authors is known.
//!
//! Over ranks: codes × (dv + 1) + 1 a head in each direction. Cost of a token and head: that of linear attention with as many key
//! channels as codes, and 4 dk · codes for the scores.

use super::{
    Gradients, Real, Span, Tensor,
    chunkwise::{Family, Part, Sheet, Stretch, Stripe, Tokens, Widths, chunkwise, merge_stripes, softmax, softmax_pull_back},
    features::{Projection, merge_projections, rows_of},
    gated::Gated,
    heads::{axpy, dot},
};

/// Attention over keys rounded to a codebook. Inputs q and k (heads × key), v (heads × value); parameter c (heads × codes × key);
/// output heads × value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VqAttention {
    /// Heads.
    pub heads: usize,
    /// Elements of a query, of a key and of a code.
    pub key: usize,
    /// Elements of a value.
    pub value: usize,
    /// Codes of a head.
    pub codes: usize,
    /// What scores are multiplied by.
    pub scale: f64,
}

impl VqAttention {
    /// Of queries (0) or keys (1), on the codes.
    fn projection(&self, input: usize) -> Projection {
        let Self { heads, key: width, codes: logits, .. } = *self;
        Projection { input, param: 0, heads, width, logits, transposed: true }
    }

    /// How near each key is to each code: `2 k·C_s − |C_s|²`, that is −|k − C_s|² but for what all codes share.
    fn nearness<T: Real>(&self, tokens: &Tokens<'_, T>, out: &mut [T]) {
        self.projection(1).apply(tokens.span, tokens.head, rows_of(tokens), 2.0, (out, self.codes));
        let codebook = tokens.span.params[0].chunks(self.codes * self.key).nth(tokens.head).unwrap_or_default();
        let lengths: Vec<T> = codebook.chunks(self.key).map(|code| dot(code, code)).collect();
        out.chunks_mut(self.codes).for_each(|row| row.iter_mut().zip(&lengths).for_each(|(x, &length)| *x -= length));
    }
}

/// A sum of weights below this is made again: far above what f32 rounds to nothing.
const LEAST: f64 = 1e-30;

/// Sets the largest of a row to 1, the first of equals, and the others to 0.
fn one_hot<T: Real>(row: &mut [T]) {
    let better = |best: usize, at: usize, row: &[T]| if row[at] > row[best] { at } else { best };
    let best = (1..row.len()).fold(0, |best, at| better(best, at, row));
    row.fill(T::ZERO);
    row[best] = T::ONE;
}

impl<T: Real> Family<T> for VqAttention {
    fn name(&self) -> &'static str {
        "VQ attention"
    }

    fn inputs(&self) -> Vec<Tensor> {
        let (key, value) = (self.heads * self.key, self.heads * self.value);
        vec![Tensor::new("q", key), Tensor::new("k", key), Tensor::new("v", value)]
    }

    fn params(&self) -> Vec<Tensor> {
        vec![Tensor::new("c", self.heads * self.codes * self.key)]
    }

    fn heads(&self) -> usize {
        self.heads
    }

    fn widths(&self) -> Widths {
        Widths { key: self.codes, value: self.value + 1, gate: 0, beta: 0 }
    }

    fn normalised(&self) -> bool {
        true
    }

    fn stripes(&self, head: usize) -> Vec<Stripe> {
        vec![Stripe::of_head(Part::Values, 2, head, self.value)]
    }

    fn features(&self, tokens: &Tokens<'_, T>, chunk: &mut Sheet<T>) {
        let out = (&mut chunk.q[..], self.codes);
        self.projection(0).apply(tokens.span, tokens.head, rows_of(tokens), self.scale, out);
        for row in chunk.q.chunks_mut(self.codes) {
            let top = row.iter().fold(T::NEG_INFINITY, |top, &x| top.max(x));
            row.iter_mut().for_each(|x| *x -= top);
        }
        T::exp_all(&mut chunk.q);
        self.nearness(tokens, &mut chunk.k);
        chunk.k.chunks_mut(self.codes).for_each(one_hot);
        chunk.v.chunks_mut(self.value + 1).for_each(|row| row[self.value] = T::ONE);
    }

    fn mend(&self, tokens: &Tokens<'_, T>, chunk: &Sheet<T>, state: &[T], rows: &mut [T]) {
        let width = self.value + 1;
        if rows.chunks(width).all(|row| row[self.value] >= T::of(LEAST)) {
            return;
        }
        let mut scores = vec![T::ZERO; chunk.q.len()];
        let out = (&mut scores[..], self.codes);
        self.projection(0).apply(tokens.span, tokens.head, rows_of(tokens), self.scale, out);
        let mut met = state.to_vec();
        let tokens = chunk.k.chunks(self.codes).zip(chunk.v.chunks(width));
        for ((row, scores), (key, value)) in rows.chunks_mut(width).zip(scores.chunks(self.codes)).zip(tokens) {
            for (met, &one) in met.chunks_mut(width).zip(key) {
                axpy(met, one, value);
            }
            if row[self.value] < T::of(LEAST) {
                let here = || met.chunks(width).zip(scores).filter(|(met, _)| met[self.value] > T::ZERO);
                let top = here().fold(T::NEG_INFINITY, |top, (_, &score)| top.max(score));
                row.fill(T::ZERO);
                here().for_each(|(met, &score)| axpy(row, (score - top).exp(), met));
            }
        }
    }

    fn pull_back(&self, tokens: &Tokens<'_, T>, chunk: &Sheet<T>, d: &mut Sheet<T>) {
        d.q.iter_mut().zip(&chunk.q).for_each(|(d, &weight)| *d *= T::of(self.scale) * weight);
        let mut near = vec![T::ZERO; chunk.k.len()];
        self.nearness(tokens, &mut near);
        softmax(&mut near, self.codes);
        softmax_pull_back(&near, &mut d.k, self.codes);
        d.k.iter_mut().for_each(|d| *d *= T::of(2.0));
    }

    fn merge(&self, span: &Span<'_, T>, stretch: &Stretch<'_, T>, gradients: &mut Gradients<T>) {
        let stripes: Vec<_> = (0..self.heads).map(|head| Family::<T>::stripes(self, head)).collect();
        merge_stripes(&stripes, span, &Family::<T>::inputs(self), stretch, gradients);
        let rows = stretch.rows();
        let queries = |head: usize| stretch.part(head, Part::Queries);
        merge_projections(&self.projection(0), span, rows.clone(), queries, true, gradients);
        merge_projections(&self.projection(1), span, rows, |head| stretch.part(head, Part::Keys), false, gradients);
    }
}

chunkwise!(VqAttention, Gated);

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Documents, Mixer,
            testing::{Proof, prove_with},
        },
        *,
    };

    fn scores(of: &VqAttention, x: &[f64], codes: &[f64]) -> Vec<f64> {
        codes.chunks(of.key).map(|code| x.iter().zip(code).map(|(x, c)| x * c).sum()).collect()
    }

    fn distances(of: &VqAttention, k: &[f64], codes: &[f64]) -> Vec<f64> {
        codes.chunks(of.key).map(|code| k.iter().zip(code).map(|(k, c)| (k - c) * (k - c)).sum()).collect()
    }

    fn nearest(of: &VqAttention, k: &[f64], codes: &[f64]) -> usize {
        let distances = distances(of, k, codes);
        (0..of.codes).min_by(|&a, &b| distances[a].total_cmp(&distances[b])).unwrap()
    }

    /// By counts and sums of values a code. `assign` says how much of a token (its place and head) goes to each code.
    fn by_codes(
        of: &VqAttention,
        span: &Span<'_, f64>,
        states: &mut [f64],
        assign: &dyn Fn(usize, usize) -> Vec<f64>,
    ) -> Vec<f64> {
        let dv = of.value;
        let mut out = vec![];
        for token in span.own.clone() {
            if span.documents.start_of(token) == token {
                states.fill(0.0);
            }
            for head in 0..of.heads {
                let row = span.row(token) * of.heads + head;
                let codes = &span.params[0][head * of.codes * of.key..][..of.codes * of.key];
                let state = &mut states[head * of.codes * (dv + 1)..][..of.codes * (dv + 1)];
                let mut sums = vec![0.0; dv + 1];
                let weights = scores(of, &span.inputs[0][row * of.key..][..of.key], codes);
                for (s, (part, weight)) in assign(span.row(token), head).into_iter().zip(weights).enumerate() {
                    for c in 0..=dv {
                        let value = if c == dv { 1.0 } else { span.inputs[2][row * dv + c] };
                        state[s * (dv + 1) + c] += part * value;
                        sums[c] += (of.scale * weight).exp() * state[s * (dv + 1) + c];
                    }
                }
                out.extend(sums[..dv].iter().map(|sum| sum / sums[dv]));
            }
        }
        out
    }

    fn one_hot_of(of: &VqAttention, span: &Span<'_, f64>, row: usize, head: usize) -> Vec<f64> {
        let codes = &span.params[0][head * of.codes * of.key..][..of.codes * of.key];
        let best = nearest(of, &span.inputs[1][(row * of.heads + head) * of.key..][..of.key], codes);
        (0..of.codes).map(|s| if s == best { 1.0 } else { 0.0 }).collect()
    }

    fn positive_states(name: &str, normal: f64) -> f64 {
        if name == "state" { 0.1 + normal.abs() } else { normal }
    }

    #[test]
    fn attention_over_rounded_keys_is_a_sum_over_codes_on_any_ranks() {
        for (heads, key, value, codes) in [(2, 3, 2, 5), (1, 2, 4, 9)] {
            let of = VqAttention { heads, key, value, codes, scale: 0.7 };
            let proof = Proof { draw: positive_states, straight_through: &["k"], ..Proof::default() };
            let oracle = |span: &Span<'_, f64>, states: &mut [f64]| {
                by_codes(&of, span, states, &|row, head| one_hot_of(&of, span, row, head))
            };
            prove_with(&of, &of, &oracle, proof);
        }
    }

    fn example(of: &VqAttention, tokens: usize) -> (Documents, Vec<Vec<f64>>, Vec<f64>) {
        let wave = |len: usize, step: f64| (0..len).map(|i| (1.3 + i as f64 * step).sin() * 1.7).collect::<Vec<f64>>();
        let inputs =
            [(of.key, 0.71), (of.key, 1.13), (of.value, 0.37)].map(|(width, step)| wave(tokens * of.heads * width, step));
        (Documents::of_lengths([tokens / 3, tokens - tokens / 3]), inputs.to_vec(), wave(of.heads * of.codes * of.key, 2.9))
    }

    #[test]
    fn it_is_softmax_attention_over_the_rounded_keys() {
        let of = VqAttention { heads: 1, key: 3, value: 2, codes: 6, scale: 1.1 };
        let (documents, inputs, codes) = example(&of, 90);
        let span = Span {
            documents: &documents,
            rows: 0..90,
            own: 0..90,
            inputs: inputs.iter().map(Vec::as_slice).collect(),
            params: vec![&codes],
        };
        let mut out = vec![0.0; 90 * of.value];
        of.forward(&span, &mut |_| {}, &mut out);
        for t in 0..90 {
            let seen = documents.start_of(t)..t + 1;
            let rounded = |j: usize| nearest(&of, &inputs[1][j * 3..][..3], &codes);
            let score = |j: usize| (of.scale * scores(&of, &inputs[0][t * 3..][..3], &codes)[rounded(j)]).exp();
            let sum: f64 = seen.clone().map(score).sum();
            for c in 0..2 {
                let expected = seen.clone().map(|j| score(j) * inputs[2][j * 2 + c]).sum::<f64>() / sum;
                assert!((out[t * 2 + c] - expected).abs() < 1e-12, "token {t}: {} instead of {expected}", out[t * 2 + c]);
            }
        }
    }

    #[test]
    fn the_gradient_of_keys_goes_through_a_soft_choice_of_codes() {
        let of = VqAttention { heads: 2, key: 3, value: 2, codes: 4, scale: 0.9 };
        let (documents, inputs, codes) = example(&of, 20);
        let span = |keys: &'_ [f64]| -> (Vec<f64>, Vec<f64>) {
            let inputs = vec![&inputs[0][..], keys, &inputs[2][..]];
            let span = Span { documents: &documents, rows: 0..20, own: 0..20, inputs, params: vec![&codes] };
            let d_out: Vec<f64> = (0..20 * 4).map(|i| (i as f64 * 0.77).cos()).collect();
            let mut gradients = Gradients::zeros(&span);
            let states = vec![0.0; of.heads * of.codes * (of.value + 1)];
            of.backward(&span, &states, &d_out, &mut |_| {}, &mut gradients);
            (gradients.inputs.swap_remove(1), d_out)
        };
        let (actual, d_out) = span(&inputs[1]);
        // The surrogate: one-hot at the keys as they are, plus how the soft choice moves with them.
        let soft = |keys: &[f64], row: usize, head: usize| {
            let codes = &codes[head * of.codes * of.key..][..of.codes * of.key];
            let near: Vec<f64> =
                distances(&of, &keys[(row * of.heads + head) * of.key..][..of.key], codes).iter().map(|d| (-d).exp()).collect();
            let sum: f64 = near.iter().sum();
            near.into_iter().map(|x| x / sum).collect::<Vec<f64>>()
        };
        let whole = vec![&inputs[0][..], &inputs[1][..], &inputs[2][..]];
        let whole = Span { documents: &documents, rows: 0..20, own: 0..20, inputs: whole, params: vec![&codes] };
        let loss = |keys: &[f64]| -> f64 {
            let mut states = vec![0.0; of.heads * of.codes * (of.value + 1)];
            let out = by_codes(&of, &whole, &mut states, &|row, head| {
                let moved = soft(keys, row, head).into_iter().zip(soft(&inputs[1], row, head));
                one_hot_of(&of, &whole, row, head).into_iter().zip(moved).map(|(x, (new, old))| x + new - old).collect()
            });
            out.iter().zip(&d_out).map(|(a, b)| a * b).sum()
        };
        for i in 0..actual.len() {
            let moved = |step: f64| {
                let mut keys = inputs[1].clone();
                keys[i] += step;
                loss(&keys)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((actual[i] - slope).abs() < 1e-6, "key element {i}: {} instead of {slope}", actual[i]);
        }
    }

    #[test]
    fn a_query_finds_its_way_among_codes_far_from_what_it_looks_for() {
        // One channel; a query likes the last code by 40 a step better than the one before it, and has met the first three alone.
        let of = VqAttention { heads: 1, key: 1, value: 1, codes: 9, scale: 1.0 };
        let tokens = 150;
        let codes: Vec<f32> = (0..9).map(|code| code as f32).collect();
        let keys: Vec<f32> = (0..tokens).map(|token| (token % 3) as f32).collect();
        let (queries, values) = (vec![40.0f32; tokens], (0..tokens).map(|token| (token % 7) as f32).collect::<Vec<_>>());
        let documents = Documents::one(tokens);
        let span = Span {
            documents: &documents,
            rows: 0..tokens,
            own: 0..tokens,
            inputs: vec![&queries, &keys, &values],
            params: vec![&codes],
        };
        let (mut out, mut gradients) = (vec![0.0f32; tokens], Gradients::zeros(&span));
        of.forward(&span, &mut |_| {}, &mut out);
        let states = vec![0.0f32; 18];
        of.backward(&span, &states, &vec![1.0; tokens], &mut |_| {}, &mut gradients);
        for (t, out) in out.iter().enumerate() {
            // The best code met takes all.
            let best = (0..=t).map(|j| j % 3).max().unwrap();
            let its: Vec<f32> = (0..=t).filter(|j| j % 3 == best).map(|j| values[j]).collect();
            let mean = its.iter().sum::<f32>() / its.len() as f32;
            assert!((out - mean).abs() < 1e-5 * (1.0 + mean), "token {t}: {out} instead of {mean}");
        }
        assert!(gradients.inputs.iter().chain(&gradients.params).flatten().all(|d| d.is_finite()));
    }
}
