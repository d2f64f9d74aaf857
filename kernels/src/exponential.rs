//! e to a power and logarithms in f64, in a form that compilers turn into vector instructions, with the same bits on every
//! machine.

use std::f64::consts::{LN_2, LOG2_E, SQRT_2};

/// 2⁵² + 2⁵¹: adding it rounds to a whole number, which the low bits then hold.
const ROUND: f64 = 6_755_399_441_055_744.0;
const MANTISSA: u64 = (1 << 52) - 1;
const ONE: u64 = 1.0f64.to_bits();

/// e^x for x ≤ 0, to within 1e-15 of itself; 0 below −700. NaN stays.
#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    let clamped = if x < -700.0 { -700.0 } else { x };
    let shifted = clamped * LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts; the product of the first with n is exact
    let r = (clamped - n * 0.693_147_180_369_123_8) - n * 1.908_214_929_270_587_7e-10;
    // Taylor's series up to r¹³/13!, with |r| ≤ ln 2 / 2
    let mut p = 1.0 / 6_227_020_800.0;
    for factorial in
        [479_001_600.0, 39_916_800.0, 3_628_800.0, 362_880.0, 40_320.0, 5_040.0, 720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0]
    {
        p = p * r + 1.0 / factorial;
    }
    let power = f64::from_bits(ONE.wrapping_add(shifted.to_bits().wrapping_sub(ROUND.to_bits()) << 52));
    if x < -700.0 { 0.0 } else { p * power }
}

/// ln x for normal x > 0, to within 1e-15 of it or of 1, whichever is less. NaN stays.
#[inline(always)]
pub(crate) fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let m = f64::from_bits((bits & MANTISSA) | ONE);
    // a mantissa in √½ ..= √2 and the exponent that goes with it
    let high = m > SQRT_2;
    let m = if high { m / 2.0 } else { m };
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1023 + i32::from(high);
    // 2 artanh s by its series, with |s| < 0.172
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut p = 1.0 / 21.0;
    for odd in [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        p = p * square + 1.0 / odd;
    }
    let ln = f64::from(exponent) * LN_2 + 2.0 * s * p;
    if x.is_nan() { x } else { ln }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_and_logarithms_are_those_of_libm() {
        for i in 0..200_000 {
            let x = -f64::from(i) * 0.003_5;
            let (found, expected) = (exp(x), libm::exp(x));
            assert!((found - expected).abs() <= 1e-15 * expected || x < -699.9, "e^{x}: {found}, not {expected}");
            let x = libm::exp((f64::from(i) - 100_000.0) * 0.001);
            let (found, expected) = (ln(x), libm::log(x));
            assert!((found - expected).abs() <= 1e-15 * expected.abs().max(1.0), "ln {x}: {found}, not {expected}");
        }
        // near 1 the error is of the result, not of 1
        for x in [1.0 - 1e-9, 1.0 + 1e-9, 1.0 + 1e-3] {
            assert!((ln(x) / libm::log(x) - 1.0).abs() < 1e-14, "{x}");
        }
        assert_eq!((exp(0.0), ln(1.0), exp(-1e9), exp(f64::NEG_INFINITY)), (1.0, 0.0, 0.0, 0.0));
        assert!(exp(f64::NAN).is_nan() && ln(f64::NAN).is_nan());
    }
}
