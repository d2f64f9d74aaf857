//! How far Model Stock goes from the base to the mean of the experts.

use crate::Gram;

/// Denominators below this have no finite ratio; the base stays.
const SINGULAR: f64 = 1e-6;

/// The ratio t of Model Stock from the products of the task vectors: N·c/(1 + (N − 1)·c), with c the mean cosine over all pairs
/// of N vectors. It is negative where they point away from each other.
///
/// A zero vector is at a right angle to all. mergekit divides by max(‖a‖‖b‖, 1e-6), which bends the angle of small tensors: this
/// does not, as the paper does not.
pub fn model_stock(gram: &Gram) -> f64 {
    let count = gram.vectors();
    let (mut sum, mut pairs) = (0.0, 0.0);
    for a in 0..count {
        for b in a + 1..count {
            let norms = gram.norm(a) * gram.norm(b);
            sum += if norms == 0.0 { 0.0 } else { (gram.dot(a, b) / norms).clamp(-1.0, 1.0) };
            pairs += 1.0;
        }
    }
    if pairs == 0.0 {
        return 0.0;
    }
    let (count, cosine) = (count as f64, sum / pairs);
    let denominator = 1.0 + (count - 1.0) * cosine;
    if denominator.abs() < SINGULAR { 0.0 } else { count * cosine / denominator }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::testing::gram_of;

    #[test]
    fn ratios_of_known_angles() {
        let half: &[f64] = &[0.5, 0.75f64.sqrt()];
        for (vectors, expected) in [
            // 60 degrees: 2·½ / 1½
            (vec![&[1.0, 0.0][..], half], 2.0 / 3.0),
            // however small
            (vec![&[1e-9, 0.0][..], &[0.5e-9, 0.75f64.sqrt() * 1e-9]], 2.0 / 3.0),
            (vec![&[1.0, 0.0][..], &[0.0, 1.0]], 0.0),
            (vec![&[1.0, 0.0][..], &[2.0, 0.0]], 1.0),
            (vec![&[1.0, 0.0][..], &[-1.0, 0.0]], 0.0),
            (vec![&[1.0, 0.0][..], &[-0.5, 0.75f64.sqrt()]], -2.0),
            (vec![&[1.0, 0.0][..], &[1.0, 0.0], &[0.0, 0.0]], 3.0 / 3.0 / (1.0 + 2.0 / 3.0)),
            (vec![&[1.0, 0.0][..]], 0.0),
        ] {
            let found = model_stock(&gram_of(&vectors));
            assert!((found - expected).abs() < 1e-12, "{vectors:?}: {found}, not {expected}");
        }
    }

    #[test]
    fn not_a_number_is_not_hidden() {
        assert!(model_stock(&gram_of(&[&[f64::NAN], &[1.0]])).is_nan());
    }
}
