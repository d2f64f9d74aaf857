//! Against softmax as it is written, with all scores of a row at hand.

use super::{
    super::{
        Span,
        testing::{prove, prove_gathered},
    },
    *,
};

fn dense(heads: &SoftmaxHeads, window: usize, span: &Span<'_, f64>) -> Vec<f64> {
    let SoftmaxHeads { queries, keys, key_width: dk, value_width: dv, scale } = *heads;
    let (q, k, v) = (span.inputs[0], span.inputs[1], span.inputs[2]);
    let mut out = vec![];
    for i in span.own.clone() {
        for head in 0..queries {
            let of = head / (queries / keys);
            let seen: Vec<usize> = (span.documents.start_of(i)..=i).filter(|&j| i - j < window).map(|j| span.row(j)).collect();
            let query = |c| q[(span.row(i) * queries + head) * dk + c];
            let score = |&j: &usize| (0..dk).map(|c| query(c) * k[(j * keys + of) * dk + c]).sum::<f64>() * scale;
            let weights: Vec<f64> = seen.iter().map(|j| score(j).exp()).collect();
            let sum: f64 = weights.iter().sum();
            for c in 0..dv {
                out.push(seen.iter().zip(&weights).map(|(j, w)| w * v[(j * keys + of) * dv + c]).sum::<f64>() / sum);
            }
        }
    }
    out
}

#[test]
fn softmax_in_blocks_is_softmax_on_any_ranks() {
    for heads in [
        SoftmaxHeads { queries: 4, keys: 2, key_width: 3, value_width: 5, scale: 0.7 },
        SoftmaxHeads::equal(2, 8, 4),
        SoftmaxHeads { queries: 3, keys: 1, key_width: 2, value_width: 1, scale: 2.0 },
    ] {
        let softmax = Softmax { heads };
        prove_gathered(&softmax, &softmax, &|span, _| dense(&heads, usize::MAX, span));
    }
}

#[test]
fn a_sliding_window_is_softmax_over_its_tokens_on_any_ranks() {
    for (window, heads) in [
        (1, SoftmaxHeads::equal(2, 3, 2)),
        (7, SoftmaxHeads { queries: 4, keys: 2, key_width: 3, value_width: 5, scale: 0.7 }),
        (70, SoftmaxHeads::equal(1, 4, 3)),
    ] {
        let mixer = SlidingWindow { heads, window };
        prove(&mixer, &mixer, &|span, _| dense(&heads, window, span));
    }
}

#[test]
fn large_scores_do_not_overflow() {
    use super::super::{Documents, Mixer};
    let (documents, tokens) = (Documents::one(200), 200);
    let q: Vec<f32> = (0..tokens).map(|i| 1e4 * (i as f32 / 20.0).sin()).collect();
    let v: Vec<f32> = (0..tokens).map(|i| i as f32).collect();
    let span = Span { documents: &documents, rows: 0..tokens, own: 0..tokens, inputs: vec![&q, &q, &v], params: vec![] };
    let mixer = SlidingWindow { heads: SoftmaxHeads::equal(1, 1, 1), window: tokens };
    let mut out = vec![0.0; tokens];
    mixer.forward(&span, &mut |_| {}, &mut out);
    // Scores are so far apart that the largest takes all.
    for (i, &out) in out.iter().enumerate() {
        let best = (0..=i).max_by(|&a, &b| (q[i] * q[a]).total_cmp(&(q[i] * q[b]))).unwrap();
        assert!((out - best as f32).abs() < 1e-3, "token {i}: {out} instead of {best}");
    }
}
