//! The doing half: one rank of a measurement.

use super::{Fit, KIND, fit, measure::measure, workload::read_job};
use crate::train::{TrainError, measured_profile};
use braid_workload::{Execute, Failure, Reach, TaskContext, TaskSpec};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs;

/// Runs ranks of measurements.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProfileExecute;

/// What a measurement comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) fit: Fit,
    pub(super) samples: usize,
}

impl Execute for ProfileExecute {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn reach(&self, spec: &Value) -> Result<Reach, Failure> {
        Ok(read_job(spec).map_err(|error| Failure::fatal(error.to_string()))?.reach())
    }

    fn run(&self, spec: &Value, task: &TaskSpec, context: &TaskContext) -> Result<Value, Failure> {
        let job = read_job(spec).map_err(|error| Failure::fatal(error.to_string()))?;
        let threads = if task.demand.wide { context.pool.current_num_threads() } else { 1 };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|error| Failure::retry(format!("cannot start {threads} threads for a rank: {error}")))?;
        let measured = context.together(|exchange| {
            let leads = exchange.rank() == 0;
            let samples = pool.install(|| {
                measure((&job.spec, job.vocabulary), exchange, |sample| {
                    if leads {
                        let (degree, tokens, millis) = (sample.degree, sample.tokens, sample.millis);
                        context.log(format!("{degree} ranks, {tokens} tokens: {millis:.2} ms"));
                    }
                })
            })?;
            let problem = || TrainError::Field { field: "context", problem: "it is too short to tell lengths apart".into() };
            let fit = fit(&samples).ok_or_else(problem)?;
            if leads {
                let text = serde_saphyr::to_string(&measured_profile(&job.spec, &fit))
                    .map_err(|error| TrainError::Field { field: "profile", problem: error.to_string() })?;
                fs::write(&job.out, text).map_err(TrainError::file("write", &job.out))?;
            }
            exchange.barrier()?;
            Ok::<_, TrainError>(Measured { fit, samples: samples.len() })
        });
        let measured = measured.map_err(Failure::from)?;
        serde_json::to_value(measured).map_err(|error| Failure::fatal(format!("the outcome of a rank: {error}")))
    }
}
