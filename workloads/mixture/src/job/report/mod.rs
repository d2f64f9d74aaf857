//! The report of a job: gathers the results of its runs, compares methods pair by pair, and writes tables.
//!
//! | file | |
//! |---|---|
//! | `report.json` | everything |
//! | `report.md` | methods side by side, for people |
//! | `runs.csv` | one line a run |
//! | `proportions.csv`, `losses.csv` | one line a stretch of a run, a column a domain |
//! | `predictions.csv` | one line a mixture and domain that an offline method has measured |
//! | `*.svg`, `*.png` | the same as drawings |

mod chart;
mod plots;
mod statistics;
mod tables;

pub use statistics::Paired;

use super::{
    JobError, MethodPlan, MixJob,
    execute::{FIT, files},
    offline::Fitted,
    result::RunResult,
    runs::{CampaignId, Role},
};
use crate::Domains;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Everything that a job has found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was mixed.
    pub domains: Domains,
    /// Steps of a run.
    pub steps: u64,
    /// The method that others are compared with.
    pub control: String,
    /// In the order of the spec.
    pub methods: Vec<MethodReport>,
}

/// One method over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodReport {
    /// Its name.
    pub name: String,
    /// One a seed.
    pub runs: Vec<RunResult>,
    /// Mean perplexity of a domain's test data, over domains and seeds.
    pub perplexity: f64,
    /// Mean loss in nats a token, over domains and seeds.
    pub loss: f64,
    /// Difference of perplexity to the control, seed by seed.
    pub difference: Option<Paired>,
    /// The same of the mean loss.
    pub difference_of_loss: Option<Paired>,
    /// Of an offline method, the fit of each seed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fits: Vec<Fitted>,
}

/// What a job says of itself when it is done, small enough for the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The folder of the results.
    pub out: String,
    /// Names of the domains.
    pub domains: Vec<String>,
    /// The method that others are compared with.
    pub control: String,
    /// Runs that a method has.
    pub seeds: usize,
    /// In the order of the spec.
    pub methods: Vec<Row>,
    /// What should not be relied on: of which method, seed and domain, and why. The first few.
    pub warnings: Vec<String>,
}

/// Warnings that a summary holds at most: it must fit the store.
const MOST_WARNINGS: usize = 50;

/// A method in the summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Mean perplexity.
    pub perplexity: f64,
    /// Difference of perplexity to the control.
    pub difference: Option<Paired>,
    /// Mean over seeds of what it would have another run train on.
    pub proportions: Vec<f64>,
    /// Steps of all its runs, and of the branches beside them.
    pub steps: u64,
    /// Passes over the validation data.
    pub validations: u64,
}

/// Gathers the results, writes the report, and says what is in it.
pub(super) fn write(job: &MixJob) -> Result<Summary, JobError> {
    let report = gather(job)?;
    let out = &job.out;
    files::sweep(out)?;
    files::write_json(&out.join("report.json"), &report, "report")?;
    tables::write(&report, job)?;
    plots::write(&report, job)?;
    Ok(report.summary(out.display().to_string()))
}

fn gather(job: &MixJob) -> Result<Report, JobError> {
    let spec = &job.spec;
    let mut methods = vec![];
    for (index, method) in spec.methods.iter().enumerate() {
        let result = |&seed: &u64| {
            let run = CampaignId { method: index, seed }.run(Role::Main);
            let path = job.out.join(run.folder(spec)).join("result.json");
            let found = files::read(&path)?;
            found.ok_or_else(|| JobError::Unreadable { path, problem: "it is not there, though its run has ended".into() })
        };
        let mut runs: Vec<RunResult> = spec.seeds.iter().map(result).collect::<Result<_, _>>()?;
        let mut fits = vec![];
        if matches!(method.plan, MethodPlan::Offline(_)) {
            for (run, &seed) in runs.iter_mut().zip(&spec.seeds) {
                let path = job.out.join(CampaignId { method: index, seed }.folder(spec)).join(FIT);
                let missing = JobError::Unreadable { path: path.clone(), problem: "it is not there".into() };
                let fitted: Fitted = files::read(&path)?.ok_or(missing)?;
                // What came before the run is a part of what the method costs.
                run.cost.add(&fitted.cost);
                fits.push(fitted);
            }
        }
        let mean = |figure: fn(&RunResult) -> f64| runs.iter().map(figure).sum::<f64>() / runs.len().max(1) as f64;
        let (perplexity, loss) = (mean(RunResult::mean_perplexity), mean(RunResult::mean_loss));
        let name = method.name.clone();
        methods.push(MethodReport { name, runs, perplexity, loss, difference: None, difference_of_loss: None, fits });
    }
    let control = spec.control();
    let Some(base) = methods.get(control).map(|method| method.runs.clone()) else {
        return Err(JobError::field("methods", "there is none".into()));
    };
    for (_, method) in methods.iter_mut().enumerate().filter(|(index, _)| *index != control) {
        let differences = |figure: fn(&RunResult) -> f64| {
            let pairs = method.runs.iter().zip(&base).map(|(own, base)| figure(own) - figure(base));
            Paired::of(&pairs.collect::<Vec<_>>())
        };
        (method.difference, method.difference_of_loss) =
            (differences(RunResult::mean_perplexity), differences(RunResult::mean_loss));
    }
    let control = spec.methods.get(control).map(|method| method.name.clone()).unwrap_or_default();
    Ok(Report { domains: spec.domains()?, steps: spec.steps, control, methods })
}

impl Report {
    fn summary(&self, out: String) -> Summary {
        let row = |method: &MethodReport| Row {
            name: method.name.clone(),
            perplexity: method.perplexity,
            difference: method.difference,
            proportions: method.mean_learnt(),
            steps: method.runs.iter().map(|run| run.cost.steps + run.cost.probe_steps).sum(),
            validations: method.runs.iter().map(|run| run.cost.validations).sum(),
        };
        Summary {
            out,
            domains: self.domains.names().to_vec(),
            control: self.control.clone(),
            seeds: self.methods.first().map_or(0, |method| method.runs.len()),
            methods: self.methods.iter().map(row).collect(),
            warnings: self.warnings().take(MOST_WARNINGS).collect(),
        }
    }

    /// `merged-proxies, seed 3: prose: …`
    fn warnings(&self) -> impl Iterator<Item = String> {
        let of = |method: &MethodReport| -> Vec<String> {
            let fits = method.fits.iter().zip(&method.runs);
            let of_fit = |(fit, run): (&Fitted, &RunResult)| {
                let (name, seed) = (method.name.clone(), run.seed);
                let domains = fit.domains.iter().filter_map(|fit| Some((fit.domain.clone(), fit.warning.clone()?)));
                domains.map(move |(domain, why)| format!("{name}, seed {seed}: {domain}: {why}")).collect::<Vec<_>>()
            };
            fits.flat_map(of_fit).collect()
        };
        self.methods.iter().flat_map(of).collect::<Vec<_>>().into_iter()
    }
}

impl MethodReport {
    /// Mean over seeds of what the method would have another run train on.
    pub fn mean_learnt(&self) -> Vec<f64> {
        let domains = self.runs.first().map_or(0, |run| run.learnt.len());
        let share = |domain| self.runs.iter().filter_map(|run| run.learnt.as_slice().get(domain)).sum::<f64>();
        (0..domains).map(|domain| share(domain) / self.runs.len().max(1) as f64).collect()
    }
}

impl Summary {
    /// `mixed 3 domains by 2 methods with 4 seeds: aioli -0.04 [-0.08, -0.01] to stratified, test perplexity 12.31; in out`. Only a
    /// difference that is sure is called one.
    pub fn line(&self) -> String {
        let sure = |row: &&Row| row.difference.is_some_and(|paired| paired.is_sure() && paired.mean < 0.0);
        let best = self.methods.iter().filter(sure).min_by(|a, b| a.perplexity.total_cmp(&b.perplexity));
        let (domains, methods, seeds) = (self.domains.len(), self.methods.len(), self.seeds);
        let many = |count: usize, what: &str| if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") };
        let (domains, methods, seeds) = (many(domains, "domain"), many(methods, "method"), many(seeds, "seed"));
        let best = match best {
            Some(row) => format!(": {row} to {}", self.control),
            None if self.methods.len() > 1 => format!(": none is surely better than {}", self.control),
            None => String::new(),
        };
        format!("mixed {domains} by {methods} with {seeds}{best}; in {}", self.out)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has test perplexity {:.3}", self.name, self.perplexity)?;
        match self.difference {
            Some(Paired { mean, low: Some(low), high: Some(high), .. }) => write!(f, ", {mean:+.3} [{low:+.3}, {high:+.3}]"),
            _ => Ok(()),
        }
    }
}
