//! Inner products of the columns of two tensors, added up row after row.

use super::Dots;
use crate::block::{BLOCK, Block, blocks, dispatched};
use crate::merge::difference;
use crate::slice::{Floats, same_length};
use crate::{KernelError, Slice};

/// Adds the products of a run of elements to those of their columns, which `sums` has in order; the first element is in column
/// `column`. With a base, of the differences to it. Each product is added by itself, so that it does not matter how a tensor is
/// cut into runs.
pub fn column_dots(
    base: Option<&Slice<'_>>,
    a: &Slice<'_>,
    b: &Slice<'_>,
    column: usize,
    sums: &mut [Dots],
) -> Result<(), KernelError> {
    const NAME: &str = "column_dots";
    same_length(NAME, a.len(), b.len())?;
    let base = base.map(|base| same_length(NAME, a.len(), base.len()).and_then(|()| base.floats(NAME))).transpose()?;
    let (a, b) = (a.floats(NAME)?, b.floats(NAME)?);
    if column >= sums.len() && a.len() > 0 {
        return Err(KernelError::OutOfRange { first: column, end: column + 1, length: sums.len() });
    }
    dispatch(base, a, b, column, sums);
    Ok(())
}

dispatched! {
    fn dispatch / dispatch_avx2(
        base: Option<Floats<'_>>, a: Floats<'_>, b: Floats<'_>, column: usize, sums: &mut [Dots]
    ) = body;
}

#[inline(always)]
fn body(base: Option<Floats<'_>>, a: Floats<'_>, b: Floats<'_>, mut column: usize, sums: &mut [Dots]) {
    let (mut theta0, mut left, mut right): (Block, Block, Block) = ([0.0; BLOCK], [0.0; BLOCK], [0.0; BLOCK]);
    for range in blocks(a.len()) {
        let n = range.len();
        let (theta0, left, right) = (&mut theta0[..n], &mut left[..n], &mut right[..n]);
        if let Some(base) = base {
            base.decode(&range, theta0);
        }
        a.decode(&range, left);
        b.decode(&range, right);
        difference(left, theta0);
        difference(right, theta0);
        let mut done = 0;
        while done < n {
            let end = n.min(done + sums.len() - column);
            for ((a, b), sum) in left[done..end].iter().zip(&right[done..end]).zip(&mut sums[column..]) {
                let (a, b) = (f64::from(*a), f64::from(*b));
                sum.aa += a * a;
                sum.bb += b * b;
                sum.ab += a * b;
            }
            column = (column + end - done) % sums.len();
            done = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{KINDS, LENGTHS, assert_same, floats, tensor};

    #[test]
    fn every_processor_gives_the_same_bits() {
        for (kind, numel) in KINDS.into_iter().flat_map(|kind| LENGTHS.map(|numel| (kind, numel))) {
            let [base, a, b] = [0, 2, 4].map(|seed| tensor(kind, numel, seed));
            for (base, columns) in [(None, 1), (Some(floats(kind, &base)), 1), (None, 7), (Some(floats(kind, &base)), 300)] {
                type Version = fn(Option<Floats<'_>>, Floats<'_>, Floats<'_>, usize, &mut [Dots]);
                let versions: [Version; 3] = [body, dispatch_avx2, dispatch];
                let sums = versions.map(|version| {
                    let mut sums = vec![Dots::default(); columns];
                    version(base, floats(kind, &a), floats(kind, &b), columns / 2, &mut sums);
                    sums.iter().map(|sum| [sum.aa, sum.bb, sum.ab].map(f64::to_bits)).collect::<Vec<_>>()
                });
                assert_same(sums, (kind, numel, columns));
            }
        }
    }
}
