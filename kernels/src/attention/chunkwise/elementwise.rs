//! Loops over rows of a chunk, compiled for the vector instructions that the processor has. They write to space that exists: what
//! grows while it is written is not vectorised.

use super::super::Real;

macro_rules! vectorised {
    ($(#[$doc:meta])* fn $name:ident<T: Real>($($argument:ident: $type:ty),*) $body:block) => {
        $(#[$doc])*
        #[allow(unsafe_code, reason = "the attribute calls a version only after it has detected the features it needs")]
        #[multiversion::multiversion(targets("x86_64+avx2+avx512bw+avx512dq+avx512f+avx512vl+fma", "x86_64+avx2+fma"))]
        pub(crate) fn $name<T: Real>($($argument: $type),*) $body
    };
}

vectorised! {
    /// `out = a ⊙ b`.
    fn multiply<T: Real>(out: &mut [T], a: &[T], b: &[T]) {
        out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (&a, &b))| *out = a * b);
    }
}

vectorised! {
    /// `out = out ⊙ a`.
    fn multiply_by<T: Real>(out: &mut [T], a: &[T]) {
        out.iter_mut().zip(a).for_each(|(out, &a)| *out *= a);
    }
}

vectorised! {
    /// `out += a`.
    fn add_each<T: Real>(out: &mut [T], a: &[T]) {
        out.iter_mut().zip(a).for_each(|(out, &a)| *out += a);
    }
}

vectorised! {
    /// `out = a ⊙ b − c ⊙ d`.
    fn difference_of_products<T: Real>(out: &mut [T], a: &[T], b: &[T], c: &[T], d: &[T]) {
        let pairs = a.iter().zip(b).zip(c.iter().zip(d));
        out.iter_mut().zip(pairs).for_each(|(out, ((&a, &b), (&c, &d)))| *out = a * b - c * d);
    }
}

vectorised! {
    /// `out += a ⊙ b`.
    fn add_product<T: Real>(out: &mut [T], a: &[T], b: &[T]) {
        out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (&a, &b))| *out += a * b);
    }
}

vectorised! {
    /// `out = 1 / a`.
    fn invert<T: Real>(out: &mut [T], a: &[T]) {
        out.iter_mut().zip(a).for_each(|(out, &a)| *out = T::ONE / a);
    }
}

vectorised! {
    /// Each row of `out` is `row ⊙` that of `rows`.
    fn multiply_rows<T: Real>(out: &mut [T], rows: &[T], row: &[T]) {
        for (out, a) in out.chunks_exact_mut(row.len().max(1)).zip(rows.chunks_exact(row.len().max(1))) {
            out.iter_mut().zip(a.iter().zip(row)).for_each(|(out, (&a, &b))| *out = a * b);
        }
    }
}

vectorised! {
    /// Turns rows into the sums of all rows up to them.
    fn running_sum<T: Real>(rows: &mut [T], width: usize) {
        for at in (width..rows.len()).step_by(width.max(1)) {
            let (before, row) = rows[at - width..at + width].split_at_mut(width);
            row.iter_mut().zip(before).for_each(|(sum, &mut before)| *sum += before);
        }
    }
}

vectorised! {
    /// Multiplies each row by a number of its own.
    fn scale_rows<T: Real>(rows: &mut [T], scales: &[T], width: usize) {
        for (row, &scale) in rows.chunks_exact_mut(width.max(1)).zip(scales) {
            row.iter_mut().for_each(|x| *x *= scale);
        }
    }
}

vectorised! {
    /// Adds rows, each multiplied by a number of its own.
    fn add_scaled_rows<T: Real>(out: &mut [T], rows: &[T], scales: &[T], width: usize) {
        for ((out, row), &scale) in out.chunks_exact_mut(width.max(1)).zip(rows.chunks_exact(width.max(1))).zip(scales) {
            out.iter_mut().zip(row).for_each(|(out, &x)| *out += scale * x);
        }
    }
}

vectorised! {
    /// Turns rows into the sums of themselves and all rows after them, each plus `end`.
    fn suffix_sums<T: Real>(rows: &mut [T], end: &[T]) {
        let width = end.len();
        if let Some(last) = rows.len().checked_sub(width) {
            rows[last..].iter_mut().zip(end).for_each(|(x, &end)| *x += end);
            for at in (0..last).step_by(width.max(1)).rev() {
                let (row, after) = rows[at..at + 2 * width].split_at_mut(width);
                row.iter_mut().zip(after).for_each(|(sum, &mut after)| *sum += after);
            }
        }
    }
}
