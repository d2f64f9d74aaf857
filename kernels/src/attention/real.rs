//! The two kinds of number that attention computes with.

use std::{
    fmt::{Debug, Display},
    iter::Sum,
    ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign},
};

/// f32, which training uses, or f64, in which the same code is proved.
pub trait Real:
    Copy
    + Default
    + PartialOrd
    + Debug
    + Display
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Less than every number: the maximum of nothing.
    const NEG_INFINITY: Self;

    /// The nearest number of this kind.
    fn of(value: f64) -> Self;
    /// The same number, exactly.
    fn to_f64(self) -> f64;
    /// e to this power.
    fn exp(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// ln(1 + x), exact for small x.
    fn ln_1p(self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// The magnitude.
    fn abs(self) -> Self;
    /// The larger of two; of a number and NaN, the number.
    fn max(self, other: Self) -> Self;
    /// Replaces each number by e to its power: of f32 many at once, to within 2 units in the last place.
    fn exp_all(values: &mut [Self]);
    /// Replaces each number between 0 and 1 by ln(1 + x): of f32 many at once, to within 2 units in the last place.
    fn ln_1p_all(values: &mut [Self]);
}

macro_rules! real {
    ($t:ty, $exp_all:expr, $ln_1p_all:expr) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NEG_INFINITY: Self = <$t>::NEG_INFINITY;

            fn of(value: f64) -> Self {
                value as $t
            }
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            fn exp(self) -> Self {
                self.exp()
            }
            fn ln(self) -> Self {
                self.ln()
            }
            fn ln_1p(self) -> Self {
                self.ln_1p()
            }
            fn sqrt(self) -> Self {
                self.sqrt()
            }
            fn abs(self) -> Self {
                self.abs()
            }
            fn max(self, other: Self) -> Self {
                self.max(other)
            }
            fn exp_all(values: &mut [Self]) {
                $exp_all(values);
            }
            fn ln_1p_all(values: &mut [Self]) {
                $ln_1p_all(values);
            }
        }
    };
}

real!(f32, super::exp::exp_all, super::exp::ln_1p_all);
real!(f64, |values: &mut [f64]| values.iter_mut().for_each(|value| *value = value.exp()), |values: &mut [f64]| values
    .iter_mut()
    .for_each(|value| *value = value.ln_1p()));
