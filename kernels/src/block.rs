//! What all kernels share: work in blocks that stay in the first-level cache, the check for NaN, and the compilation of one body
//! for several instruction sets.

use std::ops::Range;

use crate::slice::FloatsMut;

/// Elements worked on together. The passes over a block are separate loops; while one computes, the processor already fetches
/// what the next will read, if that is no further ahead than a few hundred instructions. Blocks four times as large run at half
/// the speed as soon as a tensor does not fit the cache.
pub(crate) const BLOCK: usize = 256;

/// A block of f32 on the stack.
pub(crate) type Block = [f32; BLOCK];

/// The ranges of all blocks of `length` elements, in order.
#[inline(always)]
pub(crate) fn blocks(length: usize) -> impl Iterator<Item = Range<usize>> {
    (0..length).step_by(BLOCK).map(move |first| first..length.min(first + BLOCK))
}

/// Writes a finished block; the place of the first NaN instead, if there is one.
#[inline(always)]
pub(crate) fn finish(out: &mut FloatsMut<'_>, range: &Range<usize>, values: &[f32]) -> Result<(), usize> {
    let mut bad = 0;
    for value in values {
        bad |= u32::from(value.is_nan());
    }
    if bad != 0 {
        let place = values.iter().position(|value| value.is_nan()).unwrap_or_default();
        return Err(range.start + place);
    }
    out.encode(range, values);
    Ok(())
}

/// Compiles `$body` (which must be `#[inline(always)]`) for AVX-512, AVX2 and the baseline, and picks one at run time.
///
/// No version may differ in its result: `a * b + c` is never contracted, `mul_add` rounds once wherever it runs (in software on
/// the baseline), and no order of a sum depends on the width of a register.
/// `$check` is the AVX2 version by name, for the tests that hold this against `$body` and `$name`.
macro_rules! dispatched {
    ($vis:vis fn $name:ident / $check:ident ($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? = $body:path;) => {
        #[allow(unsafe_code, reason = "the attribute calls a version only after it has detected the features it needs")]
        #[multiversion::multiversion(targets(
            "x86_64+avx2+avx512bw+avx512cd+avx512dq+avx512f+avx512vl+bmi1+bmi2+f16c+fma+lzcnt+movbe+popcnt",
            "x86_64+avx2+bmi1+bmi2+f16c+fma+lzcnt+movbe+popcnt",
        ))]
        $vis fn $name($($argument: $type),*) $(-> $result)? {
            $body($($argument),*)
        }

        #[cfg(test)]
        #[allow(unsafe_code, reason = "as above")]
        #[multiversion::multiversion(targets("x86_64+avx2+bmi1+bmi2+f16c+fma+lzcnt+movbe+popcnt"))]
        $vis fn $check($($argument: $type),*) $(-> $result)? {
            $body($($argument),*)
        }
    };
}
pub(crate) use dispatched;
