//! Softmax attention against its f64 form: outputs, logarithms of sums and gradients, packed documents, spans that begin inside of them,
//! heads that share keys. Needs a library of matrix products.

use std::ops::Range;

use braid_gpu::{
    GpuError, Lane,
    attention::{SoftmaxAttention, SoftmaxGradients},
};
use braid_kernels::{
    Dtype, Slice,
    attention::{Documents, Gathered, Gradients, Softmax, SoftmaxHeads, Span},
};

use crate::{
    TAKEN,
    attention::{Tensor, close_to, numbers},
};

/// Of the largest of what is compared: sums in f32, and probabilities rounded to the type of the tokens.
fn tolerance(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F32 => 2e-5,
        Dtype::F16 => 2e-3,
        _ => 2e-2,
    }
}

const SHARED: SoftmaxHeads = SoftmaxHeads { queries: 4, keys: 2, key_width: 8, value_width: 5, scale: 0.7 };

/// ln Σ e^score of each token and head, as it is written.
fn log_sums(heads: &SoftmaxHeads, documents: &Documents, own: &Range<usize>, q: &[f64], shared: &[f64]) -> Vec<f64> {
    let SoftmaxHeads { queries, keys, key_width, value_width, scale } = *heads;
    let of = |(row, token): (usize, usize), head: usize| {
        let score = |key: usize| {
            let key = &shared[key * keys * (key_width + value_width) + head / (queries / keys) * key_width..][..key_width];
            let query = &q[(row * queries + head) * key_width..][..key_width];
            key.iter().zip(query).map(|(k, q)| k * q).sum::<f64>() * scale
        };
        (documents.start_of(token)..=token).map(|key| score(key).exp()).sum::<f64>().ln()
    };
    own.clone().enumerate().flat_map(|place| (0..queries).map(move |head| of(place, head))).collect()
}

fn check(lane: &mut Lane, heads: SoftmaxHeads, dtype: Dtype, documents: &Documents, own: Range<usize>) {
    let what = format!("{heads:?} in {dtype}, tokens {own:?}");
    let (pair_width, tokens) = (heads.keys * (heads.key_width + heads.value_width), documents.tokens());
    let q = Tensor::new(dtype, &numbers(own.len() * heads.queries * heads.key_width, 1));
    let pairs = Tensor::new(dtype, &numbers(tokens * pair_width, 2));
    let d_out = Tensor::new(dtype, &numbers(own.len() * heads.queries * heads.value_width, 3));

    let oracle: &dyn Gathered<f64> = &Softmax { heads };
    let (of_q, shared, of_out) = (q.wide(), pairs.wide(), d_out.wide());
    // the span's own keys and values are in what is gathered
    let unread = [heads.key_width, heads.value_width].map(|width| vec![0.0; own.len() * heads.keys * width]);
    let inputs = vec![of_q.as_slice(), &unread[0], &unread[1]];
    let span = Span { documents, rows: own.clone(), own: own.clone(), inputs, params: vec![] };
    let mut expected = vec![0.0; of_out.len()];
    oracle.forward(&span, &shared, &mut expected);
    let (mut d_shared, mut gradients) = (vec![0.0; shared.len()], Gradients::zeros(&span));
    oracle.backward(&span, &shared, &of_out, &mut d_shared, &mut gradients);

    let attention = SoftmaxAttention { heads, documents, own: own.clone(), q: q.slice(), pairs: pairs.slice() };
    let mut found = vec![f32::NAN; of_out.len()];
    let sums = lane.softmax(&attention, &mut found).expect(TAKEN);
    let limit = tolerance(dtype);
    close_to(&found, &expected, limit, &format!("{what}: outputs"));
    close_to(&sums, &log_sums(&heads, documents, &own, &of_q, &shared), limit, &format!("{what}: sums"));
    let by_sums = lane.softmax_backward(&attention, &d_out.values, Some(&sums)).expect(TAKEN);
    let SoftmaxGradients { q: d_q, pairs: d_pairs, seen } = lane.softmax_backward(&attention, &d_out.values, None).expect(TAKEN);
    assert!(by_sums.q == d_q && by_sums.pairs == d_pairs, "{what}: sums that are computed again are the same");
    close_to(&d_q, &gradients.inputs[0], limit, &format!("{what}: gradient of queries"));
    close_to(&d_pairs, &d_shared[seen.start * pair_width..seen.end * pair_width], limit, &format!("{what}: gradient of pairs"));
    let unseen = [&d_shared[..seen.start * pair_width], &d_shared[seen.end * pair_width..]].concat();
    assert!(unseen.iter().all(|gradient| *gradient == 0.0), "{what}: tokens that nobody sees");
}

pub(super) fn softmax_is_the_oracle(lane: &mut Lane) {
    let documents = Documents::of_lengths([37, 1, 48, 20]);
    for own in [0..106, 9..90, 38..39, 60..60] {
        check(lane, SHARED, Dtype::F32, &documents, own);
    }
    check(lane, SoftmaxHeads::equal(1, 33, 16), Dtype::F32, &documents, 40..106);
    check(lane, SoftmaxHeads { queries: 3, keys: 1, key_width: 2, value_width: 1, scale: 2.0 }, Dtype::F32, &documents, 0..40);
    check(lane, SHARED, Dtype::BF16, &documents, 0..106);
    check(lane, SHARED, Dtype::F16, &documents, 20..80);
}

/// More tokens than a block has, and more keys than a row has threads.
pub(super) fn softmax_in_blocks_is_the_oracle(lane: &mut Lane) {
    let documents = Documents::of_lengths([300, 330]);
    check(lane, SoftmaxHeads::equal(1, 4, 3), Dtype::F32, &documents, 10..630);
}

pub(super) fn large_scores_do_not_overflow(lane: &mut Lane) {
    let (documents, heads) = (Documents::one(70), SoftmaxHeads::equal(1, 1, 1));
    let q: Vec<f32> = (0..70).map(|i| 1e4 * (i as f32 / 20.0).sin()).collect();
    let pairs: Vec<f32> = q.iter().enumerate().flat_map(|(i, k)| [*k, i as f32]).collect();
    let (of_q, of_pairs) = (Tensor::new(Dtype::F32, &q), Tensor::new(Dtype::F32, &pairs));
    let attention = SoftmaxAttention { heads, documents: &documents, own: 0..70, q: of_q.slice(), pairs: of_pairs.slice() };
    let mut out = vec![0.0; 70];
    lane.softmax(&attention, &mut out).expect(TAKEN);
    // scores are so far apart that the largest takes all
    for (i, out) in out.iter().enumerate() {
        let best = (0..=i).max_by(|&a, &b| (q[i] * q[a]).total_cmp(&(q[i] * q[b]))).expect("a key");
        assert!((out - best as f32).abs() < 1e-3, "token {i}: {out} instead of {best}");
    }
}

pub(super) fn softmax_that_does_not_fit_is_refused(lane: &mut Lane) {
    let documents = Documents::one(4);
    let bytes = vec![0u8; 4 * 100 * 4];
    let slice = |elements: usize| Slice::new(Dtype::F32, &bytes[..elements * 4]).expect(TAKEN);
    let heads = SoftmaxHeads { queries: 2, keys: 1, key_width: 3, value_width: 2, scale: 1.0 };
    let good = SoftmaxAttention { heads, documents: &documents, own: 1..4, q: slice(18), pairs: slice(20) };
    let mut attend = |attention: &SoftmaxAttention<'_>, out: usize| lane.softmax(attention, &mut vec![0.0; out]);
    assert!(attend(&good, 12).is_ok());
    assert!(attend(&good, 11).is_err(), "outputs of another length");
    assert!(attend(&SoftmaxAttention { q: slice(17), ..good.clone() }, 12).is_err(), "queries of another length");
    assert!(attend(&SoftmaxAttention { pairs: slice(15), ..good.clone() }, 12).is_err(), "keys of the queries' tokens alone");
    assert!(attend(&SoftmaxAttention { own: 2..5, ..good.clone() }, 12).is_err(), "tokens past the end");
    let odd = SoftmaxHeads { queries: 3, keys: 2, ..heads };
    assert!(attend(&SoftmaxAttention { heads: odd, ..good.clone() }, 12).is_err(), "heads that share no keys evenly");
    let narrow = Slice::new(Dtype::BF16, &bytes[..40]).expect(TAKEN);
    let mixed = attend(&SoftmaxAttention { pairs: narrow, ..good.clone() }, 12).expect_err("types beside each other");
    assert!(matches!(mixed, GpuError::Unsupported { .. }), "{mixed}");
    assert!(lane.softmax_backward(&good, &[0.0; 12], Some(&[0.0; 5])).is_err(), "sums of another length");
}
