//! The Karcher mean of several directions: the point of the sphere with the least sum of squared angles to them.

use crate::Gram;

/// Angles this close to a straight one are straight: their sine is noise.
const OPPOSITE: f64 = 1e-6;

/// The coefficients of the vectors of `gram` for their Karcher mean, with equal shares: its direction is found by at most
/// `max_iter` steps of gradient descent on the sphere, which end when a step is shorter than `tolerance`; its length is the mean
/// of theirs.
///
/// A step from μ is v = Σ αᵢ (θᵢ/sin θᵢ)(uᵢ − cos θᵢ·μ), uᵢ the direction of vector i and θᵢ its angle to μ; then
/// μ ← cos ‖v‖·μ + sin ‖v‖·v/‖v‖. It starts at the normalised mean of the directions; at the first of them where
/// these cancel. Zero vectors have no direction; they count in the length.
pub fn karcher(gram: &Gram, max_iter: u32, tolerance: f64) -> Vec<f64> {
    let norms: Vec<f64> = (0..gram.vectors()).map(|i| gram.norm(i)).collect();
    let mut mean = vec![0.0; norms.len()];
    let pointing: Vec<usize> = (0..norms.len()).filter(|i| norms[*i] != 0.0).collect();
    let Some(&first) = pointing.first() else { return mean };
    let alpha = 1.0 / pointing.len() as f64;
    for i in &pointing {
        mean[*i] = alpha / norms[*i];
    }
    let length = gram.norm_of(&mean);
    if length < tolerance {
        mean.fill(0.0);
        mean[first] = 1.0 / norms[first];
    } else {
        mean.iter_mut().for_each(|c| *c /= length);
    }

    for _ in 0..max_iter {
        // v and μ in coefficients of the inputs
        let mut step = vec![0.0; norms.len()];
        for &i in &pointing {
            let cosine = (mean.iter().enumerate().map(|(j, c)| c * gram.dot(i, j)).sum::<f64>() / norms[i]).clamp(-1.0, 1.0);
            let angle = libm::acos(cosine);
            // what points the same way has arrived, and what points the opposite way pulls in no direction
            if angle < tolerance || std::f64::consts::PI - angle < OPPOSITE {
                continue;
            }
            let pull = alpha * angle / libm::sin(angle);
            step[i] += pull / norms[i];
            step.iter_mut().zip(&mean).for_each(|(step, mean)| *step -= pull * cosine * mean);
        }
        let length = gram.norm_of(&step);
        if length < tolerance {
            break;
        }
        let (sine, cosine) = (libm::sin(length), libm::cos(length));
        mean.iter_mut().zip(&step).for_each(|(mean, step)| *mean = cosine * *mean + sine * step / length);
        let drift = gram.norm_of(&mean);
        mean.iter_mut().for_each(|c| *c /= drift);
    }
    let scale = norms.iter().sum::<f64>() / norms.len() as f64;
    mean.iter_mut().for_each(|c| *c *= scale);
    mean
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::testing::{combine, gram_of};

    #[test]
    fn the_mean_is_where_the_pulls_cancel() {
        let vectors: [&[f64]; 3] = [&[1.0, 0.2, -0.5], &[0.3, 1.0, 0.1], &[0.2, 0.4, 5.0]];
        let mean = combine(&vectors, &karcher(&gram_of(&vectors), 200, 1e-14));
        let norm = |a: &[f64]| a.iter().map(|x| x * x).sum::<f64>().sqrt();
        let lengths: f64 = vectors.iter().map(|v| norm(v)).sum::<f64>() / 3.0;
        assert!((norm(&mean) - lengths).abs() < 1e-12);
        let unit: Vec<f64> = mean.iter().map(|x| x / norm(&mean)).collect();
        let mut pull = [0.0; 3];
        for v in vectors {
            let cosine = v.iter().zip(&unit).map(|(a, b)| a * b).sum::<f64>() / norm(v);
            for ((pull, v_j), unit) in pull.iter_mut().zip(v).zip(&unit) {
                *pull += cosine.acos() / cosine.acos().sin() * (v_j / norm(v) - cosine * unit);
            }
        }
        assert!(norm(&pull) < 1e-10, "{pull:?}");
    }

    #[test]
    fn two_vectors_meet_halfway_and_corners_are_calm() {
        let found = karcher(&gram_of(&[&[1.0, 0.0], &[0.0, 1.0]]), 10, 1e-5);
        assert!(found.iter().all(|c| (c - 0.5f64.sqrt()).abs() < 1e-12), "{found:?}");
        // opposite directions pull in no direction: the first stays
        let found = karcher(&gram_of(&[&[1.0, 0.0], &[-1.0, 0.0]]), 0, 1e-5);
        assert_eq!(found, [1.0, 0.0]);
        let found = karcher(&gram_of(&[&[1.5], &[-0.7], &[0.3]]), 10, 1e-5);
        assert!((found[0] * 1.5 - found[1] * 0.7 + found[2] * 0.3 - 2.5 / 3.0).abs() < 1e-12, "{found:?}: the majority's side");
        assert_eq!(karcher(&gram_of(&[&[0.0], &[0.0]]), 10, 1e-5), [0.0, 0.0]);
        assert_eq!(karcher(&gram_of(&[&[0.0], &[2.0]]), 10, 1e-5), [0.0, 0.5], "the direction of one, half of its length");
        assert_eq!(karcher(&gram_of(&[&[3.0, 4.0]]), 10, 1e-5), [1.0]);
        assert!(karcher(&Gram::zero(0), 10, 1e-5).is_empty());
    }
}
