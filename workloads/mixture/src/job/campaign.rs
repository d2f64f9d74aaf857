//! What follows what in a campaign. Pure: a few numbers that the coordinator stores, and the ends of tasks.
//!
//! ```text
//!            ┌────────── a checkpoint ─────────┐
//!            ▼                                 │
//!  start ─ run ─┬──────────────────────────────┘
//!            ▲  ├─ a probe ─ branches, at once ─┐
//!            │  │                               │
//!            └──────────── all are done ────────┘
//!               └─ its result ─ ended
//! ```
//!
//! What a run trains on is not decided here: the run's own state, a file beside its checkpoint, tells whoever takes it further. So
//! this state stays small however many domains and methods there are, and a task that is run twice finds what the first had done.

use super::{
    runs::{CampaignId, RunId},
    step::{Ran, Step},
};
use serde::{Deserialize, Serialize};

/// Where a campaign stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Its run is taken further.
    Main,
    /// So many branches of its run's probe are still open.
    Branches(usize),
    /// It has its result.
    Ended,
}

impl Stage {
    /// The beginning of a campaign and its first tasks.
    pub(super) fn start(campaign: CampaignId) -> (Self, Vec<Step>) {
        (Self::Main, vec![Step::Run { run: RunId::main(campaign) }])
    }

    /// The end of a run's task.
    pub(super) fn ran(self, run: RunId, ran: &Ran) -> (Self, Vec<Step>) {
        match ran {
            Ran::On { .. } => (self, vec![Step::Run { run }]),
            // A probe without branches has nothing to wait for.
            Ran::Probe { branches: 0, .. } => (self, vec![Step::Run { run }]),
            Ran::Probe { probe, branches } => {
                let branch = |branch| Step::Branch { run, probe: *probe, branch };
                (Self::Branches(*branches), (0..*branches).map(branch).collect())
            }
            Ran::Ended => (Self::Ended, vec![]),
        }
    }

    /// The end of a branch.
    pub(super) fn branched(self, run: RunId) -> (Self, Vec<Step>) {
        match self {
            Self::Branches(open) if open > 1 => (Self::Branches(open - 1), vec![]),
            Self::Branches(_) => (Self::Main, vec![Step::Run { run }]),
            other => (other, vec![]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::step::ProbeId;

    const CAMPAIGN: CampaignId = CampaignId { method: 1, seed: 5 };

    #[test]
    fn a_run_goes_on_until_it_has_its_result() {
        let run = RunId::main(CAMPAIGN);
        let (stage, steps) = Stage::start(CAMPAIGN);
        assert_eq!(steps, [Step::Run { run }]);
        let (stage, steps) = stage.ran(run, &Ran::On { step: 10 });
        assert_eq!((stage, steps), (Stage::Main, vec![Step::Run { run }]));
        assert_eq!(stage.ran(run, &Ran::Ended), (Stage::Ended, vec![]));
    }

    #[test]
    fn a_probe_waits_for_all_of_its_branches() {
        let run = RunId::main(CAMPAIGN);
        let probe = ProbeId { step: 4, number: 0 };
        let (mut stage, steps) = Stage::Main.ran(run, &Ran::Probe { probe, branches: 3 });
        assert_eq!(steps.len(), 3);
        assert_eq!(steps[2], Step::Branch { run, probe, branch: 2 });
        for expected in [vec![], vec![], vec![Step::Run { run }]] {
            let steps;
            (stage, steps) = stage.branched(run);
            assert_eq!(steps, expected);
        }
        assert_eq!(stage, Stage::Main);
    }
}
