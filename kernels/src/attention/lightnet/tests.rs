//! Against the unrolled formula, with plain exponentials.

use super::{
    super::{
        Documents, Mixer, Span,
        testing::{Proof, prove_with},
    },
    *,
};

/// Unnormalised sums, one exponential a token: e^z and e^z S.
fn plain(of: &LightNet, span: &Span<'_, f64>, states: &mut [f64]) -> Vec<f64> {
    let LightNet { heads, key_width: dk, value_width: dv } = *of;
    let mut out = vec![0.0; span.len() * heads * dv];
    for head in 0..heads {
        let (z, s) = states[head * dk * (dv + 1)..][..dk * (dv + 1)].split_at_mut(dk);
        for c in 0..dk {
            let mut weight = z[c].exp();
            let mut sums: Vec<f64> = s[c * dv..][..dv].iter().map(|s| s * weight).collect();
            for (at, token) in span.own.clone().enumerate() {
                if span.documents.start_of(token) == token {
                    (weight, sums) = (0.0, vec![0.0; dv]);
                }
                let row = span.row(token) * heads + head;
                let grown = span.inputs[1][row * dk + c].exp();
                weight += grown;
                for e in 0..dv {
                    sums[e] += grown * span.inputs[2][row * dv + e];
                    out[(at * heads + head) * dv + e] += span.inputs[0][row * dk + c] * sums[e] / weight;
                }
            }
            z[c] = weight.ln();
            s[c * dv..][..dv].iter_mut().zip(sums).for_each(|(s, sum)| *s = sum / weight);
        }
    }
    out
}

#[test]
fn lightnet_is_a_softmax_over_time_on_any_ranks() {
    for (heads, key_width, value_width) in [(2, 3, 4), (1, 9, 2), (3, 1, 1)] {
        let family = LightNet { heads, key_width, value_width };
        // The gradient of the state is held with a column more than the state.
        let proof = Proof { state_gradient: false, ..Proof::default() };
        prove_with(&family, &family, &|span, states| plain(&family, span, states), proof);
    }
}

#[test]
fn keys_that_leap_by_hundreds_neither_overflow_nor_vanish() {
    let (documents, tokens) = (Documents::one(60), 60);
    let key = |i: usize| [0.0f32, 400.0, -700.0, 900.0, 100.0][i / 3 % 5];
    let k: Vec<f32> = (0..tokens).map(key).collect();
    let (q, v): (Vec<f32>, Vec<f32>) = (0..tokens).map(|i| (1.0, i as f32)).unzip();
    let span = Span { documents: &documents, rows: 0..tokens, own: 0..tokens, inputs: vec![&q, &k, &v], params: vec![] };
    let family = LightNet { heads: 1, key_width: 1, value_width: 1 };
    let mut out = vec![0.0; tokens];
    Mixer::forward(&family, &span, &mut |_| {}, &mut out);
    // The mean of the values whose keys are the largest so far.
    for (i, &out) in out.iter().enumerate() {
        let top = k[..=i].iter().fold(f32::MIN, |top, &key| top.max(key));
        let best: Vec<f32> = (0..=i).filter(|&j| k[j] == top).map(|j| v[j]).collect();
        let mean = best.iter().sum::<f32>() / best.len() as f32;
        assert!((out - mean).abs() < 1e-4 * mean.max(1.0), "token {i}: {out} instead of {mean}");
    }
}
