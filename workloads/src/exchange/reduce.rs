//! Sums over ranks: who adds what, and in which order.

use std::ops::Range;

/// Elements that are added before they are written back: the f64 sums stay in the first-level cache.
const BLOCK: usize = 1024;

/// The part `index` of `total` elements in `parts` consecutive parts; the first `total % parts` are one longer.
pub fn share(total: usize, parts: usize, index: usize) -> Range<usize> {
    let (each, longer) = (total / parts, total % parts);
    let start = index * each + index.min(longer);
    start..start + each + usize::from(index < longer)
}

/// What is added over ranks.
pub(super) trait Element: bytemuck::Pod {
    /// Values as sums of one.
    fn begin(sums: &mut [f64], values: &[Self]);
    fn add(sums: &mut [f64], values: &[Self]);
    fn round(values: &mut [Self], sums: &[f64]);
}

/// Makes an [`Element`] whose loops are compiled for the widest registers that there are.
macro_rules! element {
    ($type:ty, $module:ident) => {
        mod $module {
            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
            pub(super) fn begin(sums: &mut [f64], values: &[$type]) {
                sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum = f64::from(value));
            }

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
            pub(super) fn add(sums: &mut [f64], values: &[$type]) {
                sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += f64::from(value));
            }

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2", "aarch64+neon"))]
            pub(super) fn round(values: &mut [$type], sums: &[f64]) {
                values.iter_mut().zip(sums).for_each(|(value, &sum)| *value = sum as $type);
            }
        }

        impl Element for $type {
            fn begin(sums: &mut [f64], values: &[Self]) {
                $module::begin(sums, values);
            }
            fn add(sums: &mut [f64], values: &[Self]) {
                $module::add(sums, values);
            }
            fn round(values: &mut [Self], sums: &[f64]) {
                $module::round(values, sums);
            }
        }
    };
}

element!(f32, single);
element!(f64, double);

/// `own[i]` becomes the sum over ranks of their `[i]`, in rank order: `own` is that of `rank`, and `others` holds those of
/// all other ranks, one after the other.
pub(super) fn sum_in_rank_order<E: Element>(own: &mut [E], rank: usize, others: &[E]) {
    let len = own.len();
    if len == 0 {
        return;
    }
    let mut sums = [0.0; BLOCK];
    for (block, own) in own.chunks_mut(BLOCK).enumerate() {
        let sums = &mut sums[..own.len()];
        let others = others.chunks_exact(len).map(|other| &other[block * BLOCK..][..own.len()]);
        let (before, after) = (others.clone().take(rank), others.skip(rank));
        let mut parts = before.chain([&*own]).chain(after);
        // Begins with the first value, as 0.0 + -0.0 would lose a sign.
        if let Some(first) = parts.next() {
            E::begin(sums, first);
        }
        parts.for_each(|part| E::add(sums, part));
        E::round(own, sums);
    }
}

/// Whether a reduction of `bytes` over `size` ranks is faster as one gather of everything than as a reduce-scatter and a
/// gather of the shares: it moves `(size − 1)·bytes` instead of `2·(size − 1)/size·bytes` per rank and saves a round.
pub(super) fn gathers_all(size: usize, bytes: usize, round_bytes: usize) -> bool {
    let extra = (size - 1) as u64 * bytes as u64 * (size as u64).saturating_sub(2) / size as u64;
    extra <= round_bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_are_consecutive_and_cover_all(total in 0usize..1000, parts in 1usize..20) {
            let mut at = 0;
            for index in 0..parts {
                let part = share(total, parts, index);
                prop_assert_eq!(part.start, at);
                prop_assert!(part.len() == total / parts || part.len() == total.div_ceil(parts));
                at = part.end;
            }
            prop_assert_eq!(at, total);
        }

        #[test]
        fn every_rank_gets_the_bits_of_the_sum_in_rank_order(
            values in prop::collection::vec(prop::collection::vec(-1e10f32..1e10, 2500), 1..6),
        ) {
            let expected: Vec<u32> = (0..2500)
                .map(|at| values[1..].iter().fold(f64::from(values[0][at]), |sum, of| sum + f64::from(of[at])) as f32)
                .map(f32::to_bits)
                .collect();
            for rank in 0..values.len() {
                let mut own = values[rank].clone();
                let others: Vec<f32> =
                    values.iter().enumerate().filter(|(other, _)| *other != rank).flat_map(|(_, of)| of.clone()).collect();
                sum_in_rank_order(&mut own, rank, &others);
                prop_assert_eq!(own.into_iter().map(f32::to_bits).collect::<Vec<_>>(), expected.clone());
            }
        }
    }

    #[test]
    fn a_sum_of_negative_zeros_keeps_its_sign() {
        let mut own = [-0.0f64];
        sum_in_rank_order(&mut own, 0, &[-0.0]);
        assert!(own[0].is_sign_negative());
    }

    #[test]
    fn two_ranks_always_gather_and_many_do_for_little() {
        assert!(gathers_all(1, 1 << 30, 0));
        assert!(gathers_all(2, 1 << 30, 0));
        assert!(gathers_all(8, 8 << 10, 64 << 10));
        assert!(!gathers_all(8, 16 << 10, 64 << 10));
    }
}
