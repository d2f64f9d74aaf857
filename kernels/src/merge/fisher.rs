//! Means in which every element has its own weight for each model: θ = Σ cᵢFᵢθᵢ / Σ cᵢFᵢ.

use crate::block::{BLOCK, Block, blocks, dispatched, finish};
use crate::slice::{Floats, FloatsMut, same_length};
use crate::{KernelError, Slice, SliceMut};

/// One model of such a mean.
#[derive(Debug, Clone, Copy)]
pub struct Informed<'a> {
    /// Its elements.
    pub theta: Slice<'a>,
    /// How much is known about each.
    pub information: Slice<'a>,
    /// Smaller information counts as this.
    pub floor: f32,
    /// A factor on all of it.
    pub weight: f64,
}

/// The mean for one tile, in f64; where nothing is known about an element in any model, the plain mean. Stops at the first result
/// that is not a number.
pub fn informed_mean(models: &[Informed<'_>], out: &mut SliceMut<'_>) -> Result<(), KernelError> {
    const NAME: &str = "informed_mean";
    let mut out = out.floats_mut(NAME)?;
    if models.is_empty() {
        return Err(KernelError::CountMismatch { operation: NAME, what: "models", expected: 1, found: 0 });
    }
    let mut terms = Vec::with_capacity(models.len());
    for model in models {
        same_length(NAME, out.len(), model.theta.len())?;
        same_length(NAME, out.len(), model.information.len())?;
        let (theta, information) = (model.theta.floats(NAME)?, model.information.floats(NAME)?);
        terms.push(Term { theta, information, floor: model.floor, weight: model.weight });
    }
    dispatch(&terms, &mut out).map_err(|element| KernelError::NotANumber { element })
}

#[derive(Clone, Copy)]
struct Term<'a> {
    theta: Floats<'a>,
    information: Floats<'a>,
    floor: f32,
    weight: f64,
}

dispatched! {
    fn dispatch / dispatch_avx2(terms: &[Term<'_>], out: &mut FloatsMut<'_>) -> Result<(), usize> = body;
}

#[inline(always)]
fn body(terms: &[Term<'_>], out: &mut FloatsMut<'_>) -> Result<(), usize> {
    let (mut theta, mut information): (Block, Block) = ([0.0; BLOCK], [0.0; BLOCK]);
    for range in blocks(out.len()) {
        let n = range.len();
        let (theta, information) = (&mut theta[..n], &mut information[..n]);
        let (mut sums, mut weights, mut plain) = ([0.0f64; BLOCK], [0.0f64; BLOCK], [0.0f64; BLOCK]);
        for term in terms {
            term.theta.decode(&range, theta);
            term.information.decode(&range, information);
            for ((((theta, information), sum), weight), plain) in
                theta.iter().zip(&*information).zip(&mut sums).zip(&mut weights).zip(&mut plain)
            {
                let information = if *information < term.floor { term.floor } else { *information };
                let own = term.weight * f64::from(information);
                *sum += own * f64::from(*theta);
                *weight += own;
                *plain += f64::from(*theta);
            }
        }
        for (((theta, sum), weight), plain) in theta.iter_mut().zip(&sums).zip(&weights).zip(&plain) {
            let mean = if *weight == 0.0 { plain / terms.len() as f64 } else { sum / weight };
            *theta = mean as f32;
        }
        finish(out, &range, theta)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dtype;
    use crate::testing::{KINDS, LENGTHS, assert_same, floats, outputs, tensor};

    #[test]
    fn every_processor_gives_the_same_bits() {
        for (kind, numel) in KINDS.into_iter().flat_map(|kind| LENGTHS.map(|numel| (kind, numel))) {
            let [a, b, c, d] = [0, 2, 4, 6].map(|seed| tensor(kind, numel, seed));
            let term = |theta, information, floor| Term {
                theta: floats(kind, theta),
                information: floats(kind, information),
                floor,
                weight: 0.7,
            };
            let terms = [term(&a, &b, 1e-6), term(&c, &d, 0.0)];
            let versions =
                outputs(kind, numel, [&|out| body(&terms, out), &|out| dispatch_avx2(&terms, out), &|out| dispatch(&terms, out)]);
            assert_same(versions, (kind, numel));
        }
    }

    #[test]
    fn unknown_elements_are_averaged_and_tiny_information_counts() {
        let bytes = |values: [f32; 3]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let [a, b, f, g] = [[2.0, 2.0, 2.0], [4.0, 4.0, 4.0], [0.0, 3e-38, 1.0], [0.0, 1e-38, 0.0]].map(bytes);
        let slice = |bytes| Slice::new(Dtype::F32, bytes).unwrap();
        let model =
            |theta, information, floor| Informed { theta: slice(theta), information: slice(information), floor, weight: 1e-3 };
        let mean = |models: &[Informed<'_>]| {
            let mut out = vec![0; 12];
            informed_mean(models, &mut SliceMut::new(Dtype::F32, &mut out).unwrap()).unwrap();
            out.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect::<Vec<_>>()
        };
        assert_eq!(mean(&[model(&a, &f, 0.0), model(&b, &g, 0.0)]), [3.0, 2.5, 2.0]);
        assert_eq!(mean(&[model(&a, &f, 1e-6), model(&b, &g, 0.0)])[0], 2.0, "the first is favoured where nothing is known");
    }
}
