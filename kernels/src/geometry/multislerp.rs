//! The barycentre of several directions in one step, as mergekit's `multislerp` defines it.

use crate::Gram;

/// The coefficients of the vectors of `gram`, of these weights: Σ wᵢ‖xᵢ‖ times the direction of Σ wᵢxᵢ/(‖xᵢ‖ + ε). None where
/// that sum is shorter than ε, and so has no direction.
///
/// The released code goes on from there: it projects the uᵢ = xᵢ/(‖xᵢ‖ + ε) on the tangent space at the direction m of their
/// sum M and takes the exponential map of T = Σ wᵢ(uᵢ − ⟨uᵢ, m⟩m). But T = M − ⟨M, m⟩m, which is zero, since m is the direction
/// of M. So nothing is left out.
///
/// If all vectors are zero, so is the result. Two vectors whose sum has no direction are added, as mergekit does.
pub fn multislerp(gram: &Gram, weights: &[f64], epsilon: f64) -> Option<Vec<f64>> {
    let norms: Vec<f64> = (0..weights.len()).map(|i| gram.norm(i)).collect();
    if norms.iter().all(|norm| *norm == 0.0) {
        return Some(vec![0.0; weights.len()]);
    }
    let shares: Vec<f64> = weights.iter().zip(&norms).map(|(weight, norm)| weight / (norm + epsilon)).collect();
    let length = gram.norm_of(&shares);
    if length < epsilon {
        return (weights.len() == 2).then(|| weights.to_vec());
    }
    let scale: f64 = weights.iter().zip(&norms).map(|(weight, norm)| weight * norm).sum();
    Some(shares.into_iter().map(|share| share * scale / length).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::testing::{combine, gram_of};

    /// The released algorithm on vectors, tangent space and all.
    fn in_full(vectors: &[&[f64]], weights: &[f64]) -> Vec<f64> {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let norm = |a: &[f64]| dot(a, a).sqrt();
        let units: Vec<Vec<f64>> = vectors.iter().map(|v| v.iter().map(|x| x / norm(v)).collect()).collect();
        let mean = combine(&units.iter().map(Vec::as_slice).collect::<Vec<_>>(), weights);
        let mean: Vec<f64> = mean.iter().map(|x| x / norm(&mean)).collect();
        let tangents: Vec<Vec<f64>> =
            units.iter().map(|u| u.iter().zip(&mean).map(|(x, m)| x - dot(u, &mean) * m).collect()).collect();
        let tangent = combine(&tangents.iter().map(Vec::as_slice).collect::<Vec<_>>(), weights);
        let length = norm(&tangent) + 1e-30;
        let scale: f64 = vectors.iter().zip(weights).map(|(v, w)| w * norm(v)).sum();
        mean.iter().zip(&tangent).map(|(m, t)| scale * (m * length.cos() + t * length.sin() / length)).collect()
    }

    #[test]
    fn the_short_form_is_the_released_one() {
        let vectors: [&[f64]; 3] = [&[1.0, 0.2, -0.5, 2.0], &[0.3, -1.0, 0.1, 1.0], &[-0.2, 0.4, 5.0, 0.7]];
        for weights in [[0.5, 0.3, 0.2], [1.0, -0.2, 0.4], [0.0, 1.0, 2.0]] {
            let coefficients = multislerp(&gram_of(&vectors), &weights, 1e-12).unwrap();
            for (found, expected) in combine(&vectors, &coefficients).iter().zip(in_full(&vectors, &weights)) {
                assert!((found - expected).abs() < 1e-10, "{found} is not {expected} with {weights:?}");
            }
        }
    }

    #[test]
    fn directions_that_cancel_and_zeros() {
        let opposite: [&[f64]; 2] = [&[1.0, 2.0], &[-2.0, -4.0]];
        assert_eq!(multislerp(&gram_of(&opposite), &[0.5, 0.5], 1e-8), Some(vec![0.5, 0.5]));
        let three: [&[f64]; 3] = [&[1.0], &[-1.0], &[0.0]];
        assert_eq!(multislerp(&gram_of(&three), &[0.4, 0.4, 0.2], 1e-8), None);
        assert_eq!(multislerp(&gram_of(&[&[0.0], &[0.0], &[0.0]]), &[0.4, 0.4, 0.2], 1e-8), Some(vec![0.0; 3]));
        // a zero vector has no direction, but takes its part of the length
        let found = multislerp(&gram_of(&[&[2.0], &[0.0]]), &[0.5, 0.5], 1e-8).unwrap();
        assert!((found[0] - 0.5).abs() < 1e-8, "{found:?}");
    }
}
