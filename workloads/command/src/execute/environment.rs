//! The variables that a program finds beside those of its worker. Pure.
//!
//! Later ones win: what `torch.distributed` expects, then the job's own, then `BRAID_*`, which say who the program is.

use super::rendezvous::Gang;
use crate::{CommandSpec, guard::MARK, workload::Payload};
use braid_workload::TaskContext;

/// Name and value of each.
pub(super) fn variables(
    spec: &CommandSpec,
    payload: Payload,
    context: &TaskContext,
    gang: Option<&Gang>,
    mark: &str,
) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    let mut set = |name: &str, value: String| variables.push((name.to_owned(), value));
    if spec.gpus > 0 {
        let own = || context.gpus.as_slice();
        set("CUDA_VISIBLE_DEVICES", gang.and_then(Gang::visible_gpus).unwrap_or_else(own).join(","));
    }
    if let Some(gang) = gang {
        set("MASTER_ADDR", gang.master.0.clone());
        set("MASTER_PORT", gang.master.1.to_string());
        set("RANK", gang.rank.to_string());
        set("WORLD_SIZE", gang.size.to_string());
        set("LOCAL_RANK", gang.local_rank.to_string());
        set("LOCAL_WORLD_SIZE", gang.local_size.to_string());
        set("NODE_RANK", gang.node_rank.to_string());
    }
    for (name, value) in &spec.env {
        set(name, value.clone());
    }
    set("BRAID_JOB", context.task.job.to_string());
    set("BRAID_TASK", context.task.to_string());
    set("BRAID_ATTEMPT", context.attempt.to_string());
    if spec.resumable && context.attempt.0 > 1 {
        set("BRAID_RESUME", "1".into());
    }
    set("BRAID_CPUS", spec.cpus.to_string());
    if let Some(bytes) = spec.memory {
        set("BRAID_MEMORY", bytes.to_string());
    }
    if let Some(index) = payload.index {
        set("BRAID_ARRAY_INDEX", index.to_string());
    }
    set(MARK, mark.to_owned());
    variables
}
