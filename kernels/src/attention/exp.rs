//! e to the power of many numbers at once, and logarithms of 1 and a little more. Library functions take one at a time, which no compiler turns into vector instructions.

/// Replaces each number by e to its power, to within 2 units in the last place.
#[allow(unsafe_code, reason = "the attribute calls a version only after it has detected the features it needs")]
#[multiversion::multiversion(targets("x86_64+avx2+avx512bw+avx512dq+avx512f+avx512vl+fma", "x86_64+avx2+fma", "aarch64+neon"))]
pub(super) fn exp_all(values: &mut [f32]) {
    values.iter_mut().for_each(|value| *value = exp(*value));
}

/// e^x by Cody and Waite: x = n ln 2 + r, and a polynomial of degree 6 for e^r (Cephes' coefficients). No branches.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Beyond these the result is 0 or infinity. Comparisons, not `clamp`: NaN passes through both.
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    // Adding this rounds to a whole number and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts; the first has so few bits that its product with n is exact.
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_66, 0.5] {
        p = p * r + coefficient;
    }
    let e_r = (p * r * r + r) + 1.0;
    // 2^n in two steps, since subnormal results need powers that no single f32 of this form has.
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let (half, rest) = (n >> 1, n - (n >> 1));
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
    e_r * power(half) * power(rest)
}

/// Replaces each number between 0 and 1 by ln(1 + x), to within 2 units in the last place.
#[allow(unsafe_code, reason = "the attribute calls a version only after it has detected the features it needs")]
#[multiversion::multiversion(targets("x86_64+avx2+avx512bw+avx512dq+avx512f+avx512vl+fma", "x86_64+avx2+fma", "aarch64+neon"))]
pub(super) fn ln_1p_all(values: &mut [f32]) {
    values.iter_mut().for_each(|value| *value = ln_1p(*value));
}

/// 2 artanh(x / (2 + x)), by its series: the argument is at most 1/3.
#[inline(always)]
fn ln_1p(x: f32) -> f32 {
    let s = x / (2.0 + x);
    let square = s * s;
    let mut p = 1.0 / 15.0;
    for term in [1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0] {
        p = p * square + term;
    }
    2.0 * (s + s * square * p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_within_two_units_in_the_last_place() {
        let mut worst = 0.0f64;
        let xs: Vec<f32> = (-1_060_000..=890_000).map(|i| i as f32 * 1e-4 + 3e-6).collect();
        let mut ys = xs.clone();
        exp_all(&mut ys);
        for (&x, &y) in xs.iter().zip(&ys) {
            let exact = f64::from(x).exp();
            if exact > f64::from(f32::MAX) {
                assert_eq!(y, f32::INFINITY);
                continue;
            }
            let ulp = f64::from((exact as f32).next_up()) - f64::from(exact as f32);
            worst = worst.max((f64::from(y) - exact).abs() / ulp);
        }
        assert!(worst <= 2.0, "{worst} units");
    }

    #[test]
    fn powers_of_special_numbers() {
        let mut values = [0.0, -0.0, f32::NEG_INFINITY, f32::INFINITY, -1e30, 1e30];
        exp_all(&mut values);
        assert_eq!(values, [1.0, 1.0, 0.0, f32::INFINITY, 0.0, f32::INFINITY]);
        let mut nan = [f32::NAN];
        exp_all(&mut nan);
        assert!(nan[0].is_nan());
    }

    #[test]
    fn logarithms_are_within_two_units_in_the_last_place() {
        let mut worst = 0.0f64;
        let xs: Vec<f32> = (0..=1_000_000).map(|i| i as f32 * 1e-6).chain((0..80).map(|i| (-f32::from(i as u8)).exp())).collect();
        let mut ys = xs.clone();
        ln_1p_all(&mut ys);
        for (&x, &y) in xs.iter().zip(&ys) {
            let exact = f64::from(x).ln_1p();
            let ulp = f64::from((exact as f32).next_up()) - f64::from(exact as f32);
            worst = worst.max((f64::from(y) - exact).abs() / ulp);
        }
        assert!(worst <= 2.0, "{worst} units");
    }
}
