//! The two coefficients of a spherical interpolation, from the inner products of its ends; applying them is
//! [`crate::linear`]'s work.

use super::Dots;

/// Cosines beyond this interpolate linearly: the sine of the angle would lose its digits.
const NEARLY_PARALLEL: f64 = 0.9995;
const LEAST_NORM: f64 = 1e-8;

/// The factors of a and of b at position `t` of the arc from a (0) to b (1), with mergekit's rules: norms of at most 1e-8 count
/// as 1, and tensors whose cosine is beyond ±0.9995 are interpolated linearly. The norms themselves are not interpolated.
///
/// The sines come from `libm` and not from the system's library, whose last digit differs from one machine to the next.
pub fn slerp_coefficients(dots: &Dots, t: f64) -> (f32, f32) {
    let norm = |square: f64| if square.sqrt() <= LEAST_NORM { 1.0 } else { square.sqrt() };
    let cosine = (dots.ab / (norm(dots.aa) * norm(dots.bb))).clamp(-1.0, 1.0);
    if cosine.abs() > NEARLY_PARALLEL {
        return ((1.0 - t) as f32, t as f32);
    }
    let angle = libm::acos(cosine);
    let sine = libm::sin(angle);
    ((libm::sin((1.0 - t) * angle) / sine) as f32, (libm::sin(t * angle) / sine) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arcs_lines_and_zeros() {
        let dots = |aa, bb, ab| Dots { aa, bb, ab };
        let half = std::f32::consts::FRAC_1_SQRT_2;
        let cases = [
            // a right angle, halfway: the same whatever the lengths
            (dots(1.0, 1.0, 0.0), 0.5, (half, half)),
            (dots(4.0, 100.0, 0.0), 0.5, (half, half)),
            (dots(1.0, 1.0, 0.0), 0.0, (1.0, 0.0)),
            (dots(1.0, 1.0, 0.0), 1.0, (0.0, 1.0)),
            // 60 degrees, a third of the way: sin 40° and sin 20° over sin 60°
            (dots(1.0, 1.0, 0.5), 1.0 / 3.0, (0.742_227_2, 0.394_930_84)),
            (dots(1.0, 1.0, 0.9996), 0.25, (0.75, 0.25)),
            (dots(1.0, 1.0, -0.9996), 0.25, (0.75, 0.25)),
            // rounding may push a cosine past 1
            (dots(1.0, 1.0, 1.000_001), 0.25, (0.75, 0.25)),
            // a zero tensor is at a right angle to all
            (dots(0.0, 4.0, 0.0), 0.5, (half, half)),
        ];
        for (dots, t, (a, b)) in cases {
            let found = slerp_coefficients(&dots, t);
            assert!((found.0 - a).abs() < 1e-6 && (found.1 - b).abs() < 1e-6, "{dots:?} at {t}: {found:?}");
        }
    }

    #[test]
    fn not_a_number_is_not_hidden() {
        let dots = Dots { aa: f64::NAN, bb: 1.0, ab: f64::NAN };
        assert!(slerp_coefficients(&dots, 0.5).0.is_nan());
    }
}
