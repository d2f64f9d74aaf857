//! `braid merge --dry-run`: everything is checked and nothing written.

use super::merge_error;
use crate::{console::Console, error::Result, exit::Exit, output::fields, units::show_bytes};
use braid_merge::{DryRun, MergeSpec, StageRun};

pub(super) fn run(spec: &MergeSpec, console: &Console) -> Result {
    // The merge itself would end as a failed job.
    let plan = braid_merge::dry_run(spec).map_err(|error| merge_error(Exit::JobFailed, &error))?;
    console.data(&table(&plan))
}

fn table(plan: &DryRun) -> String {
    let summary = &plan.summary;
    let (read, all, written) = plan.totals();
    let stage = |stage: &StageRun| {
        let how = match stage.written {
            true => format!("written first ({}), and removed in the end", show_bytes(stage.summary.bytes_out)),
            false => "computed as it is read".into(),
        };
        ("recipe", Some(format!("{}: {} of {}; {how}", stage.name, stage.summary.method, stage.summary.models.join(", "))))
    };
    let mut rows: Vec<_> = plan.stages.iter().map(stage).collect();
    rows.push(("method", Some(summary.method.to_owned())));
    rows.extend(summary.models.iter().map(|model| ("model", Some(model.clone()))));
    rows.extend([
        ("config of", Some(summary.donor.clone())),
        ("tensors", Some(summary.tensors.to_string())),
        ("parameters", Some(summary.parameters.to_string())),
        ("vocabulary", summary.vocabulary.map(|(tokens, rows)| format!("{tokens} tokens, embeddings of {rows} rows"))),
        ("dtype", Some(summary.dtypes.join(", "))),
        ("reads", Some(format!("{}, of {} of tensors", show_bytes(read), show_bytes(all)))),
        ("writes", Some(show_bytes(written))),
        ("memory", Some(format!("{} at least", show_bytes(plan.memory)))),
        ("time", plan.seconds.map(|seconds| format!("{seconds:.0} s at least, of reading and writing"))),
    ]);
    rows.extend(plan.shards.iter().map(|(name, bytes)| ("file", Some(format!("{name} ({})", show_bytes(*bytes))))));
    fields(&rows)
}
