//! Gathers what was measured for a campaign, fits its laws, and writes down what they propose.

use super::{Task, files, merges::Merged, run::RESULT};
use crate::{
    Proportions,
    job::{
        JobError,
        history::shares,
        offline::{Fitted, Measured, Offline, fit},
        result::RunResult,
        runs::{CampaignId, Role, RunId},
    },
    online::Cost,
};
use std::path::PathBuf;

/// The file of a campaign that holds its [`Fitted`].
pub(in crate::job) const FIT: &str = "fit.json";

impl Task<'_> {
    pub(super) fn fit(&self, campaign: CampaignId) -> Result<(), JobError> {
        let path = self.fit_file(campaign);
        if path.exists() {
            return Ok(());
        }
        let spec = &self.job.spec;
        let offline = self.offline(campaign)?;
        let (measured, cost) = match offline {
            Offline::Swarm(swarm) => self.measured_by_swarm(campaign, swarm.runs)?,
            Offline::MergedProxies(_) => self.measured_by_merges(campaign)?,
        };
        let tokens = spec.steps.saturating_mul(spec.batch).saturating_mul(spec.context as u64);
        let fitted = fit(offline.law(), self.data.domains(), (&self.data.sizes(), tokens), &measured, cost)?;
        let label = campaign.label(spec);
        for domain in fitted.domains.iter().filter_map(|fit| Some((&fit.domain, fit.warning.as_ref()?))) {
            self.context.log(format!("{label}: warning: {}: {}", domain.0, domain.1));
        }
        self.context.log(format!("{label}: proposes {}", shares(self.data.domains(), &fitted.proposal)));
        files::write_json(&path, &fitted, &self.attempt_name())
    }

    /// What a run of an offline method trains on.
    pub(super) fn mixture_of(&self, run: RunId) -> Result<Proportions, JobError> {
        let domains = self.data.domains().len();
        let sizes = self.data.sizes();
        let (campaign, law) = (run.campaign, self.offline(run.campaign)?.law());
        let missing = || JobError::Task(format!("there is no {}", run.label(&self.job.spec)));
        match run.role {
            Role::Prefix => Ok(Proportions::uniform(domains)),
            Role::Expert(domain) => Ok(Proportions::one_hot(domains, domain, 0.0)),
            Role::Design(number) => law.mixtures(&sizes, number + 1, campaign.seed)?.pop().ok_or_else(missing),
            Role::Real(number) => self.weightings(campaign)?.into_iter().nth(number).ok_or_else(missing),
            Role::Main => {
                let path = self.fit_file(campaign);
                let fitted: Option<Fitted> = files::read(&path)?;
                let gone = || JobError::Unreadable { path, problem: "it is not there, though the fit has ended".into() };
                Ok(fitted.ok_or_else(gone)?.proposal)
            }
        }
    }

    fn measured_by_swarm(&self, campaign: CampaignId, runs: usize) -> Result<(Vec<Measured>, Cost), JobError> {
        let mixtures = self.offline(campaign)?.law().mixtures(&self.data.sizes(), runs, campaign.seed)?;
        let mut cost = Cost::default();
        let measure = |(number, mixture): (usize, Proportions)| {
            let result = self.result_of(campaign.run(Role::Design(number)), &mut cost)?;
            Ok::<_, JobError>(Measured { mixture, proxy: None, real: Some(result.validation), held_out: false })
        };
        let measured = mixtures.into_iter().enumerate().map(measure).collect::<Result<_, JobError>>()?;
        Ok((measured, cost))
    }

    fn measured_by_merges(&self, campaign: CampaignId) -> Result<(Vec<Measured>, Cost), JobError> {
        let domains = self.data.domains().len();
        let (calibrate, test) = self.merged(campaign)?.real_runs(domains);
        let mut cost = Cost::default();
        let prefix = self.result_of(campaign.run(Role::Prefix), &mut cost)?;
        // The final run goes on from it.
        cost.steps += prefix.cost.steps;
        cost.probe_steps -= prefix.cost.steps;
        for domain in 0..domains {
            self.result_of(campaign.run(Role::Expert(domain)), &mut cost)?;
        }
        let mut by_domain = vec![];
        for domain in 0..domains {
            let path = self.merges_file(campaign, domain);
            let merged: Option<Merged> = files::read(&path)?;
            let gone = || JobError::Unreadable { path, problem: "it is not there, though the merges have ended".into() };
            by_domain.push(merged.ok_or_else(gone)?.losses);
        }
        let mut measured = vec![];
        for (number, mixture) in self.weightings(campaign)?.into_iter().enumerate() {
            let proxy = by_domain.iter().map(|losses| losses.get(number).copied()).collect();
            let is_real = number < calibrate + test;
            let real = if is_real { Some(self.result_of(campaign.run(Role::Real(number)), &mut cost)?.validation) } else { None };
            measured.push(Measured { mixture, proxy, real, held_out: is_real && number >= calibrate });
            cost.validations += 1;
        }
        Ok((measured, cost))
    }

    /// The result of a run that is over; what it has cost is added.
    fn result_of(&self, run: RunId, cost: &mut Cost) -> Result<RunResult, JobError> {
        let path = self.place(run).file(RESULT);
        let result: Option<RunResult> = files::read(&path)?;
        let gone = || JobError::Unreadable { path, problem: "it is not there, though its run has ended".into() };
        let result = result.ok_or_else(gone)?;
        cost.probe_steps += result.cost.steps + result.cost.probe_steps;
        cost.validations += result.cost.validations;
        Ok(result)
    }

    fn offline(&self, campaign: CampaignId) -> Result<&Offline, JobError> {
        let spec = &self.job.spec;
        campaign.offline(spec).ok_or_else(|| JobError::Task(format!("{} fits nothing", campaign.label(spec))))
    }

    fn fit_file(&self, campaign: CampaignId) -> PathBuf {
        self.job.out.join(campaign.folder(&self.job.spec)).join(FIT)
    }
}
