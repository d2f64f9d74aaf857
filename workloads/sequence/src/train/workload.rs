//! The deciding half: one gang, whose first member's value is the result.

use super::{KIND, TrainError, TrainJob, rank::Outcome};
use braid_workload::{Advance, Demand, JobResult, Member, Plan, Reach, SpecError, TaskSpec, Workload};
use serde_json::Value;

/// Decides what the tasks of a training are.
#[derive(Debug, Clone, Copy, Default)]
pub struct TrainWorkload;

/// Bytes of f32 that a parameter takes with its gradient and two moments.
const BYTES_A_PARAMETER: u64 = 16;

impl Workload for TrainWorkload {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn is_resumable(&self, _: &Value) -> bool {
        true
    }

    fn plan(&self, spec: &Value) -> Result<Plan, SpecError> {
        let job = read_job(spec).map_err(|error| refuse(error.to_string()))?;
        let TrainJob { spec, out, vocabulary } = &job;
        spec.check().and_then(|()| Ok(spec.model.check(*vocabulary)?)).map_err(|error| refuse(error.to_string()))?;
        if !out.is_absolute() {
            return Err(refuse(format!("out is {:?}, not an absolute path", out)));
        }
        let parameters = crate::model::Table::of(&spec.model, *vocabulary).elements() as u64;
        let task = |rank| TaskSpec {
            label: format!("rank {rank} of {}", spec.ranks),
            payload: Value::Null,
            demand: Demand {
                bytes: 0,
                memory: parameters.saturating_mul(BYTES_A_PARAMETER),
                wide: spec.whole_workers,
                gang: Some(Member { rank, size: spec.ranks }),
                ..Demand::default()
            },
        };
        let ranks = if spec.ranks == 1 { "1 rank".into() } else { format!("{} ranks", spec.ranks) };
        Ok(Plan {
            label: format!("{} steps of {parameters} parameters on {ranks} -> {}", spec.steps, out.display()),
            exclusive: Some(format!("out:{}", out.display())),
            state: Value::Null,
            tasks: (0..spec.ranks).map(task).collect(),
        })
    }

    fn reach(&self, spec: &Value) -> Result<Reach, SpecError> {
        Ok(read_job(spec).map_err(|error| refuse(error.to_string()))?.reach())
    }

    fn advance(&self, spec: &Value, _: &Value, _: &TaskSpec, value: &Value, _: usize) -> Result<Advance, SpecError> {
        let job = read_job(spec).map_err(|error| refuse(error.to_string()))?;
        let outcome: Outcome =
            serde_json::from_value(value.clone()).map_err(|error| refuse(format!("a rank's value: {error}")))?;
        let summary = format!(
            "trained {} steps on {} tokens: loss {:.4} -> {:.4} nats a {}, in {}",
            outcome.steps,
            outcome.tokens,
            outcome.first_loss,
            outcome.last_loss,
            job.spec.tokens.unit(),
            job.out.display()
        );
        Ok(Advance::Finished(JobResult { summary, details: value.clone() }))
    }
}

pub(super) fn read_job(spec: &Value) -> Result<TrainJob, TrainError> {
    serde_json::from_value(spec.clone()).map_err(|error| TrainError::Spec { name: "the job".into(), problem: error.to_string() })
}

fn refuse(message: String) -> SpecError {
    SpecError { kind: KIND, message }
}
