//! How far two tensors lie apart, and gradients by differences.

use super::super::Real;

/// The largest difference relative to the largest expected magnitude (or to `floor`, where that is larger). NaN is infinitely far.
fn distance<T: Real, U: Real>(actual: &[T], expected: &[U], floor: f64) -> f64 {
    assert_eq!(actual.len(), expected.len(), "lengths");
    let (mut apart, mut scale) = (0.0f64, floor);
    for (actual, expected) in actual.iter().zip(expected) {
        let (actual, expected) = (actual.to_f64(), expected.to_f64());
        if actual == expected {
            // Equal infinities are equal; their difference is not a number.
        } else if actual.is_finite() && expected.is_finite() {
            apart = apart.max((actual - expected).abs());
        } else {
            return f64::INFINITY;
        }
        if expected.is_finite() {
            scale = scale.max(expected.abs());
        }
    }
    if apart == 0.0 { 0.0 } else { apart / scale }
}

pub(super) fn close<T: Real, U: Real>(actual: &[T], expected: &[U], tolerance: f64, what: &dyn Fn() -> String) {
    close_above(actual, expected, 0.0, tolerance, what);
}

/// As [`close`], with differences below `floor × tolerance` forgiven: where cancellation leaves nothing but rounding.
pub(super) fn close_above<T: Real, U: Real>(actual: &[T], expected: &[U], floor: f64, tolerance: f64, what: &dyn Fn() -> String) {
    let distance = distance(actual, expected, floor);
    assert!(distance <= tolerance, "{}: off by {distance:.2e}, allowed {tolerance:.0e}", what());
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "lengths");
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The derivative of `loss` in a direction of a tensor, by central differences.
pub(super) fn derivative(tensor: &[f64], direction: &[f64], loss: &mut dyn FnMut(&[f64]) -> f64) -> f64 {
    const STEP: f64 = 1e-5;
    let mut moved = |step: f64| loss(&tensor.iter().zip(direction).map(|(x, d)| x + step * d).collect::<Vec<_>>());
    // Fourth order: what is left is rounding.
    (8.0 * (moved(STEP) - moved(-STEP)) - (moved(2.0 * STEP) - moved(-2.0 * STEP))) / (12.0 * STEP)
}

/// All the derivatives of `loss` by the elements of a tensor.
pub(super) fn gradient(tensor: &[f64], loss: &mut dyn FnMut(&[f64]) -> f64) -> Vec<f64> {
    let mut direction = vec![0.0; tensor.len()];
    (0..tensor.len())
        .map(|i| {
            direction[i] = 1.0;
            let slope = derivative(tensor, &direction, loss);
            direction[i] = 0.0;
            slope
        })
        .collect()
}

#[test]
fn distances_see_infinities_and_nan() {
    assert_eq!(distance(&[f64::NEG_INFINITY, 2.0], &[f64::NEG_INFINITY, 2.0], 0.0), 0.0);
    assert_eq!(distance(&[f64::NAN], &[1.0], 0.0), f64::INFINITY);
    assert_eq!(distance(&[1.0], &[f64::INFINITY], 0.0), f64::INFINITY);
    assert!((distance(&[1.5f32, 3.0], &[1.0f64, 4.0], 0.0) - 0.25).abs() < 1e-12);
}

#[test]
fn derivatives_of_a_cubic_are_exact_to_rounding() {
    let slopes = gradient(&[1.0, -2.0], &mut |x| x[0].powi(3) + x[1].powi(3) * x[0]);
    close(&slopes, &[-5.0, 12.0], 1e-9, &|| "cubic".into());
}
