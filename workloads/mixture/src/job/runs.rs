//! The runs that a job is made of, by name; what each trains on follows from the spec and this name alone.

use super::spec::MixSpec;
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
    /// The whole run: what the campaign is judged by.
    Main,
}

/// A run of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct RunId {
    /// Whose.
    pub(super) campaign: CampaignId,
    /// Which of its runs.
    pub(super) role: Role,
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

    fn method<'a>(&self, spec: &'a MixSpec) -> &'a str {
        spec.methods.get(self.method).map_or("none", |method| &method.name)
    }
}

impl RunId {
    /// The run that a campaign is judged by.
    pub(super) fn main(campaign: CampaignId) -> Self {
        Self { campaign, role: Role::Main }
    }

    /// What people call it.
    pub(super) fn label(&self, spec: &MixSpec) -> String {
        match self.role {
            Role::Main => self.campaign.label(spec),
        }
    }

    /// Its folder below the job's.
    pub(super) fn folder(&self, spec: &MixSpec) -> PathBuf {
        self.campaign.folder(spec).join(self.role.to_string())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Main => f.write_str("main"),
        }
    }
}
