//! What follows what in a campaign. Pure: a few numbers that the coordinator stores, and the ends of tasks.
//!
//! ```text
//!  online          main ◀───────────────▶ branches of a probe, at once
//!                    └─▶ ended
//!
//!  swarm           runs on many mixtures, at once ─▶ fit ─▶ main ─▶ ended
//!
//!  merged proxies  prefix ─▶ experts and real runs, at once ─▶ merges, a task a domain ─▶ fit ─▶ main ─▶ ended
//! ```
//!
//! A run takes as many tasks as it has checkpoints: one that ends with a checkpoint is followed by the next, whatever the stage. What a
//! run trains on is not decided here: files beside its checkpoint tell whoever takes it further. So this state stays small however many
//! domains and methods there are, and a task that is run twice finds what the first had done.

use super::{
    offline::Offline,
    runs::{CampaignId, Role, RunId},
    spec::MixSpec,
    step::{Ran, Step},
};
use serde::{Deserialize, Serialize};

/// Where a campaign stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// So many runs that come before all others are not over: those of a swarm, or the prefix.
    First(usize),
    /// So many experts and real runs are not over.
    Forks(usize),
    /// So many domains are not evaluated.
    Merges(usize),
    /// The law is fitted.
    Fit,
    /// Its run is taken further.
    Main,
    /// So many branches of its run's probe are still open.
    Branches(usize),
    /// It has its result.
    Ended,
}

impl Stage {
    /// The beginning of a campaign and its first tasks.
    pub(super) fn start(campaign: CampaignId, spec: &MixSpec) -> (Self, Vec<Step>) {
        match campaign.offline(spec) {
            None => main(campaign),
            Some(Offline::Swarm(swarm)) => {
                let design = |number| run(campaign, Role::Design(number));
                (Self::First(swarm.runs), (0..swarm.runs).map(design).collect())
            }
            Some(Offline::MergedProxies(_)) => (Self::First(1), vec![run(campaign, Role::Prefix)]),
        }
    }

    /// The end of a run's task.
    pub(super) fn ran(self, id: RunId, ran: &Ran, spec: &MixSpec) -> (Self, Vec<Step>) {
        let again = vec![Step::Run { run: id }];
        match ran {
            Ran::On { .. } => (self, again),
            // A probe without branches has nothing to wait for.
            Ran::Probe { branches: 0, .. } => (self, again),
            Ran::Probe { probe, branches } => {
                let branch = |branch| Step::Branch { run: id, probe: *probe, branch };
                (Self::Branches(*branches), (0..*branches).map(branch).collect())
            }
            Ran::Ended => self.over(id.campaign, spec),
        }
    }

    /// The end of a branch.
    pub(super) fn branched(self, id: RunId) -> (Self, Vec<Step>) {
        match self {
            Self::Branches(open) if open > 1 => (Self::Branches(open - 1), vec![]),
            Self::Branches(_) => (Self::Main, vec![Step::Run { run: id }]),
            other => (other, vec![]),
        }
    }

    /// The end of the evaluation of all merges on a domain.
    pub(super) fn merged(self, campaign: CampaignId) -> (Self, Vec<Step>) {
        match self {
            Self::Merges(open) if open > 1 => (Self::Merges(open - 1), vec![]),
            Self::Merges(_) => (Self::Fit, vec![Step::Fit { campaign }]),
            other => (other, vec![]),
        }
    }

    /// The end of the fit.
    pub(super) fn fitted(self, campaign: CampaignId) -> (Self, Vec<Step>) {
        main(campaign)
    }

    /// The end of a run.
    fn over(self, campaign: CampaignId, spec: &MixSpec) -> (Self, Vec<Step>) {
        match (self, campaign.offline(spec)) {
            (Self::First(open), _) if open > 1 => (Self::First(open - 1), vec![]),
            (Self::First(_), Some(Offline::MergedProxies(merged))) => {
                let domains = spec.domains.0.len();
                let (calibrate, test) = merged.real_runs(domains);
                let experts = (0..domains).map(Role::Expert);
                let forks: Vec<Step> =
                    experts.chain((0..calibrate + test).map(Role::Real)).map(|role| run(campaign, role)).collect();
                (Self::Forks(forks.len()), forks)
            }
            (Self::First(_), _) => (Self::Fit, vec![Step::Fit { campaign }]),
            (Self::Forks(open), _) if open > 1 => (Self::Forks(open - 1), vec![]),
            (Self::Forks(_), _) => {
                let domains = spec.domains.0.len();
                (Self::Merges(domains), (0..domains).map(|domain| Step::Merges { campaign, domain }).collect())
            }
            _ => (Self::Ended, vec![]),
        }
    }
}

fn main(campaign: CampaignId) -> (Stage, Vec<Step>) {
    (Stage::Main, vec![run(campaign, Role::Main)])
}

fn run(campaign: CampaignId, role: Role) -> Step {
    Step::Run { run: campaign.run(role) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::step::ProbeId;

    fn spec() -> MixSpec {
        let text = "
domains: { a: a.txt, b: b.txt }
context: 8
batch: 4
steps: 100
trainer: { builtin: {} }
methods: [stratified, { method: swarm, runs: 3 }, { method: merged-proxies, real: 2, held_out: 1 }]
seeds: [5]
";
        MixSpec::parse("a.yml", text).unwrap()
    }

    fn campaign(method: usize) -> CampaignId {
        CampaignId { method, seed: 5 }
    }

    /// Ends every open task of a campaign, those that were made first before the others, and tells what was done in which order.
    fn play(method: usize) -> Vec<String> {
        let spec = spec();
        let (mut stage, mut open) = Stage::start(campaign(method), &spec);
        let mut done = vec![];
        while !open.is_empty() {
            let step = open.remove(0);
            let more;
            (stage, more) = match step {
                Step::Run { run } => {
                    done.push(format!("{} {}+{}", run.role, run.extent(&spec).before, run.extent(&spec).steps));
                    // Each run has one checkpoint on its way.
                    let (stage, again) = stage.ran(run, &Ran::On { step: 1 }, &spec);
                    assert_eq!(again, [Step::Run { run }]);
                    stage.ran(run, &Ran::Ended, &spec)
                }
                Step::Merges { campaign, domain } => {
                    done.push(format!("merges on {domain}"));
                    stage.merged(campaign)
                }
                Step::Fit { campaign } => {
                    done.push("fit".into());
                    stage.fitted(campaign)
                }
                Step::Prepare | Step::Branch { .. } | Step::Report => unreachable!("{step:?}"),
            };
            open.extend(more);
        }
        assert_eq!(stage, Stage::Ended);
        done
    }

    #[test]
    fn the_graph_of_each_method() {
        assert_eq!(play(0), ["main 0+100"]);
        assert_eq!(play(1), ["run 0 0+25", "run 1 0+25", "run 2 0+25", "fit", "main 0+100"]);
        let merged = [
            "prefix 0+20",
            "expert 0 20+10",
            "expert 1 20+10",
            "real 0 20+10",
            "real 1 20+10",
            "real 2 20+10",
            "merges on 0",
            "merges on 1",
            "fit",
            "main 20+80",
        ];
        assert_eq!(play(2), merged);
    }

    #[test]
    fn a_probe_waits_for_all_of_its_branches() {
        let run = campaign(0).run(Role::Main);
        let probe = ProbeId { step: 4, number: 0 };
        let (mut stage, steps) = Stage::Main.ran(run, &Ran::Probe { probe, branches: 3 }, &spec());
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
