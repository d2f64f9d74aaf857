//! Against the formula, token by token, with the far part read from states that this file keeps itself.

use super::{
    super::{
        Documents, Span,
        testing::{Proof, prove_with},
    },
    *,
};

fn softmax(x: &[f64]) -> Vec<f64> {
    let sum: f64 = x.iter().map(|x| x.exp()).sum();
    x.iter().map(|x| x.exp() / sum).collect()
}

fn phi(of: &Lolcats, span: &Span<'_, f64>, input: usize, token: usize, head: usize) -> Vec<f64> {
    let x = &span.inputs[input][(span.row(token) * of.heads + head) * of.key..][..of.key];
    let w = &span.params[input][head * of.key * of.features..];
    let logit = |f: usize| (0..of.key).map(|c| x[c] * w[c * of.features + f]).sum::<f64>();
    let logits = |sign: f64| -> Vec<f64> { (0..of.features).map(|f| sign * logit(f)).collect() };
    let features = match of.form {
        HedgehogForm::Two => [softmax(&logits(1.0)), softmax(&logits(-1.0))].concat(),
        HedgehogForm::One => softmax(&[logits(2.0), logits(-2.0)].concat()),
    };
    features.into_iter().map(|x| x.max(1e-12)).collect()
}

fn plain(of: &Lolcats, span: &Span<'_, f64>, states: &mut [f64]) -> Vec<f64> {
    let Lolcats { heads, key, value, features, window, scale, .. } = *of;
    let (n, dv) = (2 * features, value);
    let mut out = vec![];
    for i in span.own.clone() {
        let start = span.documents.start_of(i);
        if start == i {
            states.fill(0.0);
        }
        for head in 0..heads {
            let row = |input: usize, token: usize, width: usize| {
                &span.inputs[input][(span.row(token) * heads + head) * width..][..width]
            };
            let state = &mut states[head * n * (dv + 1)..][..n * (dv + 1)];
            if i >= start + window {
                let k = phi(of, span, 1, i - window, head);
                for (f, state) in state.chunks_mut(dv + 1).enumerate() {
                    state.iter_mut().zip(row(2, i - window, dv)).for_each(|(s, v)| *s += k[f] * v);
                    state[dv] += k[f];
                }
            }
            let q = phi(of, span, 0, i, head);
            let far = |c: usize| (0..n).map(|f| q[f] * state[f * (dv + 1) + c]).sum::<f64>();
            let seen: Vec<usize> = (start..=i).filter(|j| i - j < window).collect();
            let score = |&j: &usize| (0..key).map(|c| row(0, i, key)[c] * row(1, j, key)[c]).sum::<f64>() * scale;
            let top = seen.iter().map(score).fold(f64::MIN, f64::max);
            let gamma = 1.0 / (1.0 + (-span.params[FACTOR][head]).exp());
            let weights: Vec<f64> = seen.iter().map(|j| gamma * (score(j) - top).exp()).collect();
            let sum = weights.iter().sum::<f64>() + far(dv);
            for c in 0..dv {
                let near: f64 = seen.iter().zip(&weights).map(|(&j, weight)| weight * row(2, j, dv)[c]).sum();
                out.push((near + far(c)) / sum);
            }
        }
    }
    out
}

/// States must be sums of positive weights.
fn positive_states(name: &str, normal: f64) -> f64 {
    if name == "state" { 0.1 + normal.abs() } else { normal }
}

#[test]
fn lolcats_is_its_formula_on_any_ranks() {
    for (window, heads, form) in [(1, 1, HedgehogForm::Two), (5, 2, HedgehogForm::Two), (70, 1, HedgehogForm::One)] {
        let family = Lolcats { heads, key: 3, value: 2, features: 3, form, window, scale: 0.6 };
        let proof = Proof { draw: positive_states, ..Proof::default() };
        prove_with(&family, &family, &|span, states| plain(&family, span, states), proof);
    }
}

#[test]
fn a_document_that_fits_the_window_is_softmax_attention() {
    use super::super::{SlidingWindow, SoftmaxHeads};
    let of = Lolcats { heads: 1, key: 2, value: 3, features: 2, form: HedgehogForm::Two, window: 20, scale: 0.9 };
    let tokens = 40;
    let documents = Documents::of_lengths([20, 13, 7]);
    let wave = |len: usize, step: f64| (0..len).map(|i| (i as f64 * step).sin()).collect::<Vec<f64>>();
    let inputs = [wave(tokens * 2, 0.9), wave(tokens * 2, 1.7), wave(tokens * 3, 0.4)];
    let params = [wave(4, 1.1), wave(4, 2.3), vec![-2.197]];
    let span = Span {
        documents: &documents,
        rows: 0..tokens,
        own: 0..tokens,
        inputs: inputs.iter().map(Vec::as_slice).collect(),
        params: params.iter().map(Vec::as_slice).collect(),
    };
    let [mut ours, mut softmax] = [(); 2].map(|()| vec![0.0; tokens * 3]);
    of.forward(&span, &mut |_| {}, &mut ours);
    let heads = SoftmaxHeads { queries: 1, keys: 1, key_width: 2, value_width: 3, scale: 0.9 };
    SlidingWindow { heads, window: tokens }.forward(&span, &mut |_| {}, &mut softmax);
    for (ours, softmax) in ours.iter().zip(&softmax) {
        assert!((ours - softmax).abs() < 1e-12, "{ours} instead of {softmax}");
    }
}
