//! Tensors, their types and lengths, and how an output is held against numbers computed in f64.
#![allow(dead_code, reason = "each test uses a part of it")]

use braid_kernels::{Dtype, GRANULE, Slice, SliceMut, convert, philox4x32};

pub(crate) const FLOATS: [Dtype; 4] = [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::BF16];

/// Lengths at which blocks, lanes and granules begin and end, and a ragged one.
pub(crate) const LENGTHS: [usize; 10] = [0, 1, 7, 1023, 1024, 1025, GRANULE - 1, GRANULE, GRANULE + 1, 100_003];

/// A tensor in the bytes of its type.
#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) dtype: Dtype,
    pub(crate) bytes: Vec<u8>,
}

impl Tensor {
    pub(crate) fn of(dtype: Dtype, values: &[f32]) -> Self {
        let source: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut tensor = Self::empty(dtype, values.len());
        convert(&Slice::new(Dtype::F32, &source).unwrap(), &mut tensor.slice_mut()).unwrap();
        tensor
    }

    pub(crate) fn empty(dtype: Dtype, numel: usize) -> Self {
        Self { dtype, bytes: vec![0xee; numel * dtype.size()] }
    }

    /// Weights of deviation about 0.02, some of them zero; models differ by a tenth of that.
    pub(crate) fn model(dtype: Dtype, numel: usize, model: u32) -> Self {
        let bell = |stream: u32, index: usize| {
            let words = philox4x32([index as u32, 0, 0, 0], [stream, 1]);
            words.iter().map(|word| *word as f32 / u32::MAX as f32 - 0.5).sum::<f32>() * 0.035
        };
        let one = |index: usize| match (bell(0, index), bell(model, index)) {
            (_, own) if own.abs() < 0.001 => 0.0,
            (base, own) => base + own * 0.1,
        };
        Self::of(dtype, &(0..numel).map(one).collect::<Vec<_>>())
    }

    pub(crate) fn slice(&self) -> Slice<'_> {
        Slice::new(self.dtype, &self.bytes).unwrap()
    }

    pub(crate) fn slice_mut(&mut self) -> SliceMut<'_> {
        SliceMut::new(self.dtype, &mut self.bytes).unwrap()
    }

    /// The elements, by the standard library and `half` alone.
    pub(crate) fn values(&self) -> Vec<f64> {
        let chunks = self.bytes.chunks_exact(self.dtype.size());
        let one = |bytes: &[u8]| match self.dtype {
            Dtype::F64 => f64::from_le_bytes(bytes.try_into().unwrap()),
            Dtype::F32 => f32::from_le_bytes(bytes.try_into().unwrap()).into(),
            Dtype::F16 => half::f16::from_le_bytes(bytes.try_into().unwrap()).into(),
            Dtype::BF16 => half::bf16::from_le_bytes(bytes.try_into().unwrap()).into(),
            other => panic!("{other} has no values here"),
        };
        chunks.map(one).collect()
    }
}

/// Asserts that every element is what f64 arithmetic says, up to 2e-6 of the largest and the rounding of the type. Elements
/// whose expectation is NaN are left out: there f64 and f32 may rightly decide differently.
pub(crate) fn assert_close(found: &Tensor, expected: &[f64], what: impl std::fmt::Debug) {
    let largest = expected.iter().filter(|value| value.is_finite()).fold(0.0f64, |max, value| max.max(value.abs()));
    let rounding = match found.dtype {
        Dtype::F16 => 2f64.powi(-11),
        Dtype::BF16 => 2f64.powi(-8),
        _ => 0.0,
    };
    let values = found.values();
    assert_eq!(values.len(), expected.len());
    for (index, (found, expected)) in values.iter().zip(expected).enumerate() {
        let allowed = 2e-6 * largest + rounding * expected.abs();
        assert!(expected.is_nan() || (found - expected).abs() <= allowed, "element {index} is {found}, not {expected}: {what:?}");
    }
}
