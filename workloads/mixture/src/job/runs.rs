//! The runs that a job is made of, by name, and how long each is and where it begins: from the spec and this name alone.

use super::{method::MethodPlan, offline::Offline, spec::MixSpec};
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf};

/// One method with one seed: what is done for it does not depend on other methods or seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct CampaignId {
    /// Its place in the spec's `methods`.
    pub(super) method: usize,
    /// Its seed.
    pub(super) seed: u64,
}

/// A run of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// What the campaign is judged by.
    Main,
    /// A run of a swarm.
    Design(usize),
    /// What experts begin from.
    Prefix,
    /// On one domain alone.
    Expert(usize),
    /// On a mixture, to calibrate merges or to test them.
    Real(usize),
}

/// A run of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct RunId {
    /// Whose.
    pub(super) campaign: CampaignId,
    /// Which of its runs.
    pub(super) role: Role,
}

/// How long a run is, and where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Its own steps.
    pub(super) steps: u64,
    /// Steps of the run that it begins from, if it begins from one.
    pub(super) before: u64,
    /// Steps that the learning rate is planned for.
    pub(super) schedule: u64,
}

impl CampaignId {
    /// All of a job, in the order of its results.
    pub(super) fn all(spec: &MixSpec) -> Vec<Self> {
        let seeds = |method| spec.seeds.iter().map(move |&seed| Self { method, seed });
        (0..spec.methods.len()).flat_map(seeds).collect()
    }

    /// What people call it: `aioli, seed 3`.
    pub(super) fn label(&self, spec: &MixSpec) -> String {
        format!("{}, seed {}", self.method(spec), self.seed)
    }

    /// Its folder below the job's.
    pub(super) fn folder(&self, spec: &MixSpec) -> PathBuf {
        ["runs", self.method(spec), &format!("seed-{}", self.seed)].iter().collect()
    }

    /// Its method, where that is offline.
    pub(super) fn offline<'a>(&self, spec: &'a MixSpec) -> Option<&'a Offline> {
        match &spec.methods.get(self.method)?.plan {
            MethodPlan::Offline(offline) => Some(offline),
            MethodPlan::Online(_) => None,
        }
    }

    /// A run of it.
    pub(super) fn run(self, role: Role) -> RunId {
        RunId { campaign: self, role }
    }

    fn method<'a>(&self, spec: &'a MixSpec) -> &'a str {
        spec.methods.get(self.method).map_or("none", |method| &method.name)
    }
}

impl RunId {
    /// What people call it.
    pub(super) fn label(&self, spec: &MixSpec) -> String {
        match self.role {
            Role::Main => self.campaign.label(spec),
            role => format!("{}, {role}", self.campaign.label(spec)),
        }
    }

    /// Its folder below the job's.
    pub(super) fn folder(&self, spec: &MixSpec) -> PathBuf {
        self.campaign.folder(spec).join(self.role.to_string().replace(' ', "-"))
    }

    /// The run whose last checkpoint it begins from.
    pub(super) fn begins_from(&self, spec: &MixSpec) -> Option<RunId> {
        let merged = matches!(self.campaign.offline(spec), Some(Offline::MergedProxies(_)));
        (merged && self.role != Role::Prefix).then(|| self.campaign.run(Role::Prefix))
    }

    /// How long it is.
    pub(super) fn extent(&self, spec: &MixSpec) -> Extent {
        let (before, steps) = match (self.campaign.offline(spec), self.role) {
            (Some(Offline::Swarm(swarm)), Role::Design(_)) => return whole(swarm.steps(spec.steps)),
            (Some(Offline::MergedProxies(merged)), Role::Prefix) => (0, merged.prefix(spec.steps)),
            (Some(Offline::MergedProxies(merged)), Role::Main) => {
                let prefix = merged.prefix(spec.steps);
                (prefix, spec.steps.saturating_sub(prefix))
            }
            (Some(Offline::MergedProxies(merged)), _) => (merged.prefix(spec.steps), merged.steps(spec.steps)),
            _ => (0, spec.steps),
        };
        Extent { steps, before, schedule: spec.steps }
    }
}

fn whole(steps: u64) -> Extent {
    Extent { steps, before: 0, schedule: steps }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Main => f.write_str("main"),
            Self::Design(number) => write!(f, "run {number}"),
            Self::Prefix => f.write_str("prefix"),
            Self::Expert(domain) => write!(f, "expert {domain}"),
            Self::Real(number) => write!(f, "real {number}"),
        }
    }
}
