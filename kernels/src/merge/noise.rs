//! A tensor with noise on it, times a factor.

use crate::{KernelError, MaskKey, Slice, SliceMut, block, normal, slice::same_length};

/// Normal noise on one tensor of one model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    key: MaskKey,
    deviation: f32,
}

impl Noise {
    /// Noise of this standard deviation on the tensor of this name of model number `model`, keyed as a mask is.
    pub fn new(seed: u64, model: u32, tensor: &str, deviation: f32) -> Self {
        Self { key: MaskKey::new(seed, model, tensor), deviation }
    }
}

/// `out = (input + noise) · factor`; the first element of `input` is element `first` of the tensor.
///
/// # Errors
/// Slices that do not fit each other; [`KernelError::NotANumber`].
pub fn noisy(input: &Slice<'_>, noise: &Noise, first: u64, factor: f32, out: &mut SliceMut<'_>) -> Result<(), KernelError> {
    const NAME: &str = "noise";
    let mut out = out.floats_mut(NAME)?;
    same_length(NAME, out.len(), input.len())?;
    let input = input.floats(NAME)?;
    let mut values: block::Block = [0.0; block::BLOCK];
    for range in block::blocks(input.len()) {
        let values = &mut values[..range.len()];
        input.decode(&range, values);
        for (value, element) in values.iter_mut().zip(first + range.start as u64..) {
            *value = (*value + noise.deviation * normal(noise.key.words(), [element, 0])) * factor;
        }
        block::finish(&mut out, &range, values).map_err(|element| KernelError::NotANumber { element })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dtype;

    fn made(noise: &Noise, values: &[f32], first: u64, factor: f32) -> Result<Vec<f32>, KernelError> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut out = vec![0; bytes.len()];
        noisy(&Slice::new(Dtype::F32, &bytes)?, noise, first, factor, &mut SliceMut::new(Dtype::F32, &mut out)?)?;
        Ok(out.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect())
    }

    #[test]
    fn an_element_has_its_own_noise_wherever_a_tile_begins() {
        let noise = Noise::new(3, 1, "w", 0.5);
        let values: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        let whole = made(&noise, &values, 0, 2.0).unwrap();
        for first in [1, 255, 300] {
            assert_eq!(made(&noise, &values[first..], first as u64, 2.0).unwrap(), whole[first..]);
        }
        let added: Vec<f64> = whole.iter().zip(&values).map(|(out, value)| f64::from(out / 2.0 - value)).collect();
        let variance = added.iter().map(|x| x * x).sum::<f64>() / 1000.0;
        assert!((variance.sqrt() - 0.5).abs() < 0.05, "{variance}");
        assert_ne!(made(&Noise::new(3, 2, "w", 0.5), &values, 0, 2.0).unwrap(), whole);
        assert_ne!(made(&Noise::new(4, 1, "w", 0.5), &values, 0, 2.0).unwrap(), whole);
        assert_eq!(made(&Noise::new(4, 1, "w", 0.0), &values, 0, 1.0).unwrap(), values);
    }

    #[test]
    fn what_is_no_number_is_told() {
        let noise = Noise::new(0, 0, "w", 1.0);
        assert_eq!(made(&noise, &[1.0, f32::NAN], 0, 1.0), Err(KernelError::NotANumber { element: 1 }));
    }
}
