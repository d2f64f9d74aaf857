//! When each group of a plan runs: as soon as all of its ranks have come to it.

use crate::planner::{Group, Millis, Plan};

/// A group and when it starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) group: &'a Group,
    /// From 0.
    pub(super) micro_batch: usize,
    pub(super) start: Millis,
}

impl Run<'_> {
    pub(super) fn end(&self) -> Millis {
        self.start + self.group.predicted_ms
    }
}

/// All groups in the order in which they are listed. Ranks that the plan does not have are left out.
pub(super) fn runs(plan: &Plan) -> Vec<Run<'_>> {
    let mut free = vec![Millis(0.0); plan.world as usize];
    let mut runs = Vec::new();
    for (micro_batch, m) in plan.micro_batches.iter().enumerate() {
        if plan.barrier {
            let all = latest(&free);
            free.fill(all);
        }
        for group in &m.groups {
            let first = group.first_rank.0 as usize;
            let Some(ranks) = free.get_mut(first..first.saturating_add(group.degree.0 as usize)) else { continue };
            let run = Run { group, micro_batch, start: latest(ranks) };
            ranks.fill(run.end());
            runs.push(run);
        }
    }
    runs
}

fn latest(times: &[Millis]) -> Millis {
    times.iter().copied().fold(Millis(0.0), Millis::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gantt::draw::tests::plan;

    #[test]
    fn runs_end_when_the_plan_says_that_its_ranks_do() {
        for barrier in [true, false] {
            let plan = plan(barrier);
            let mut finish = vec![Millis(0.0); plan.world as usize];
            let runs = runs(&plan);
            for run in &runs {
                for rank in run.group.ranks() {
                    assert!(finish[rank as usize].0 <= run.start.0, "two groups at once on rank {rank}");
                    finish[rank as usize] = run.end();
                }
            }
            let all = |times: &[Millis]| times.iter().copied().fold(Millis(0.0), Millis::max);
            assert_eq!(all(&finish), all(&plan.finish()));
            assert_eq!(runs.len(), 6);
            // Without the barrier rank 4 does not wait for the group of ranks 0 to 3.
            assert_eq!(runs[3].start, if barrier { Millis(3000.0) } else { Millis(2000.0) });
        }
    }
}
