//! How the maps of a layer reach the ranks that need them, by size: the one place that decides.
//!
//! With W ranks, S bytes of maps a rank and k = ⌈log₂ W⌉, of which a link carries R = 64 KiB in the time of one round:
//!
//! | | rounds | bytes a rank receives | composed by a rank |
//! |---|---|---|---|
//! | gather (LASP-2) | 1 | (W − 1)·S | W − 1 maps with one state |
//! | log-step scan | k | k·S | up to 2k maps with maps |
//!
//! The scan wins where the bytes that it saves, less S for what its windows are copied, take longer than its extra rounds:
//! `S·(W − 2 − k) > (k − 1)·R`. Never for 5 ranks or fewer; from 128 KiB for 6, 43 KiB for 8, 6 KiB for 64. The state of one layer of
//! 16 heads of 128 × 128 is 1 MiB in f32: on 6 ranks and more the scan carries it. Both run beside the work that needs no state, so overlap does not tell them apart, and neither
//! does arithmetic: a dense map (dk = dv) costs one product to apply and two to compose, so 7 products against 12 for 8 ranks, and
//! 63 against 24 for 64.
//!
//! Where documents end with ranks, some maps are needed by nobody: the gather moves C < W − 1 of them, the scan as many as before.

use braid_workload::exchange::ScanMethod;

/// The faster way for `size` ranks, of which `contributors` have a map that others need, of `bytes`: forward and reverse ones.
/// Each direction is a scan of its own, so it has to be worth it for each.
pub(super) fn choose(size: usize, contributors: usize, bytes: [usize; 2]) -> ScanMethod {
    let steps = size.max(1).next_power_of_two().ilog2() as usize;
    let (saved, usually) = (contributors.saturating_sub(1 + steps), size.saturating_sub(2 + steps).max(1));
    // What is saved decides: fewer contributors are as good as smaller maps.
    let stepping = |&bytes: &usize| ScanMethod::choose(size, bytes.saturating_mul(saved) / usually) == ScanMethod::LogStep;
    let mut some = bytes.iter().filter(|&&bytes| bytes > 0);
    if some.all(stepping) { ScanMethod::LogStep } else { ScanMethod::Gather }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ScanMethod::{Gather, LogStep};

    const MIB: usize = 1 << 20;

    #[test]
    fn large_states_on_many_ranks_are_scanned_and_all_others_gathered() {
        assert_eq!(choose(2, 1, [MIB, 0]), Gather);
        assert_eq!(choose(3, 2, [MIB, 0]), Gather);
        assert_eq!(choose(5, 4, [MIB, 0]), Gather);
        assert_eq!(choose(6, 5, [MIB, 0]), LogStep);
        assert_eq!(choose(8, 7, [16 << 10, 0]), Gather);
        assert_eq!(choose(8, 7, [0, MIB]), LogStep);
        assert_eq!(choose(8, 7, [MIB, 16 << 10]), Gather);
    }

    #[test]
    fn few_maps_that_anybody_needs_are_gathered() {
        assert_eq!(choose(8, 3, [MIB, 0]), Gather);
        assert_eq!(choose(8, 4, [MIB, 0]), Gather);
        assert_eq!(choose(8, 5, [MIB, 0]), LogStep);
        assert_eq!(choose(8, 5, [96 << 10, 0]), Gather);
    }
}
