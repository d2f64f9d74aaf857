//! The deciding half: one gang that measures; its first member's value is the fit.

use super::{KIND, execute::Measured};
use crate::train::TrainSpec;
use braid_workload::{Advance, Demand, JobResult, Member, Plan, Reach, SpecError, TaskSpec, Workload};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// What to measure for, and where the profile goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileJob {
    /// The training that is to be planned: its model, context and ranks.
    pub spec: TrainSpec,
    /// The profile's file, which the first member's worker writes.
    pub out: PathBuf,
    /// Tokens of the training's vocabulary.
    pub vocabulary: usize,
}

impl ProfileJob {
    /// The paths that it uses: it reads no documents.
    pub(super) fn reach(&self) -> Reach {
        Reach::Paths { reads: Vec::new(), writes: vec![self.out.clone()] }
    }
}

/// Decides what the tasks of a measurement are.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProfileWorkload;

impl Workload for ProfileWorkload {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn plan(&self, spec: &Value) -> Result<Plan, SpecError> {
        let ProfileJob { spec, out, vocabulary } = read_job(spec)?;
        spec.check().map_err(refuse)?;
        spec.model.check(vocabulary).map_err(refuse)?;
        if !out.is_absolute() {
            return Err(refuse(format!("out is {}, not an absolute path", out.display())));
        }
        let task = |rank| TaskSpec {
            label: format!("rank {rank} of {}", spec.ranks),
            payload: Value::Null,
            demand: Demand { wide: spec.whole_workers, gang: Some(Member { rank, size: spec.ranks }), ..Demand::default() },
        };
        Ok(Plan {
            label: format!("measure {} ranks -> {}", spec.ranks, out.display()),
            exclusive: Some(format!("out:{}", out.display())),
            state: Value::Null,
            tasks: (0..spec.ranks).map(task).collect(),
        })
    }

    fn reach(&self, spec: &Value) -> Result<Reach, SpecError> {
        Ok(read_job(spec)?.reach())
    }

    fn advance(&self, spec: &Value, _: &Value, _: &TaskSpec, value: &Value, _: usize) -> Result<Advance, SpecError> {
        let job = read_job(spec)?;
        let Measured { fit, samples } =
            serde_json::from_value(value.clone()).map_err(|error| refuse(format!("a rank's value: {error}")))?;
        let summary = format!(
            "measured {samples} loads on {} ranks: the model is {:.1} % off on average, {:.1} % at worst; it is in {}",
            job.spec.ranks,
            fit.mean_error * 100.0,
            fit.worst_error * 100.0,
            job.out.display()
        );
        Ok(Advance::Finished(JobResult { summary, details: value.clone() }))
    }
}

pub(super) fn read_job(spec: &Value) -> Result<ProfileJob, SpecError> {
    serde_json::from_value(spec.clone()).map_err(|error| refuse(format!("the job: {error}")))
}

fn refuse(problem: impl ToString) -> SpecError {
    SpecError { kind: KIND, message: problem.to_string() }
}
