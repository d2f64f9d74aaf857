//! The deciding half: prepare, then all campaigns beside each other, then the report.

use super::{
    JobError, KIND, MixJob, MixSpec,
    campaign::Stage,
    report::Summary,
    runs::CampaignId,
    step::{self, Prepared, Step},
};
use crate::trainer::{Shape, Trainers};
use braid_workload::{Advance, Demand, JobResult, Member, Plan, Reach, SpecError, TaskSpec, Workload};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Decides what the tasks of a mixture are.
#[derive(Clone)]
pub struct MixtureWorkload {
    trainers: Trainers,
}

impl MixtureWorkload {
    /// With the trainers that a spec may name: it checks their settings, and uses none of them.
    pub fn new(trainers: Trainers) -> Self {
        Self { trainers }
    }

    fn checked(&self, spec: &Value) -> Result<MixJob, JobError> {
        let job = read_job(spec)?;
        job.spec.check()?;
        let (name, settings) = job.spec.trainer()?;
        self.trainers.get(name)?.check(settings)?;
        job.spec.shape(&self.trainers)?;
        job.spec.check_offers(&self.trainers)?;
        Ok(job)
    }

    fn advance(&self, spec: &Value, state: &Value, finished: &TaskSpec, value: &Value, open: usize) -> Result<Advance, JobError> {
        let MixJob { spec, .. } = read_job(spec)?;
        let shape = spec.shape(&self.trainers)?;
        advance(&spec, shape.as_ref(), state, finished, value, open)
    }
}

/// What the coordinator keeps of a job: where each campaign stands, in the order of [`CampaignId::all`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct State(Vec<Stage>);

impl Workload for MixtureWorkload {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn is_resumable(&self, _: &Value) -> bool {
        true
    }

    fn plan(&self, spec: &Value) -> Result<Plan, SpecError> {
        let MixJob { spec, out } = self.checked(spec).map_err(|error| refuse(&error))?;
        if !out.is_absolute() {
            return Err(SpecError { kind: KIND, message: format!("out is {out:?}, not an absolute path") });
        }
        let (domains, methods, seeds) = (spec.domains.0.len(), spec.methods.len(), spec.seeds.len());
        let many = |count: usize, what: &str| if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") };
        Ok(Plan {
            label: format!(
                "{} over {}, {} steps, {} -> {}",
                many(methods, "method"),
                many(domains, "domain"),
                spec.steps,
                many(seeds, "seed"),
                out.display()
            ),
            exclusive: Some(format!("out:{}", out.display())),
            state: Value::Null,
            tasks: tasks(&spec, None, &Step::Prepare).map_err(|error| refuse(&error))?,
        })
    }

    fn reach(&self, spec: &Value) -> Result<Reach, SpecError> {
        read_job(spec).and_then(|job| job.reach(&self.trainers)).map_err(|error| refuse(&error))
    }

    fn advance(
        &self,
        spec: &Value,
        state: &Value,
        finished: &TaskSpec,
        value: &Value,
        open: usize,
    ) -> Result<Advance, SpecError> {
        Self::advance(self, spec, state, finished, value, open).map_err(|error| refuse(&error))
    }

    fn retries(&self, spec: &Value, usual: u32) -> u32 {
        let shape = read_job(spec).and_then(|job| job.spec.shape(&self.trainers));
        shape.ok().flatten().and_then(|shape| shape.retries).unwrap_or(usual)
    }
}

fn advance(
    spec: &MixSpec,
    shape: Option<&Shape>,
    state: &Value,
    finished: &TaskSpec,
    value: &Value,
    open: usize,
) -> Result<Advance, JobError> {
    let campaigns = CampaignId::all(spec);
    // A run of a gang is over once, however many ranks end; rank 0 has written what it came to.
    let counts = finished.demand.gang.is_none_or(|member| member.rank == 0);
    let finished: Step = step::read(&finished.payload)?;
    let campaign = match finished {
        Step::Prepare => {
            step::read::<Prepared>(value)?;
            let (stages, steps): (Vec<_>, Vec<_>) = campaigns.into_iter().map(|campaign| Stage::start(campaign, spec)).unzip();
            return go_on(spec, shape, Some(&State(stages)), &steps.concat());
        }
        Step::Report => {
            let summary: Summary = step::read(value)?;
            return Ok(Advance::Finished(JobResult { summary: summary.line(), details: value.clone() }));
        }
        Step::Run { run } | Step::Branch { run, .. } => run.campaign,
        Step::Merges { campaign, .. } | Step::Fit { campaign } => campaign,
    };
    let mut state: State = step::read(state)?;
    let unknown = || JobError::Task(format!("there is no {campaign:?}"));
    let index = campaigns.iter().position(|known| *known == campaign).ok_or_else(unknown)?;
    let stage = state.0.get_mut(index).ok_or_else(unknown)?;
    let before = *stage;
    let (after, mut steps) = match finished {
        _ if !counts => (before, vec![]),
        Step::Run { run } => before.ran(run, &step::read(value)?, spec),
        Step::Branch { run, .. } => before.branched(run),
        Step::Merges { campaign, .. } => before.merged(campaign),
        Step::Fit { campaign } => before.fitted(campaign),
        Step::Prepare | Step::Report => (before, vec![]),
    };
    *stage = after;
    if steps.is_empty() && open == 0 {
        steps.push(Step::Report);
    }
    go_on(spec, shape, (after != before).then_some(&state), &steps)
}

fn go_on(spec: &MixSpec, shape: Option<&Shape>, state: Option<&State>, steps: &[Step]) -> Result<Advance, JobError> {
    let tasks: Vec<_> = steps.iter().map(|step| tasks(spec, shape, step)).collect::<Result<_, _>>()?;
    Ok(Advance::Continue { state: state.map(step::write).transpose()?, tasks: tasks.concat() })
}

/// The task of a step; of a trainer that asks and is a gang, one for each rank.
fn tasks(spec: &MixSpec, shape: Option<&Shape>, step: &Step) -> Result<Vec<TaskSpec>, JobError> {
    let label = match step {
        Step::Prepare => "prepare".into(),
        Step::Run { run } => run.label(spec),
        Step::Branch { run, probe, branch } => format!("{}, branch {branch} at step {}", run.label(spec), probe.step),
        Step::Merges { campaign, domain } => {
            let name = spec.domains.names().nth(*domain).unwrap_or_default();
            format!("{}, merges on {name}", campaign.label(spec))
        }
        Step::Fit { campaign } => format!("{}, fit", campaign.label(spec)),
        Step::Report => "report".into(),
    };
    let payload = step::write(step)?;
    let (Some(shape), Step::Run { .. }) = (shape, step) else {
        // A model of any other trainer takes one thread: many runs go on at once instead.
        return Ok(vec![TaskSpec { label, payload, demand: Demand { threads: 1, ..Demand::default() } }]);
    };
    let Some(size) = shape.gang else { return Ok(vec![TaskSpec { label, payload, demand: shape.demand.clone() }]) };
    let member = |rank| TaskSpec {
        label: format!("{label}, rank {rank} of {size}"),
        payload: payload.clone(),
        demand: Demand { gang: Some(Member { rank, size }), ..shape.demand.clone() },
    };
    Ok((0..size).map(member).collect())
}

pub(super) fn read_job(spec: &Value) -> Result<MixJob, JobError> {
    serde_json::from_value(spec.clone()).map_err(|error| JobError::Spec { name: "the job".into(), problem: error.to_string() })
}

fn refuse(error: &JobError) -> SpecError {
    let message = match error.hint() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    };
    SpecError { kind: KIND, message }
}
