//! How the tensors of a plan are shared out into tasks. Pure.

use crate::step::Group;
use std::ops::Range;

/// A task moves at least so many bytes, where the tensors allow: below that, starting it costs more than it wins.
const SMALLEST: u64 = 64 << 20;

/// A task that only looks reads at least so many.
const SMALLEST_LOOK: u64 = 16 << 20;

/// The most tasks of a merge, so that the value that lists them stays a small record.
const MOST: u64 = 1000;

/// As [`groups`], of tensors of which those of a piece are never parted. `pieces` are ranges of tensors, in order.
pub(crate) fn whole_groups(pending: &[Option<u64>], pieces: &[Range<usize>]) -> Vec<Group> {
    let items = items(pending.len(), pieces);
    let sum = |item: &Range<usize>| pending[item.clone()].iter().flatten().copied().reduce(u64::saturating_add);
    let of_items = groups(&items.iter().map(sum).collect::<Vec<_>>());
    of_items.into_iter().map(|Group(first, end, bytes)| Group(items[first].start, items[end - 1].end, bytes)).collect()
}

/// The tensors that one task makes all of, where it does so with those of each piece and of each shard: ranges, in order. A shard may
/// have tensors between which others lie, and a piece may reach into two shards.
pub(crate) fn unparted<'a>(pieces: Vec<Range<usize>>, shards: impl Iterator<Item = &'a [usize]>) -> Vec<Range<usize>> {
    let range = |tensors: &[usize]| Some(*tensors.iter().min()?..tensors.iter().max()? + 1);
    let mut all: Vec<Range<usize>> = shards.filter_map(range).chain(pieces).collect();
    all.sort_by_key(|range| range.start);
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for range in all {
        match ranges.last_mut().filter(|last| range.start < last.end) {
            Some(last) => last.end = last.end.max(range.end),
            None => ranges.push(range),
        }
    }
    ranges
}

/// Runs of consecutive tensors of about equal size for at most `most` tasks that look at them; `bytes` has what each reads. Those
/// that read nothing may be left out at the ends.
pub(crate) fn survey_groups(bytes: &[u64], most: usize) -> Vec<Group> {
    let total = bytes.iter().fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
    let target = (total / most.max(1) as u64 + 1).max(SMALLEST_LOOK);
    let mut groups: Vec<Group> = Vec::new();
    for (tensor, bytes) in bytes.iter().enumerate().filter(|(_, bytes)| **bytes > 0) {
        match groups.last_mut().filter(|group| group.2 < target) {
            Some(group) => *group = Group(group.0, tensor + 1, group.2.saturating_add(*bytes)),
            None => groups.push(Group(tensor, tensor + 1, *bytes)),
        }
    }
    groups
}

/// All tensors in order, those of a piece as one item.
pub(crate) fn items(tensors: usize, pieces: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut items = Vec::with_capacity(tensors);
    let mut next = 0;
    for piece in pieces {
        items.extend((next..piece.start).map(|tensor| tensor..tensor + 1));
        items.push(piece.clone());
        next = piece.end;
    }
    items.extend((next..tensors).map(|tensor| tensor..tensor + 1));
    items
}

/// Runs of consecutive tensors for tasks of about equal size. `pending` has the bytes of each tensor that is to be merged,
/// and `None` for those that are done; these may lie inside a run.
pub(crate) fn groups(pending: &[Option<u64>]) -> Vec<Group> {
    let total = pending.iter().flatten().fold(0u64, |sum, &bytes| sum.saturating_add(bytes));
    // Twice the even share: a run is closed when it reaches half of it, as what comes next may be large.
    let target = (total / (MOST / 2)).max(SMALLEST);
    let mut groups = Vec::new();
    let mut open: Option<Group> = None;
    for (tensor, bytes) in pending.iter().enumerate().filter_map(|(tensor, bytes)| Some((tensor, (*bytes)?))) {
        let group = match open.take() {
            Some(Group(first, _, sum)) if sum.saturating_add(bytes) <= target.saturating_mul(2) => {
                Group(first, tensor + 1, sum.saturating_add(bytes))
            }
            closed => {
                groups.extend(closed);
                Group(tensor, tensor + 1, bytes)
            }
        };
        if group.2 >= target { groups.push(group) } else { open = Some(group) }
    }
    groups.extend(open);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn small_tensors_share_a_task_and_large_ones_have_their_own() {
        assert_eq!(groups(&[Some(10 * MIB); 13]), [Group(0, 7, 70 * MIB), Group(7, 13, 60 * MIB)]);
        assert_eq!(
            groups(&[Some(MIB), Some(500 * MIB), Some(MIB)]),
            [Group(0, 1, MIB), Group(1, 2, 500 * MIB), Group(2, 3, MIB)]
        );
        assert_eq!(groups(&[None, Some(0), None, Some(MIB), None]), [Group(1, 4, MIB)]);
        assert_eq!(groups(&[None, None]), []);
        assert_eq!(groups(&[]), []);
    }

    #[test]
    fn a_piece_is_in_one_task() {
        let sizes: Vec<_> = (0..9).map(|i| Some(if i == 4 { 500 * MIB } else { 40 * MIB })).collect();
        let groups = whole_groups(&sizes, &[1..4, 4..8]);
        assert_eq!(groups, [Group(0, 1, 40 * MIB), Group(1, 4, 120 * MIB), Group(4, 8, 620 * MIB), Group(8, 9, 40 * MIB)]);
        assert_eq!(items(5, &[1..3, 3..4]), [0..1, 1..3, 3..4, 4..5]);
        let mut done = sizes;
        done[4..9].fill(None);
        done[1] = None;
        assert_eq!(whole_groups(&done, &[1..4, 4..8]), [Group(0, 4, 120 * MIB)]);
    }

    #[test]
    fn shards_and_pieces_that_overlap_are_made_together() {
        let of = |pieces: &[Range<usize>], shards: &[&[usize]]| unparted(pieces.to_vec(), shards.iter().copied());
        assert_eq!(of(&[], &[&[1, 0], &[2], &[3, 4]]), [0..2, 2..3, 3..5]);
        assert_eq!(of(&[], &[&[1], &[0, 2], &[3]]), [0..3, 3..4], "a large tensor lies inside the shard before it");
        assert_eq!(of(&[1..3, 4..5], &[&[0, 1], &[2, 3], &[4, 5]]), [0..4, 4..6]);
        assert_eq!(of(&[0..2, 3..4], &[&[]]), [0..2, 3..4]);
    }

    proptest! {
        #[test]
        fn every_tensor_is_looked_at_once(bytes in proptest::collection::vec(prop_oneof![Just(0u64), 1u64..(1 << 36)], 0..300), most in 1usize..50) {
            let groups = survey_groups(&bytes, most);
            prop_assert!(groups.len() <= most);
            let looked: u64 = groups.iter().map(|group| group.2).sum();
            prop_assert_eq!(looked, bytes.iter().sum::<u64>());
            prop_assert!(groups.windows(2).all(|pair| pair[0].1 <= pair[1].0));
            for Group(first, end, of_group) in groups {
                prop_assert_eq!(bytes[first..end].iter().sum::<u64>(), of_group);
            }
        }

        #[test]
        fn every_pending_tensor_is_in_one_group(sizes in proptest::collection::vec(proptest::option::of(0u64..(1 << 42)), 0..1500)) {
            let groups = groups(&sizes);
            let mut next = 0;
            for Group(first, end, bytes) in &groups {
                prop_assert!(next <= *first && first < end && *end <= sizes.len());
                prop_assert!(sizes[next..*first].iter().all(Option::is_none), "a pending tensor between groups");
                prop_assert_eq!(sizes[*first..*end].iter().flatten().sum::<u64>(), *bytes);
                next = *end;
            }
            prop_assert!(sizes[next..].iter().all(Option::is_none));
            prop_assert!(groups.len() as u64 <= MOST + 1);
        }
    }

    #[test]
    fn the_list_of_the_largest_merge_is_a_small_record() {
        let sizes = vec![Some(40 << 30); 100_000];
        let text = serde_json::to_string(&groups(&sizes)).unwrap();
        assert!(text.len() < 48 << 10, "{} bytes", text.len());
    }
}
