//! One tensor as it is, in another type, or times a factor.

use crate::block::{BLOCK, Block, blocks, dispatched, finish};
use crate::slice::{Floats, FloatsMut, same_length};
use crate::{KernelError, Slice, SliceMut};

/// Copies `input`, converting floats to the type of `out`. Types other than floats must be the same on both sides.
///
/// Nothing is computed and nothing checked: a NaN stays one.
pub fn convert(input: &Slice<'_>, out: &mut SliceMut<'_>) -> Result<(), KernelError> {
    const NAME: &str = "convert";
    same_length(NAME, out.len(), input.len())?;
    if input.dtype() == out.dtype() {
        out.bytes_mut().copy_from_slice(input.bytes());
        return Ok(());
    }
    dispatch_convert(input.floats(NAME)?, &mut out.floats_mut(NAME)?);
    Ok(())
}

/// The elements as f32.
pub fn decode(input: &Slice<'_>) -> Result<Vec<f32>, KernelError> {
    let mut out = vec![0.0; input.len()];
    dispatch_decode(input.floats("decode")?, &mut out);
    Ok(out)
}

/// `out = factor · input` in f32. Stops at the first result that is not a number.
pub fn scale(input: &Slice<'_>, factor: f32, out: &mut SliceMut<'_>) -> Result<(), KernelError> {
    const NAME: &str = "scale";
    same_length(NAME, out.len(), input.len())?;
    dispatch_scale(input.floats(NAME)?, factor, &mut out.floats_mut(NAME)?).map_err(|element| KernelError::NotANumber { element })
}

dispatched! {
    fn dispatch_convert / convert_avx2(input: Floats<'_>, out: &mut FloatsMut<'_>) = convert_body;
}
dispatched! {
    fn dispatch_decode / decode_avx2(input: Floats<'_>, out: &mut [f32]) = decode_body;
}
dispatched! {
    fn dispatch_scale / scale_avx2(input: Floats<'_>, factor: f32, out: &mut FloatsMut<'_>) -> Result<(), usize> = scale_body;
}

#[inline(always)]
fn convert_body(input: Floats<'_>, out: &mut FloatsMut<'_>) {
    let mut value: Block = [0.0; BLOCK];
    for range in blocks(out.len()) {
        let value = &mut value[..range.len()];
        input.decode(&range, value);
        out.encode(&range, value);
    }
}

#[inline(always)]
fn decode_body(input: Floats<'_>, out: &mut [f32]) {
    input.decode(&(0..out.len()), out);
}

#[inline(always)]
fn scale_body(input: Floats<'_>, factor: f32, out: &mut FloatsMut<'_>) -> Result<(), usize> {
    let mut value: Block = [0.0; BLOCK];
    for range in blocks(out.len()) {
        let value = &mut value[..range.len()];
        input.decode(&range, value);
        for value in &mut *value {
            *value *= factor;
        }
        finish(out, &range, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{KINDS, LENGTHS, assert_same, floats, outputs, tensor};

    #[test]
    fn every_processor_gives_the_same_bits() {
        for (from, to) in KINDS.into_iter().flat_map(|from| KINDS.map(|to| (from, to))) {
            for numel in LENGTHS {
                let bytes = tensor(from, numel, 1);
                let input = floats(from, &bytes);
                let converted = outputs(
                    to,
                    numel,
                    [&|out| convert_body(input, out), &|out| convert_avx2(input, out), &|out| {
                        dispatch_convert(input, out);
                    }],
                );
                assert_same(converted, (from, to, numel));
                let decoded = [decode_body, decode_avx2, dispatch_decode].map(|version| {
                    let mut values = vec![0.0; numel];
                    version(input, &mut values);
                    values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
                });
                assert_same(decoded, (from, numel));
                let scaled = outputs(
                    to,
                    numel,
                    [&|out| scale_body(input, 0.3, out), &|out| scale_avx2(input, 0.3, out), &|out| {
                        dispatch_scale(input, 0.3, out)
                    }],
                );
                assert_same(scaled, (from, to, numel));
            }
        }
    }
}
