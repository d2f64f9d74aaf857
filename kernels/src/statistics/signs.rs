//! Which sign most elements of a sum of task vectors have.

use crate::block::{BLOCK, Block, blocks, dispatched};
use crate::keep::TileTrim;
use crate::merge::difference;
use crate::slice::{Floats, same_length};
use crate::{KernelError, Slice};

/// The elements of a tile in which the sum of what is kept of the task vectors is positive, less those in which it is negative. The sum
/// is taken in f32 in the order of the experts.
pub fn sign_balance(base: &Slice<'_>, experts: &[(Slice<'_>, TileTrim)]) -> Result<i64, KernelError> {
    const NAME: &str = "sign_balance";
    let mut terms = Vec::with_capacity(experts.len());
    for (expert, trim) in experts {
        same_length(NAME, base.len(), expert.len())?;
        terms.push((expert.floats(NAME)?, *trim));
    }
    Ok(dispatch(base.floats(NAME)?, &mut terms))
}

dispatched! {
    fn dispatch / dispatch_avx2(base: Floats<'_>, terms: &mut [(Floats<'_>, TileTrim)]) -> i64 = body;
}

#[inline(always)]
fn body(base: Floats<'_>, terms: &mut [(Floats<'_>, TileTrim)]) -> i64 {
    let (mut theta0, mut delta, mut total): (Block, Block, Block) = ([0.0; BLOCK], [0.0; BLOCK], [0.0; BLOCK]);
    let mut balance = 0i64;
    for range in blocks(base.len()) {
        let n = range.len();
        let (theta0, delta, total) = (&mut theta0[..n], &mut delta[..n], &mut total[..n]);
        base.decode(&range, theta0);
        total.fill(0.0);
        for (theta, trim) in &mut *terms {
            theta.decode(&range, delta);
            difference(delta, theta0);
            trim.apply(delta);
            for (total, delta) in total.iter_mut().zip(&*delta) {
                *total += *delta;
            }
        }
        let mut of_block = 0i32;
        for total in &*total {
            of_block += i32::from(*total > 0.0) - i32::from(*total < 0.0);
        }
        balance += i64::from(of_block);
    }
    balance
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dtype;
    use crate::testing::{KINDS, LENGTHS, assert_same, floats, tensor};

    #[test]
    fn every_processor_counts_the_same() {
        let trim = TileTrim { threshold: crate::magnitude(0.3), ties: u64::MAX };
        for (kind, numel) in KINDS.into_iter().flat_map(|kind| LENGTHS.map(|numel| (kind, numel))) {
            let [base, a, b] = [0, 2, 4].map(|seed| tensor(kind, numel, seed));
            let terms = || [(floats(kind, &a), trim), (floats(kind, &b), TileTrim::EVERYTHING)];
            let base = floats(kind, &base);
            assert_same(
                [body(base, &mut terms()), dispatch_avx2(base, &mut terms()), dispatch(base, &mut terms())],
                (kind, numel),
            );
        }
    }

    #[test]
    fn only_what_is_kept_counts() {
        let bytes = |values: [f32; 4]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let [base, a, b] = [[0.0; 4], [1.0, -0.1, 3.0, -2.0], [1.0, 0.2, -3.0, -1.0]].map(bytes);
        let slice = |bytes| Slice::new(Dtype::F32, bytes).unwrap();
        let count = |threshold: f32| {
            let trim = TileTrim { threshold: crate::magnitude(threshold), ties: u64::MAX };
            sign_balance(&slice(&base), &[(slice(&a), trim), (slice(&b), trim)]).unwrap()
        };
        assert_eq!([count(0.0), count(0.5), count(2.0), count(3.5)], [1, 0, -1, 0]);
    }
}
