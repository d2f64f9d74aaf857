//! What methods that ask about whole models share.

use super::{MethodError, TensorParameters, Values};
use crate::{MergeError, run::Tiles, survey::Answer};

/// The inputs that are compared with the base, with their values.
pub(super) fn experts(parameters: &TensorParameters) -> impl Iterator<Item = (usize, &Values)> {
    let base = parameters.base;
    parameters.inputs.iter().enumerate().filter(move |(input, _)| Some(*input) != base)
}

/// The answers to as many questions as a method asks; none for a tensor without elements, about which nothing need be known.
///
/// # Errors
/// Fewer are known, which is a fault of the plan.
pub(super) fn known<'a, const N: usize>(tiles: &Tiles<'a>) -> Result<Option<&'a [Answer; N]>, MergeError> {
    match (<&[Answer; N]>::try_from(tiles.answers()), tiles.elements()) {
        (Ok(answers), _) => Ok(Some(answers)),
        (Err(_), 0) => Ok(None),
        (Err(_), _) => Err(MethodError::Unknown { tensor: tiles.name().to_owned() }.into()),
    }
}

/// The sums of lists of `count` numbers, in their order.
pub(super) fn sums(count: usize, parts: impl IntoIterator<Item = Vec<f64>>) -> Vec<f64> {
    let mut sums = vec![0.0; count];
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    sums
}
