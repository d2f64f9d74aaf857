//! Linear-time attention against the f64 forms of the families: outputs, states and all gradients, packed documents, and spans that
//! begin and end inside of them.

use std::ops::Range;

use braid_gpu::{
    Lane,
    attention::{Attention, Rule},
};
use braid_kernels::{
    Dtype, Slice, SliceMut,
    attention::{DeltaNet, Documents, Gla, Gradients, Lightning, Mixer, Span},
    convert, decode, philox4x32,
};

use crate::TAKEN;

/// Heads, key channels, value channels: odd ones, one tile of columns and several, and the widest keys.
const SHAPES: [(usize, usize, usize); 3] = [(2, 5, 3), (1, 16, 33), (2, 128, 16)];
/// Of the largest of what is compared.
const TOLERANCE: f64 = 2e-5;
/// The same on tensor cores, which round what they multiply to bfloat16: an ulp of it.
const OF_TENSOR_CORES: f64 = 1.0 / 256.0;

/// Numbers from -1 to 1, many of them small.
pub(super) fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let one = |index: usize| {
        let words = philox4x32([index as u32, 0, 0, 0], [seed, 5]);
        words.iter().map(|word| *word as f32 / u32::MAX as f32 - 0.5).sum::<f32>() / 2.0
    };
    (0..count).map(one).collect()
}

/// A tensor of some type, and what it holds.
pub(super) struct Tensor {
    dtype: Dtype,
    bytes: Vec<u8>,
    pub(super) values: Vec<f32>,
}

impl Tensor {
    pub(super) fn new(dtype: Dtype, values: &[f32]) -> Self {
        let wide: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut bytes = vec![0; values.len() * dtype.size()];
        let wide = Slice::new(Dtype::F32, &wide).expect(TAKEN);
        convert(&wide, &mut SliceMut::new(dtype, &mut bytes).expect(TAKEN)).expect(TAKEN);
        let values = decode(&Slice::new(dtype, &bytes).expect(TAKEN)).expect(TAKEN);
        Self { dtype, bytes, values }
    }

    pub(super) fn slice(&self) -> Slice<'_> {
        Slice::new(self.dtype, &self.bytes).expect(TAKEN)
    }

    pub(super) fn wide(&self) -> Vec<f64> {
        self.values.iter().map(|value| f64::from(*value)).collect()
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

fn close(found: &[f32], expected: &[f64], what: &str) {
    close_to(found, expected, TOLERANCE, what);
}

/// Holds numbers against others, to a share of the largest of these.
pub(super) fn close_to(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    let size = expected.iter().fold(1.0f64, |size, value| size.max(value.abs()));
    assert_eq!(found.len(), expected.len(), "{what}");
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - expected).abs();
        assert!(error <= tolerance * size, "{what}, element {place}: {found} where {expected} was expected");
    }
}

/// Which rule, with numbers drawn for it.
#[derive(Debug, Clone, Copy)]
enum Family {
    Decay,
    Gated { strength: f32 },
    Delta,
}

fn check(lane: &mut Lane, family: Family, dtype: Dtype, (heads, key, value): (usize, usize, usize), own: Range<usize>) {
    let documents = Documents::of_lengths([37, 1, 48, 20]);
    let what = format!("{family:?} in {dtype}, {heads} heads of {key} and {value}, tokens {own:?}");
    let tokens = own.len();
    let scaled = |count, seed, scale: f32| numbers(count, seed).into_iter().map(|x| x * scale).collect::<Vec<_>>();
    // keys of a delta rule are not longer than one
    let short = (key as f32).powf(-0.5);
    let (q, k) = (scaled(tokens * heads * key, 1, 1.0), scaled(tokens * heads * key, 2, short));
    let [q, k, v] = [q, k, numbers(tokens * heads * value, 3)].map(|values| Tensor::new(dtype, &values));
    let slopes: Vec<f32> = numbers(heads, 4).into_iter().map(f32::abs).collect();
    let extra = match family {
        Family::Decay => vec![],
        Family::Gated { strength } => scaled(tokens * heads * key, 4, strength).into_iter().map(|g| -g.abs()).collect(),
        Family::Delta => numbers(tokens * heads, 4).into_iter().map(|x| 1.0 / (1.0 + (-4.0 * x).exp())).collect(),
    };
    let extra = Tensor::new(dtype, &extra);
    let (state, d_state) = (numbers(heads * key * value, 5), numbers(heads * key * value, 6));
    let d_out = numbers(tokens * heads * value, 7);

    let mixer: Box<dyn Mixer<f64>> = match family {
        Family::Decay => Box::new(Lightning::new(heads, key, value)),
        Family::Gated { .. } => Box::new(Gla::new(heads, key, value).with_scale(1.0)),
        Family::Delta => Box::new(DeltaNet::new(heads, key, value).without_norm().with_scale(1.0)),
    };
    let rule = match family {
        Family::Decay => Rule::Decay(&slopes),
        Family::Gated { .. } => Rule::Gated(extra.slice()),
        Family::Delta => Rule::Delta(extra.slice()),
    };
    let attention =
        Attention { heads, key, value, documents: &documents, own: own.clone(), q: q.slice(), k: k.slice(), v: v.slice(), rule };

    let inputs: Vec<Vec<f64>> =
        [&q, &k, &v].into_iter().chain((!extra.values.is_empty()).then_some(&extra)).map(Tensor::wide).collect();
    let params: Vec<Vec<f64>> = if matches!(family, Family::Decay) { vec![wide(&slopes)] } else { vec![] };
    let span = Span {
        documents: &documents,
        rows: own.clone(),
        own,
        inputs: inputs.iter().map(Vec::as_slice).collect(),
        params: params.iter().map(Vec::as_slice).collect(),
    };
    let (before, after) = (wide(&state), wide(&d_state));
    let mut expected = vec![0.0; d_out.len()];
    let expected_state = mixer.forward(&span, &mut |state| state.copy_from_slice(&before), &mut expected);

    let (mut found_state, mut bytes) = (state.clone(), vec![0; d_out.len() * 4]);
    lane.attend(&attention, &mut found_state, &mut SliceMut::new(Dtype::F32, &mut bytes).expect(TAKEN)).expect(TAKEN);
    let found: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let cores = matches!(family, Family::Decay) && dtype == Dtype::BF16 && key % 8 == 0 && value % 8 == 0;
    let tolerance = if cores { OF_TENSOR_CORES } else { TOLERANCE };
    close_to(&found, &expected, tolerance, &format!("{what}: outputs"));
    close_to(&found_state, &expected_state, tolerance, &format!("{what}: state"));
    let mut narrow = vec![0; d_out.len() * 2];
    lane.attend(&attention, &mut state.clone(), &mut SliceMut::new(Dtype::BF16, &mut narrow).expect(TAKEN)).expect(TAKEN);
    assert!(narrow == Tensor::new(Dtype::BF16, &found).bytes, "{what}: outputs are rounded once");

    let mut gradients = Gradients::zeros(&span);
    let carry: &mut dyn FnMut(&mut [f64]) = &mut |state: &mut [f64]| state.copy_from_slice(&after);
    let d_before = mixer.backward(&span, &before, &wide(&d_out), carry, &mut gradients);
    let found = lane.attend_backward(&attention, &state, &d_out, &d_state).expect(TAKEN);
    close(&found.q, &gradients.inputs[0], &format!("{what}: gradient of queries"));
    close(&found.k, &gradients.inputs[1], &format!("{what}: gradient of keys"));
    close(&found.v, &gradients.inputs[2], &format!("{what}: gradient of values"));
    let of_rule = gradients.inputs.get(3).or_else(|| gradients.params.first()).expect("a gradient for the rule");
    close(&found.rule, of_rule, &format!("{what}: gradient of the rule"));
    close(&found.state, &d_before, &format!("{what}: gradient of the state"));
}

fn spans(lane: &mut Lane, family: Family) {
    for shape in SHAPES {
        check(lane, family, Dtype::F32, shape, 0..106);
    }
    check(lane, family, Dtype::F32, SHAPES[0], 9..90);
    check(lane, family, Dtype::F32, SHAPES[0], 38..39);
    check(lane, family, Dtype::BF16, SHAPES[1], 40..106);
    check(lane, family, Dtype::F16, SHAPES[0], 0..40);
}

pub(super) fn constant_decay_is_the_oracle(lane: &mut Lane) {
    spans(lane, Family::Decay);
}

pub(super) fn constant_decay_on_tensor_cores_is_the_oracle(lane: &mut Lane) {
    // both widths of keys, as they are and filled up; one tile of columns, several, and part of one
    for shape in [(2, 64, 64), (1, 128, 128), (3, 8, 16), (1, 72, 200)] {
        check(lane, Family::Decay, Dtype::BF16, shape, 0..106);
    }
    check(lane, Family::Decay, Dtype::BF16, (1, 64, 64), 9..90);
    check(lane, Family::Decay, Dtype::BF16, (1, 64, 8), 38..39);
}

pub(super) fn gates_are_the_oracle(lane: &mut Lane) {
    spans(lane, Family::Gated { strength: 1.0 });
    // so strong that their inverse would overflow
    check(lane, Family::Gated { strength: 100.0 }, Dtype::F32, SHAPES[0], 0..106);
}

pub(super) fn the_delta_rule_is_the_oracle(lane: &mut Lane) {
    spans(lane, Family::Delta);
}

pub(super) fn tensors_that_do_not_fit_are_refused(lane: &mut Lane) {
    let documents = Documents::one(4);
    let (bytes, slopes) = (vec![0u8; 4 * 200 * 4], [0.5f32]);
    let slice = |elements: usize| Slice::new(Dtype::F32, &bytes[..elements * 4]).expect(TAKEN);
    let good = Attention {
        heads: 1,
        key: 8,
        value: 4,
        documents: &documents,
        own: 0..4,
        q: slice(32),
        k: slice(32),
        v: slice(16),
        rule: Rule::Decay(&slopes),
    };
    let mut attend = |attention: &Attention<'_>, state: usize| {
        let mut out = vec![0; attention.v.len() * 4];
        lane.attend(attention, &mut vec![0.0; state], &mut SliceMut::new(Dtype::F32, &mut out).expect(TAKEN))
    };
    assert_eq!(attend(&good, 32), Ok(()));
    assert!(attend(&good, 31).is_err(), "a state of another shape");
    assert!(attend(&Attention { k: slice(31), ..good.clone() }, 32).is_err(), "keys of another length");
    assert!(attend(&Attention { own: 1..5, ..good.clone() }, 32).is_err(), "tokens past the end");
    assert!(attend(&Attention { rule: Rule::Gated(slice(8)), ..good.clone() }, 32).is_err(), "too few gates");
    let wide = Attention { key: 200, q: slice(800), k: slice(800), ..good.clone() };
    assert!(attend(&wide, 800).is_err(), "keys wider than a block has room for");
    let empty = Slice::new(Dtype::F32, &[]).expect(TAKEN);
    let nothing = Attention { own: 2..2, q: empty, k: empty, v: empty, ..good };
    assert_eq!(attend(&nothing, 32), Ok(()), "no tokens");
}
