//! What a device is asked before trainings: outputs, states and gradients of attention close to the f64 forms.

use std::ops::Range;

use braid_kernels::{
    Dtype, KernelError, Slice, SliceMut,
    attention::{DeltaNet, Documents, Gathered, Gla, Gradients, Lightning, Mixer, Softmax, SoftmaxHeads, Span},
    philox4x32,
};

use crate::{
    GpuError, Lane,
    attention::{Attention, Rule, SoftmaxAttention},
};

const HEADS: usize = 2;
const WIDTH: usize = 6;
const OF_HEADS: usize = HEADS * WIDTH;
/// Two documents; what is asked for begins inside the first, so that there is a state before it, and has more than a chunk of both.
const LENGTHS: [usize; 2] = [25, 19];
const OWN: Range<usize> = 8..44;
/// Of the largest of what is compared.
const TOLERANCE: f64 = 1e-4;

/// What a device is asked: a name for it, its f64 form, its rule, and what the rule takes: a fourth input, or a parameter.
struct Family<'a> {
    operation: &'static str,
    mixer: &'a dyn Mixer<f64>,
    rule: Rule<'a>,
    input: Option<&'a [f32]>,
    param: Option<&'a [f32]>,
}

/// Holds a lane of `device` against the f64 forms of what has a state.
pub(crate) fn of_attention(device: &str, lane: &mut Lane) -> Result<(), GpuError> {
    let (documents, tokens) = (Documents::of_lengths(LENGTHS), OWN.len());
    let [q, k, v, d_out] = [1, 2, 3, 4].map(|seed| numbers(tokens * OF_HEADS, seed));
    let gates: Vec<f32> = numbers(tokens * OF_HEADS, 5).iter().map(|x| -x.abs()).collect();
    let betas: Vec<f32> = numbers(tokens * HEADS, 6).iter().map(|x| 0.5 + x / 2.0).collect();
    let [state, d_state] = [7, 8].map(|seed| numbers(OF_HEADS * WIDTH, seed));
    let slopes = [0.1, 0.4];
    let bytes = [&q, &k, &v, &gates, &betas].map(|values| bytes(values));
    let [of_q, of_k, of_v, of_gates, of_betas] = slices(&bytes)?;
    let (decay, gated) = (Lightning::new(HEADS, WIDTH, WIDTH), Gla::new(HEADS, WIDTH, WIDTH).with_scale(1.0));
    let delta = DeltaNet::new(HEADS, WIDTH, WIDTH).without_norm().with_scale(1.0);
    let families = [
        Family { operation: "constant decay", mixer: &decay, rule: Rule::Decay(&slopes), input: None, param: Some(&slopes) },
        Family { operation: "gated attention", mixer: &gated, rule: Rule::Gated(of_gates), input: Some(&gates), param: None },
        Family { operation: "the delta rule", mixer: &delta, rule: Rule::Delta(of_betas), input: Some(&betas), param: None },
    ];
    for Family { operation, mixer, rule, input, param } in families {
        let same = |same| same_answer(device, operation, same);
        let (heads, own) = (HEADS, OWN);
        let attention =
            Attention { heads, key: WIDTH, value: WIDTH, documents: &documents, own, q: of_q, k: of_k, v: of_v, rule };
        let inputs: Vec<_> = [&q[..], &k, &v].into_iter().chain(input).map(wide).collect();
        let params: Vec<_> = param.into_iter().map(wide).collect();
        let span = span(&documents, &inputs, &params);
        let mut expected = vec![0.0; tokens * OF_HEADS];
        let expected_state = mixer.forward(&span, &mut |before| before.copy_from_slice(&wide(&state)), &mut expected);
        let (mut found_state, mut out) = (state.clone(), vec![0; expected.len() * 4]);
        lane.attend(&attention, &mut found_state, &mut SliceMut::new(Dtype::F32, &mut out)?)?;
        let found: Vec<f32> = out.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        same(close(&found, &expected) && close(&found_state, &expected_state))?;
        let mut gradients = Gradients::zeros(&span);
        let carry: &mut dyn FnMut(&mut [f64]) = &mut |after: &mut [f64]| after.copy_from_slice(&wide(&d_state));
        let of_state = mixer.backward(&span, &wide(&state), &wide(&d_out), carry, &mut gradients);
        let found = lane.attend_backward(&attention, &state, &d_out, &d_state)?;
        let of_tokens = [found.q, found.k, found.v, found.rule];
        let expected: Vec<_> = gradients.inputs.iter().chain(&gradients.params).collect();
        let near = of_tokens.iter().zip(&expected).all(|(found, expected)| close(found, expected));
        same(expected.len() == of_tokens.len() && near && close(&found.state, &of_state))?;
    }
    Ok(())
}

/// Holds a lane of `device`, which multiplies matrices, against the f64 form of softmax attention.
pub(crate) fn of_softmax(device: &str, lane: &mut Lane) -> Result<(), GpuError> {
    let same = |same| same_answer(device, "softmax attention", same);
    let (heads, documents, pair) = (SoftmaxHeads::equal(HEADS, WIDTH, WIDTH), Documents::of_lengths(LENGTHS), 2 * OF_HEADS);
    let [q, d_out] = [1, 4].map(|seed| numbers(OWN.len() * OF_HEADS, seed));
    let shared = numbers(documents.tokens() * pair, 2);
    let bytes = [&q, &shared].map(|values| bytes(values));
    let [of_q, pairs] = slices(&bytes)?;
    let attention = SoftmaxAttention { heads, documents: &documents, own: OWN, q: of_q, pairs };
    let mut found = vec![0.0; d_out.len()];
    lane.softmax(&attention, &mut found)?;
    // the span's own keys and values are in what is shared
    let inputs = [wide(&q), vec![0.0; q.len()], vec![0.0; q.len()]];
    let (span, softmax) = (span(&documents, &inputs, &[]), Softmax { heads });
    let (oracle, shared): (&dyn Gathered<f64>, _) = (&softmax, wide(&shared));
    let mut expected = vec![0.0; found.len()];
    oracle.forward(&span, &shared, &mut expected);
    same(close(&found, &expected))?;
    let (mut d_shared, mut gradients) = (vec![0.0; shared.len()], Gradients::zeros(&span));
    oracle.backward(&span, &shared, &wide(&d_out), &mut d_shared, &mut gradients);
    let found = lane.softmax_backward(&attention, &d_out, None)?;
    let seen = &d_shared[found.seen.start * pair..found.seen.end * pair];
    same(close(&found.q, &gradients.inputs[0]) && close(&found.pairs, seen))
}

fn same_answer(device: &str, operation: &'static str, same: bool) -> Result<(), GpuError> {
    if same { Ok(()) } else { Err(GpuError::WrongAnswer { device: device.to_owned(), operation }) }
}

fn span<'a>(documents: &'a Documents, inputs: &'a [Vec<f64>], params: &'a [Vec<f64>]) -> Span<'a, f64> {
    let all = |tensors: &'a [Vec<f64>]| tensors.iter().map(Vec::as_slice).collect();
    Span { documents, rows: OWN, own: OWN, inputs: all(inputs), params: all(params) }
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn slices<const N: usize>(bytes: &[Vec<u8>; N]) -> Result<[Slice<'_>; N], KernelError> {
    let mut slices = [Slice::new(Dtype::F32, &[])?; N];
    for (slice, bytes) in slices.iter_mut().zip(bytes) {
        *slice = Slice::new(Dtype::F32, bytes)?;
    }
    Ok(slices)
}

fn close(found: &[f32], expected: &[f64]) -> bool {
    let size = expected.iter().fold(1.0f64, |size, value| size.max(value.abs()));
    let near = |(found, expected): (&f32, &f64)| (f64::from(*found) - expected).abs() <= TOLERANCE * size;
    found.len() == expected.len() && found.iter().zip(expected).all(near)
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Numbers between -1/2 and 1/2.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let one = |index: usize| philox4x32([(index / 4) as u32, 0, 0, 0], [seed, 12])[index % 4];
    (0..count).map(|index| one(index) as f32 / u32::MAX as f32 - 0.5).collect()
}
