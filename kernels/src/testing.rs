//! Tensors for the tests that hold the versions of a kernel for different processors, and for GPUs, against each other.

#[cfg(test)]
use crate::slice::{Floats, FloatsMut};
use crate::{Dtype, convert::Float, philox4x32};

#[cfg(test)]
pub(crate) const KINDS: [Float; 4] = [Float::F64, Float::F32, Float::F16, Float::BF16];

/// Lengths around those at which loops change: lanes, groups, blocks, granules.
pub const LENGTHS: [usize; 9] = [0, 1, 7, 63, 255, 257, 1000, (1 << 16) - 1, (1 << 16) + 1];

/// The bytes of [`tensor`] for a type that has arithmetic; none for another.
pub fn bytes(dtype: Dtype, numel: usize, seed: u32) -> Vec<u8> {
    Float::of(dtype).map(|kind| tensor(kind, numel, seed)).unwrap_or_default()
}

/// Bell-shaped values with zeros, huge and tiny ones among them, and infinities if the seed is odd; no NaN.
pub(crate) fn tensor(kind: Float, numel: usize, seed: u32) -> Vec<u8> {
    let values: Vec<f32> = (0..numel as u32)
        .map(|index| {
            let words = philox4x32([index, 0, 0, 0], [seed, 77]);
            let bell = words.iter().map(|word| *word as f32 / u32::MAX as f32 - 0.5).sum::<f32>();
            match words[0] % 100 {
                0 => 0.0,
                1 => -0.0,
                2 => bell * 1e30,
                3 => bell * 1e-40,
                4 if seed % 2 == 1 => f32::INFINITY,
                _ => bell,
            }
        })
        .collect();
    let mut bytes = vec![0; numel * kind.size()];
    kind.encode(&values, &mut bytes);
    bytes
}

#[cfg(test)]
pub(crate) fn floats(kind: Float, bytes: &[u8]) -> Floats<'_> {
    Floats { kind, bytes }
}

/// What each version writes into a fresh output, beside what it returns.
#[cfg(test)]
pub(crate) fn outputs<R: PartialEq + std::fmt::Debug>(
    kind: Float,
    numel: usize,
    versions: [&dyn Fn(&mut FloatsMut<'_>) -> R; 3],
) -> [(Vec<u8>, R); 3] {
    versions.map(|version| {
        let mut bytes = vec![0; numel * kind.size()];
        let result = version(&mut FloatsMut { kind, bytes: &mut bytes });
        (bytes, result)
    })
}

/// Asserts that the baseline, AVX2 and dispatched versions agree.
#[cfg(test)]
pub(crate) fn assert_same<T: PartialEq + std::fmt::Debug>(versions: [T; 3], what: impl std::fmt::Debug) {
    // Not assert_eq: whole tensors are no readable message.
    assert!(versions[0] == versions[1], "baseline and AVX2 differ: {what:?}");
    assert!(versions[0] == versions[2], "baseline and dispatched differ: {what:?}");
}
