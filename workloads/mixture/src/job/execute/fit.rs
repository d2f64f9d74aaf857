//! The mixtures of an offline method's runs; gathers what those came to, fits its laws, and writes down what they propose. Opens no data
//! and trains nothing: it is the same whoever does.

use super::{attempt_name, files, merges::Merged, place::Place, run::RESULT};
use crate::{
    Domains, Proportions,
    job::{
        JobError, MethodPlan, MixJob,
        history::shares,
        offline::{Fitted, Measured, MergedProxies, Offline, fit},
        result::RunResult,
        runs::{CampaignId, Role, RunId},
    },
    online::{Cost, Settings},
};
use braid_workload::TaskContext;
use std::path::PathBuf;

/// The file of a campaign that holds its [`Fitted`].
pub(in crate::job) const FIT: &str = "fit.json";

/// What a law needs to know of a job.
pub(super) struct Laws<'a> {
    pub(super) job: &'a MixJob,
    pub(super) domains: &'a Domains,
    /// Training tokens of each domain.
    pub(super) sizes: Vec<u64>,
    pub(super) context: &'a TaskContext,
}

/// What was measured before the run that is judged.
#[derive(Default)]
struct Gathered {
    measured: Vec<Measured>,
    cost: Cost,
    /// Tokens that runs have read, and steps that they made.
    tokens: u64,
    steps: u64,
}

impl Laws<'_> {
    /// What decides a run's proportions.
    pub(super) fn settings_of(&self, id: RunId) -> Result<Settings, JobError> {
        let method = self.job.spec.methods.get(id.campaign.method);
        let method = method.ok_or_else(|| JobError::Task(format!("there is no method number {}", id.campaign.method)))?;
        match &method.plan {
            MethodPlan::Online(settings) => Ok(settings.clone()),
            MethodPlan::Offline(_) => Ok(Settings::Fixed { proportions: self.mixture_of(id)? }),
        }
    }

    pub(super) fn fit(&self, campaign: CampaignId) -> Result<(), JobError> {
        let path = self.fit_file(campaign);
        if path.exists() {
            return Ok(());
        }
        let spec = &self.job.spec;
        let offline = self.offline(campaign)?;
        let gathered = match offline {
            Offline::Swarm(swarm) => self.measured_by_swarm(campaign, swarm.runs)?,
            Offline::MergedProxies(_) => self.measured_by_merges(campaign)?,
        };
        let Gathered { measured, cost, .. } = &gathered;
        let fitted = fit(offline.law(), self.domains, (&self.sizes, gathered.tokens_of(spec.steps)), measured, *cost)?;
        let label = campaign.label(spec);
        for domain in fitted.domains.iter().filter_map(|fit| Some((&fit.domain, fit.warning.as_ref()?))) {
            self.context.log(format!("{label}: warning: {}: {}", domain.0, domain.1));
        }
        self.context.log(format!("{label}: proposes {}", shares(self.domains, &fitted.proposal)));
        files::write_json(&path, &fitted, &attempt_name(self.context))
    }

    /// The mixtures that are merged: those that have real runs first.
    pub(super) fn weightings(&self, campaign: CampaignId) -> Result<Vec<Proportions>, JobError> {
        let merged = self.merged(campaign)?;
        let (calibrate, test) = merged.real_runs(self.domains.len());
        let count = (calibrate + test).saturating_add(merged.merges);
        Ok(merged.law.mixtures(&self.sizes, count, campaign.seed)?)
    }

    /// Where the losses of all merges on a domain are.
    pub(super) fn merges_file(&self, campaign: CampaignId, domain: usize) -> PathBuf {
        self.job.out.join(campaign.folder(&self.job.spec)).join(format!("merges-{domain}.json"))
    }

    fn merged(&self, campaign: CampaignId) -> Result<&MergedProxies, JobError> {
        match self.offline(campaign)? {
            Offline::MergedProxies(merged) => Ok(merged),
            Offline::Swarm(_) => Err(JobError::Task(format!("{} merges nothing", campaign.label(&self.job.spec)))),
        }
    }

    /// What a run of an offline method trains on.
    fn mixture_of(&self, run: RunId) -> Result<Proportions, JobError> {
        let domains = self.domains.len();
        let (campaign, law) = (run.campaign, self.offline(run.campaign)?.law());
        let missing = || JobError::Task(format!("there is no {}", run.label(&self.job.spec)));
        match run.role {
            Role::Prefix => Ok(Proportions::uniform(domains)),
            Role::Expert(domain) => Ok(Proportions::one_hot(domains, domain, 0.0)),
            Role::Design(number) => law.mixtures(&self.sizes, number + 1, campaign.seed)?.pop().ok_or_else(missing),
            Role::Real(number) => self.weightings(campaign)?.into_iter().nth(number).ok_or_else(missing),
            Role::Main => {
                let path = self.fit_file(campaign);
                let fitted: Option<Fitted> = files::read(&path)?;
                let gone = || JobError::Unreadable { path, problem: "it is not there, though the fit has ended".into() };
                Ok(fitted.ok_or_else(gone)?.proposal)
            }
        }
    }

    fn measured_by_swarm(&self, campaign: CampaignId, runs: usize) -> Result<Gathered, JobError> {
        let mixtures = self.offline(campaign)?.law().mixtures(&self.sizes, runs, campaign.seed)?;
        let mut gathered = Gathered::default();
        for (number, mixture) in mixtures.into_iter().enumerate() {
            let real = Some(self.take(campaign.run(Role::Design(number)), &mut gathered)?.validation);
            gathered.measured.push(Measured { mixture, proxy: None, real, held_out: false });
        }
        Ok(gathered)
    }

    fn measured_by_merges(&self, campaign: CampaignId) -> Result<Gathered, JobError> {
        let domains = self.domains.len();
        let (calibrate, test) = self.merged(campaign)?.real_runs(domains);
        let mut gathered = Gathered::default();
        let prefix = self.take(campaign.run(Role::Prefix), &mut gathered)?;
        // The final run goes on from it.
        gathered.cost.steps += prefix.cost.steps;
        gathered.cost.probe_steps -= prefix.cost.steps;
        for domain in 0..domains {
            self.take(campaign.run(Role::Expert(domain)), &mut gathered)?;
        }
        let mut by_domain = vec![];
        for domain in 0..domains {
            let path = self.merges_file(campaign, domain);
            let merged: Option<Merged> = files::read(&path)?;
            let gone = || JobError::Unreadable { path, problem: "it is not there, though the merges have ended".into() };
            by_domain.push(merged.ok_or_else(gone)?.losses);
        }
        for (number, mixture) in self.weightings(campaign)?.into_iter().enumerate() {
            let proxy = by_domain.iter().map(|losses| losses.get(number).copied()).collect();
            let is_real = number < calibrate + test;
            let real = if is_real { Some(self.take(campaign.run(Role::Real(number)), &mut gathered)?.validation) } else { None };
            gathered.measured.push(Measured { mixture, proxy, real, held_out: is_real && number >= calibrate });
            gathered.cost.validations += 1;
        }
        Ok(gathered)
    }

    /// The result of a run that is over; what it has read and cost is added.
    fn take(&self, run: RunId, gathered: &mut Gathered) -> Result<RunResult, JobError> {
        let folder = self.job.out.join(run.folder(&self.job.spec));
        let path = Place::new(folder, attempt_name(self.context)).file(RESULT);
        let result: Option<RunResult> = files::read(&path)?;
        let gone = || JobError::Unreadable { path, problem: "it is not there, though its run has ended".into() };
        let result = result.ok_or_else(gone)?;
        gathered.cost.probe_steps += result.cost.steps + result.cost.probe_steps;
        gathered.cost.validations += result.cost.validations;
        gathered.steps = gathered.steps.saturating_add(result.cost.steps);
        gathered.tokens = result.tokens.iter().fold(gathered.tokens, |sum, tokens| sum.saturating_add(*tokens));
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

impl Gathered {
    /// Tokens that so many steps take: a trainer that reads the data itself says how many a step has.
    fn tokens_of(&self, steps: u64) -> u64 {
        let tokens = u128::from(self.tokens) * u128::from(steps) / u128::from(self.steps.max(1));
        u64::try_from(tokens).unwrap_or(u64::MAX)
    }
}
