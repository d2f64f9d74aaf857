//! Spherical interpolation of two vectors as mergekit's `nuslerp` defines it.

use crate::Gram;

/// Norms below this count as this, so that a zero vector stands at a right angle to all.
const LEAST_NORM: f64 = 1e-7;
/// Below this square of the sine the vectors are parallel, and the arc is their chord. An angle of a millionth is what f32, in
/// which mergekit computes, can just tell from none.
const PARALLEL: f64 = 1e-12;

/// The coefficients of the two vectors of `gram` at the place `t` of the arc from the first (0) to the second (1):
/// sin((1 − t)θ)/sin θ and sin(tθ)/sin θ, with θ the angle between them.
///
/// Unlike [`slerp_coefficients`](crate::slerp_coefficients) it takes the chord only for vectors at an angle of less than a
/// millionth.
pub fn nuslerp(gram: &Gram, t: f64) -> [f64; 2] {
    let norms = [0, 1].map(|i| gram.norm(i)).map(|norm| if norm < LEAST_NORM { LEAST_NORM } else { norm });
    let cosine = (gram.dot(0, 1) / (norms[0] * norms[1])).clamp(-1.0, 1.0);
    if 1.0 - cosine * cosine <= PARALLEL {
        return [1.0 - t, t];
    }
    let angle = libm::acos(cosine);
    let sine = libm::sin(angle);
    [libm::sin((1.0 - t) * angle) / sine, libm::sin(t * angle) / sine]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::testing::gram_of;

    #[test]
    fn arcs_chords_and_zeros() {
        let half = 0.5f64.sqrt();
        for (a, b, t, expected) in [
            ([1.0, 0.0], [0.0, 3.0], 0.5, [half, half]),
            ([1.0, 0.0], [0.0, 3.0], 0.0, [1.0, 0.0]),
            ([1.0, 0.0], [0.0, 3.0], 1.0, [0.0, 1.0]),
            // 45 degrees, a third of the way: the sines of 30 and of 15 over that of 45
            ([1.0, 0.0], [2.0, 2.0], 1.0 / 3.0, [0.5 / half, 0.258_819_045_102_520_7 / half]),
            // nearly parallel is not parallel, though the coefficients are nearly those of the chord
            ([1.0, 0.0], [1.0, 1e-4], 0.25, [0.75, 0.25]),
            ([1.0, 2.0], [1.0, 2.0], 0.25, [0.75, 0.25]),
            ([1.0, 2.0], [-2.0, -4.0], 0.25, [0.75, 0.25]),
            ([0.0, 0.0], [0.0, 2.0], 0.5, [half, half]),
            ([0.0, 0.0], [0.0, 0.0], 0.5, [half, half]),
        ] {
            let found = nuslerp(&gram_of(&[&a, &b]), t);
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-8, "{a:?} {b:?} at {t}: {found} is not {expected}");
            }
        }
    }

    #[test]
    fn not_a_number_is_not_hidden() {
        assert!(nuslerp(&gram_of(&[&[f64::NAN], &[1.0]]), 0.5)[0].is_nan());
    }
}
