//! The doing half: one rank of a training.

use super::{KIND, rank, workload::read_job};
use braid_gpu::Attending;
use braid_workload::{Execute, Failure, Reach, TaskContext, TaskSpec};
use serde_json::Value;
use std::sync::Arc;

/// Runs ranks of trainings.
#[derive(Debug, Clone, Default)]
pub struct TrainExecute {
    gpus: Arc<Attending>,
}

impl TrainExecute {
    /// One whose attention these GPUs compute where they can.
    pub fn on(gpus: Arc<Attending>) -> Self {
        Self { gpus }
    }
}

impl Execute for TrainExecute {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn reach(&self, spec: &Value) -> Result<Reach, Failure> {
        Ok(read_job(spec).map_err(Failure::from)?.reach())
    }

    fn run(&self, spec: &Value, task: &TaskSpec, context: &TaskContext) -> Result<Value, Failure> {
        let job = read_job(spec).map_err(Failure::from)?;
        // A rank waits for others in the middle of its work. On threads of its own it never holds up theirs, which it waits for.
        let threads = if task.demand.wide { context.pool.current_num_threads() } else { 1 };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|error| Failure::retry(format!("cannot start {threads} threads for a rank: {error}")))?;
        let outcome = context
            .together(|exchange| pool.install(|| rank::run(&job, context, exchange, &self.gpus)))
            .map_err(Failure::from)?;
        serde_json::to_value(outcome).map_err(|error| Failure::fatal(format!("the outcome of a rank: {error}")))
    }
}
