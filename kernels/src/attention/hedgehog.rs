//! Hedgehog (arXiv 2402.04347): linear attention whose learned features mimic softmax, with the normaliser.
//!
//! `o_t = Σ_{j≤t} (φ(q_t)·φ(k_j)) v_j / Σ_{j≤t} φ(q_t)·φ(k_j)`, φ of 2 F features from x W ([`HedgehogForm`]), with a W of its own
//! for queries and keys and for each head. The paper's exp is a softmax over features, as in all released code: the same up to a
//! factor that queries lose to the normaliser and keys do not. No bias, which one of the libraries has.
//!
//! Over ranks: 2 F (dv + 1) + 1 a head in each direction, independent of length. Cost of a token and head: that of linear attention
//! with 2 F key channels, and 4 d F for the projections.

use super::{
    Gradients, Real, Span, Tensor,
    chunkwise::{Family, Part, Sheet, Stretch, Stripe, Tokens, Widths, chunkwise, merge_stripes},
    features::{HedgehogForm, HedgehogMap, Projection, merge_projections, rows_of},
    gated::Gated,
};

/// Linear attention with Hedgehog's features. Inputs q and k (heads × key), v (heads × value); parameters wq and wk (heads × key ×
/// features); output heads × value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hedgehog {
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
}

impl Hedgehog {
    fn map(&self) -> HedgehogMap {
        HedgehogMap { features: self.features, form: self.form }
    }

    /// Of queries (0) or keys (1).
    fn projection(&self, of: usize) -> Projection {
        let Self { heads, key: width, features: logits, .. } = *self;
        Projection { input: of, param: of, heads, width, logits, transposed: false }
    }
}

impl<T: Real> Family<T> for Hedgehog {
    fn name(&self) -> &'static str {
        "Hedgehog"
    }

    fn inputs(&self) -> Vec<Tensor> {
        let (key, value) = (self.heads * self.key, self.heads * self.value);
        vec![Tensor::new("q", key), Tensor::new("k", key), Tensor::new("v", value)]
    }

    fn params(&self) -> Vec<Tensor> {
        let weights = self.heads * self.key * self.features;
        vec![Tensor::new("wq", weights), Tensor::new("wk", weights)]
    }

    fn heads(&self) -> usize {
        self.heads
    }

    fn widths(&self) -> Widths {
        Widths { key: 2 * self.features, value: self.value + 1, gate: 0, beta: 0 }
    }

    fn normalised(&self) -> bool {
        true
    }

    fn stripes(&self, head: usize) -> Vec<Stripe> {
        vec![Stripe::of_head(Part::Values, 2, head, self.value)]
    }

    fn features(&self, tokens: &Tokens<'_, T>, chunk: &mut Sheet<T>) {
        let rows = rows_of(tokens);
        for (of, part) in [&mut chunk.q, &mut chunk.k].into_iter().enumerate() {
            self.projection(of).apply(tokens.span, tokens.head, rows.clone(), 1.0, (part, 2 * self.features));
            self.map().apply(part);
        }
        chunk.v.chunks_mut(self.value + 1).for_each(|row| row[self.value] = T::ONE);
    }

    fn pull_back(&self, _: &Tokens<'_, T>, chunk: &Sheet<T>, d: &mut Sheet<T>) {
        self.map().pull_back(&chunk.q, &mut d.q);
        self.map().pull_back(&chunk.k, &mut d.k);
    }

    fn merge(&self, span: &Span<'_, T>, stretch: &Stretch<'_, T>, gradients: &mut Gradients<T>) {
        let stripes: Vec<_> = (0..self.heads).map(|head| Family::<T>::stripes(self, head)).collect();
        merge_stripes(&stripes, span, &Family::<T>::inputs(self), stretch, gradients);
        for (of, part) in [Part::Queries, Part::Keys].into_iter().enumerate() {
            merge_projections(&self.projection(of), span, stretch.rows(), |head| stretch.part(head, part), true, gradients);
        }
    }
}

chunkwise!(Hedgehog, Gated);

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{Proof, prove_with},
        *,
    };

    fn softmax(x: &[f64]) -> Vec<f64> {
        let sum: f64 = x.iter().map(|x| x.exp()).sum();
        x.iter().map(|x| x.exp() / sum).collect()
    }

    fn features(of: &Hedgehog, x: &[f64], w: &[f64]) -> Vec<f64> {
        let logit = |f: usize| (0..of.key).map(|c| x[c] * w[c * of.features + f]).sum::<f64>();
        let logits = |sign: f64| -> Vec<f64> { (0..of.features).map(|f| sign * logit(f)).collect() };
        let features = match of.form {
            HedgehogForm::Two => [softmax(&logits(1.0)), softmax(&logits(-1.0))].concat(),
            HedgehogForm::One => softmax(&[logits(2.0), logits(-2.0)].concat()),
        };
        features.into_iter().map(|x| x.max(1e-12)).collect()
    }

    /// Weights of all tokens so far, from the sums that the states hold.
    fn plain(of: &Hedgehog, span: &Span<'_, f64>, states: &mut [f64]) -> Vec<f64> {
        let (n, dv) = (2 * of.features, of.value);
        let mut out = vec![];
        for token in span.own.clone() {
            if span.documents.start_of(token) == token {
                states.fill(0.0);
            }
            for head in 0..of.heads {
                let row = span.row(token) * of.heads + head;
                let weights = |of_param: usize| &span.params[of_param][head * of.key * of.features..];
                let phi = |input: usize| features(of, &span.inputs[input][row * of.key..][..of.key], weights(input));
                let (q, k) = (phi(0), phi(1));
                let state = &mut states[head * n * (dv + 1)..][..n * (dv + 1)];
                let mut sums = vec![0.0; dv + 1];
                for f in 0..n {
                    for c in 0..=dv {
                        let value = if c == dv { 1.0 } else { span.inputs[2][row * dv + c] };
                        state[f * (dv + 1) + c] += k[f] * value;
                        sums[c] += q[f] * state[f * (dv + 1) + c];
                    }
                }
                out.extend(sums[..dv].iter().map(|sum| sum / sums[dv]));
            }
        }
        out
    }

    /// States must be sums of positive weights.
    fn positive_states(name: &str, normal: f64) -> f64 {
        if name == "state" { 0.1 + normal.abs() } else { normal }
    }

    #[test]
    fn hedgehog_is_its_recurrence_on_any_ranks() {
        for (heads, key, value, features, form) in [(2, 4, 3, 4, HedgehogForm::Two), (1, 3, 5, 2, HedgehogForm::One)] {
            let family = Hedgehog { heads, key, value, features, form };
            let proof = Proof { draw: positive_states, ..Proof::default() };
            prove_with(&family, &family, &|span, states| plain(&family, span, states), proof);
        }
    }
}
