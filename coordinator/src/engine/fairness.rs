//! Whose tasks go first, and how many of them may. Pure.
//!
//! A higher priority goes before a lower one. Within a priority the project goes first whose dominant share (the largest part
//! of threads, memory or GPUs that it uses now), divided by its weight, is the least: whenever something becomes free, it goes
//! to whoever has least. Within a project the oldest job goes first. A quota is never exceeded: what goes beyond it does not
//! go at all.

use crate::model::{Amount, Project};
use std::collections::BTreeMap;

/// Equal tasks that wait, oldest job first.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    /// Of their job.
    pub(super) priority: i32,
    /// Of their job.
    pub(super) project: String,
    /// What one of them uses; of a gang, all members.
    pub(super) each: Amount,
    /// How many wait.
    pub(super) count: u32,
}

/// What projects may use, and what they use.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    /// What operators said.
    pub(super) projects: BTreeMap<String, Project>,
    /// What their tasks use now.
    pub(super) used: BTreeMap<String, Amount>,
    /// What the fleet has.
    pub(super) fleet: Amount,
}

/// Who goes, in order, with how many; and who does not go, and why.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Division {
    /// Places in the list of claims, each once.
    pub(super) goes: Vec<(usize, u32)>,
    /// Claims of which nothing goes, for their quota.
    pub(super) held: Vec<(usize, String)>,
}

impl Ledger {
    /// How many more tasks a project may have.
    ///
    /// # Errors
    /// What is in the way, in words.
    pub(super) fn room(&self, project: &str, each: Amount) -> Result<u32, String> {
        let quota = self.projects.get(project).map(|project| project.quota).unwrap_or_default();
        let used = self.used.get(project).copied().unwrap_or_default();
        quota.room(used, each)
    }

    /// Counts tasks for a project.
    pub(super) fn take(&mut self, project: &str, amount: Amount) {
        let used = self.used.entry(project.to_owned()).or_default();
        *used = used.plus(amount);
    }

    /// What a project uses of the fleet, by its weight.
    fn share(&self, project: &str) -> f64 {
        let used = self.used.get(project).copied().unwrap_or_default();
        let weight = self.projects.get(project).map_or(1, |project| project.weight.max(1));
        used.share_of(self.fleet) / f64::from(weight)
    }
}

/// Puts claims in order, and cuts them to what quotas allow.
pub(super) fn divide(claims: &[Claim], mut ledger: Ledger) -> Division {
    let mut order: Vec<(usize, f64)> = claims.iter().enumerate().map(|(at, claim)| (at, ledger.share(&claim.project))).collect();
    order.sort_by(|(a, share_a), (b, share_b)| {
        let priority = |at: &usize| claims.get(*at).map(|claim| claim.priority);
        priority(b).cmp(&priority(a)).then(share_a.total_cmp(share_b)).then(a.cmp(b))
    });
    let mut division = Division::default();
    for (at, _) in order {
        let Some(claim) = claims.get(at).filter(|claim| claim.count > 0) else { continue };
        match ledger.room(&claim.project, claim.each) {
            Err(limit) => division.held.push((at, limit)),
            Ok(room) => {
                let count = claim.count.min(room);
                ledger.take(&claim.project, claim.each.times(count));
                division.goes.push((at, count));
            }
        }
    }
    division
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Quota;
    use proptest::prelude::*;

    fn threads(threads: u64) -> Amount {
        Amount { threads, memory: 0, gpus: 0 }
    }

    fn claim(project: &str, priority: i32, count: u32) -> Claim {
        Claim { priority, project: project.into(), each: threads(1), count }
    }

    fn ledger(fleet: u64, projects: &[(&str, u32, Option<u64>)]) -> Ledger {
        let project = |(name, weight, limit): &(&str, u32, Option<u64>)| {
            let quota = Quota { threads: *limit, ..Quota::default() };
            ((*name).to_owned(), Project { weight: *weight, quota })
        };
        Ledger { projects: projects.iter().map(project).collect(), used: BTreeMap::new(), fleet: threads(fleet) }
    }

    #[test]
    fn a_higher_priority_goes_first_and_an_older_job_before_a_newer() {
        let claims = [claim("a", 0, 5), claim("a", 2, 3), claim("a", 0, 1), claim("b", -1, 2)];
        assert_eq!(divide(&claims, ledger(4, &[])).goes, [(1, 3), (0, 5), (2, 1), (3, 2)]);
    }

    #[test]
    fn the_project_that_has_least_for_its_weight_goes_first() {
        let claims = [claim("a", 0, 100), claim("b", 0, 100)];
        assert_eq!(divide(&claims, ledger(8, &[])).goes, [(0, 100), (1, 100)]);
        let busy = |b: u32| {
            let mut busy = ledger(8, &[("b", b, None)]);
            busy.take("a", threads(2));
            busy.take("b", threads(4));
            divide(&claims, busy).goes[0].0
        };
        assert_eq!((busy(1), busy(3)), (0, 1));
    }

    #[test]
    fn the_dominant_share_counts() {
        let claims = [claim("gpu", 0, 1), claim("cpu", 0, 1)];
        let mut busy = Ledger { fleet: Amount { threads: 12, memory: 0, gpus: 4 }, ..Ledger::default() };
        // A GPU is a quarter of all, two threads a sixth.
        busy.take("gpu", Amount { threads: 1, memory: 0, gpus: 1 });
        busy.take("cpu", threads(2));
        assert_eq!(divide(&claims, busy).goes[0].0, 1);
    }

    #[test]
    fn beyond_a_quota_nothing_goes() {
        let claims = [claim("a", 0, 100), claim("b", 0, 1), claim("a", 5, 1)];
        let division = divide(&claims, ledger(8, &[("a", 1, Some(3))]));
        let of = |at: usize| division.goes.iter().filter(|(gone, _)| *gone == at).map(|(_, count)| count).sum::<u32>();
        assert_eq!((of(0), of(1), of(2)), (2, 1, 1));
        let mut full = ledger(8, &[("a", 1, Some(3))]);
        full.take("a", threads(3));
        let held = divide(&claims, full).held;
        let reason = "3 threads, of which 3 are in use and 1 more are needed".to_owned();
        assert_eq!(held, [(2, reason.clone()), (0, reason)]);
    }

    proptest! {
        /// Nothing goes twice, no quota is exceeded, and nothing waits that a quota does not hold.
        #[test]
        fn divisions_are_sound(
            claims in proptest::collection::vec((0usize..3, -1i32..2, 1u64..4, 0u32..30), 0..8),
            quotas in proptest::collection::vec(proptest::option::of(0u64..40), 3),
            used in proptest::collection::vec(0u64..10, 3),
            fleet in 0u64..40,
        ) {
            let names = ["a", "b", "c"];
            let claims: Vec<Claim> = claims.into_iter().map(|(project, priority, each, count)| {
                Claim { each: threads(each), ..claim(names[project], priority, count) }
            }).collect();
            let projects: Vec<_> = names.into_iter().zip(&quotas).map(|(name, limit)| (name, 1, *limit)).collect();
            let mut ledger = ledger(fleet, &projects);
            for (name, used) in names.into_iter().zip(&used) {
                ledger.take(name, threads(*used));
            }
            let division = divide(&claims, ledger.clone());
            let mut left: Vec<u32> = claims.iter().map(|claim| claim.count).collect();
            for (at, count) in &division.goes {
                prop_assert!(*count > 0 && left[*at] >= *count);
                left[*at] -= count;
                ledger.take(&claims[*at].project, claims[*at].each.times(*count));
            }
            for ((name, limit), before) in names.into_iter().zip(&quotas).zip(&used) {
                let now = ledger.used.get(name).copied().unwrap_or_default().threads;
                prop_assert!(limit.is_none_or(|limit| now <= limit.max(*before)), "{name} uses {now} of {limit:?}");
            }
            for (at, left) in left.iter().enumerate() {
                prop_assert!(*left == 0 || ledger.room(&claims[at].project, claims[at].each).is_err());
            }
        }
    }
}
