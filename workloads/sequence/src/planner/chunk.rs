//! Cutting a batch into micro-batches (FlexSP §4.2, the "sequence blaster").
//!
//! Sequences in descending order are cut into consecutive chunks, so that the largest sum of tokens is smallest: within a
//! micro-batch lengths are alike, and micro-batches are alike in size. Found by binary search on that sum.

use std::ops::Range;

/// Cuts `lengths` into `count` consecutive chunks (fewer only if there are fewer lengths), minimising the largest sum.
pub(crate) fn cut(lengths: &[u64], count: usize) -> Vec<Range<usize>> {
    let count = count.clamp(1, lengths.len().max(1));
    let mut low = lengths.iter().copied().max().unwrap_or(0);
    let mut high = lengths.iter().sum();
    while low < high {
        let middle = low + (high - low) / 2;
        if chunks_within(lengths, middle) <= count { high = middle } else { low = middle + 1 }
    }
    fill(lengths, count, low)
}

fn chunks_within(lengths: &[u64], limit: u64) -> usize {
    let mut chunks = 1;
    let mut sum = 0;
    for &n in lengths {
        if sum + n > limit {
            chunks += 1;
            sum = 0;
        }
        sum += n;
    }
    chunks
}

/// Greedy chunks within `limit`, where no chunk takes so much that fewer lengths than chunks are left.
fn fill(lengths: &[u64], count: usize, limit: u64) -> Vec<Range<usize>> {
    let mut chunks = Vec::with_capacity(count);
    let (mut start, mut sum) = (0, 0);
    for (i, &n) in lengths.iter().enumerate() {
        let left_for_others = lengths.len() - i < count - chunks.len();
        if i > start && (sum + n > limit || left_for_others) {
            chunks.push(start..i);
            (start, sum) = (i, 0);
        }
        sum += n;
    }
    if start < lengths.len() {
        chunks.push(start..lengths.len());
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The smallest largest sum, by dynamic programming.
    fn best(lengths: &[u64], count: usize) -> u64 {
        let mut prefix = vec![0; lengths.len() + 1];
        for (i, n) in lengths.iter().enumerate() {
            prefix[i + 1] = prefix[i] + n;
        }
        let mut row: Vec<u64> = prefix.clone();
        for _ in 1..count {
            row = (0..=lengths.len()).map(|k| (0..=k).map(|j| row[j].max(prefix[k] - prefix[j])).min().unwrap()).collect();
        }
        row[lengths.len()]
    }

    proptest! {
        #[test]
        fn chunks_cover_all_in_order_with_the_smallest_largest_sum(
            mut lengths in proptest::collection::vec(1u64..1000, 1..40), count in 1usize..9,
        ) {
            lengths.sort_unstable_by(|a, b| b.cmp(a));
            let chunks = cut(&lengths, count);
            prop_assert_eq!(chunks.len(), count.min(lengths.len()));
            prop_assert_eq!(chunks.iter().flat_map(Clone::clone).collect::<Vec<_>>(), (0..lengths.len()).collect::<Vec<_>>());
            let largest = chunks.iter().map(|c| lengths[c.clone()].iter().sum::<u64>()).max().unwrap();
            prop_assert_eq!(largest, best(&lengths, count.min(lengths.len())));
        }
    }
}
