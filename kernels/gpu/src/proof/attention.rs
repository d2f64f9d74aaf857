//! What a device is asked before trainings: outputs and gradients of attention close to the f64 forms.

use braid_kernels::{
    Dtype, KernelError, Slice, SliceMut,
    attention::{DeltaNet, Documents, Gathered, Gla, Gradients, Mixer, Softmax, SoftmaxHeads, Span},
    philox4x32,
};

use crate::{
    GpuError, Lane,
    attention::{Attention, Rule, SoftmaxAttention},
};

const HEADS: usize = 2;
const WIDTH: usize = 6;
const TOKENS: usize = 50;
/// Of the largest of what is compared.
const TOLERANCE: f64 = 1e-4;

/// What a device is asked: a name for it, its f64 form, its rule, and what the rule takes.
type Family<'a> = (&'static str, &'a dyn Mixer<f64>, Rule<'a>, &'a [f32]);

/// Holds a lane of `device` against the f64 forms; with softmax attention where there are `products`.
pub(crate) fn of_attention(device: &str, lane: &mut Lane, products: bool) -> Result<(), GpuError> {
    let documents = Documents::of_lengths([29, 21]);
    let of_heads = HEADS * WIDTH;
    let [q, k, v, d_out] = [1, 2, 3, 4].map(|seed| numbers(TOKENS * of_heads, seed));
    let gates: Vec<f32> = numbers(TOKENS * of_heads, 5).iter().map(|x| -x.abs()).collect();
    let betas: Vec<f32> = numbers(TOKENS * HEADS, 6).iter().map(|x| 0.5 + x / 2.0).collect();
    let bytes =
        [&q, &k, &v, &gates, &betas].map(|values| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
    let [of_q, of_k, of_v, of_gates, of_betas] = slices(&bytes)?;
    let same = |operation, same: bool| {
        if same { Ok(()) } else { Err(GpuError::WrongAnswer { device: device.to_owned(), operation }) }
    };
    let (gated, delta) = (Gla::new(HEADS, WIDTH, WIDTH).with_scale(1.0), DeltaNet::new(HEADS, WIDTH, WIDTH));
    let delta = delta.without_norm().with_scale(1.0);
    let families: [Family<'_>; 2] =
        [("gated attention", &gated, Rule::Gated(of_gates), &gates), ("the delta rule", &delta, Rule::Delta(of_betas), &betas)];
    let state = vec![0.0f32; HEADS * WIDTH * WIDTH];
    for (operation, mixer, rule, extra) in families {
        let own = 0..TOKENS;
        let attention =
            Attention { heads: HEADS, key: WIDTH, value: WIDTH, documents: &documents, own, q: of_q, k: of_k, v: of_v, rule };
        let inputs = [&q[..], &k, &v, extra].map(wide);
        let inputs = inputs.iter().map(Vec::as_slice).collect();
        let span = Span { documents: &documents, rows: 0..TOKENS, own: 0..TOKENS, inputs, params: vec![] };
        let mut expected = vec![0.0; TOKENS * of_heads];
        mixer.forward(&span, &mut |_| {}, &mut expected);
        let mut out = vec![0; TOKENS * of_heads * 4];
        lane.attend(&attention, &mut state.clone(), &mut SliceMut::new(Dtype::F32, &mut out)?)?;
        let found: Vec<f32> = out.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        same(operation, close(&found, &expected))?;
        let mut gradients = Gradients::zeros(&span);
        mixer.backward(&span, &wide(&state), &wide(&d_out), &mut |_| {}, &mut gradients);
        let found = lane.attend_backward(&attention, &state, &d_out, &state)?;
        let found = [found.q, found.k, found.v, found.rule];
        same(operation, found.iter().zip(&gradients.inputs).all(|(found, expected)| close(found, expected)))?;
    }
    if !products {
        return Ok(());
    }
    let heads = SoftmaxHeads::equal(HEADS, WIDTH, WIDTH);
    let shared: Vec<f32> = k.chunks(of_heads).zip(v.chunks(of_heads)).flat_map(|(k, v)| [k, v].concat()).collect();
    let bytes: Vec<u8> = shared.iter().flat_map(|value| value.to_le_bytes()).collect();
    let pairs = Slice::new(Dtype::F32, &bytes)?;
    let mut found = vec![0.0; TOKENS * of_heads];
    lane.softmax(&SoftmaxAttention { heads, documents: &documents, own: 0..TOKENS, q: of_q, pairs }, &mut found)?;
    let inputs = [&q[..], &k, &v].map(wide);
    let inputs = inputs.iter().map(Vec::as_slice).collect();
    let span = Span { documents: &documents, rows: 0..TOKENS, own: 0..TOKENS, inputs, params: vec![] };
    let mut expected = vec![0.0; found.len()];
    Gathered::<f64>::forward(&Softmax { heads }, &span, &wide(&shared), &mut expected);
    same("softmax attention", close(&found, &expected))
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
