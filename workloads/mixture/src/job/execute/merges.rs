//! Evaluates all weighted merges of a campaign's experts on one domain. A merge is made in memory, evaluated and dropped: no more than
//! one is held at a time, and none is written.

use super::{Task, files};
use crate::{
    data::Part,
    job::{
        JobError,
        runs::{CampaignId, Role},
    },
};
use serde::{Deserialize, Serialize};
use std::{fs, path::PathBuf};

/// What merges have on one domain: `merges-DOMAIN.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Merged {
    /// In the order of [`weightings`](super::fit::Laws::weightings).
    pub(super) losses: Vec<f64>,
}

impl Task<'_> {
    pub(super) fn merges(&self, campaign: CampaignId, domain: usize) -> Result<(), JobError> {
        let laws = self.laws();
        let path = laws.merges_file(campaign, domain);
        if path.exists() {
            return Ok(());
        }
        let spec = &self.job.spec;
        let prefix = campaign.run(Role::Prefix);
        let base = self.ended(prefix)?;
        let expert = |domain| self.ended(campaign.run(Role::Expert(domain))).map(|found| found.model);
        let experts: Vec<PathBuf> = (0..self.data.domains().len()).map(expert).collect::<Result<_, _>>()?;
        let scratch = self.place(prefix).scratch();
        let from = Some((base.model.as_path(), base.step));
        let mut session = self.open(campaign.seed, spec.steps, from, &scratch)?;
        let mut losses = vec![];
        for weights in laws.weightings(campaign)? {
            self.stop_if_told()?;
            // Shares sum to one, so `base + Σ α_k (expert_k - base)` is the weighted mean of the experts.
            let parts: Vec<_> = weights.iter().zip(&experts).map(|(weight, expert)| (weight, expert.clone())).collect();
            session.blend(&parts)?;
            losses.extend(session.evaluate(Part::Validation, &[domain], spec.evaluate)?);
        }
        self.finite("the loss of a merge", base.step, losses.iter().copied().map(Some))?;
        drop(session);
        // Nobody needs it.
        let _ = fs::remove_dir_all(&scratch);
        let name = self.data.domains().name(domain);
        self.context.log(format!("{}: evaluated {} merges on {name}", campaign.label(spec), losses.len()));
        files::write_json(&path, &Merged { losses }, &self.attempt_name())
    }
}
