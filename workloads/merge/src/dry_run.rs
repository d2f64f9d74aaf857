//! What a merge would do, without doing it.

use crate::{MergeError, opened::Opened, plan::Summary, spec::MergeSpec};
use bytesize::ByteSize;
use serde::Serialize;
use std::fmt;

/// The answer to `--dry-run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DryRun {
    /// What goes in and comes out.
    #[serde(flatten)]
    pub summary: Summary,
    /// The files of tensors that the result has, with their lengths in bytes.
    pub shards: Vec<(String, u64)>,
    /// The least memory that a worker needs for it, in bytes.
    pub memory: u64,
}

/// Checks everything that a merge checks before it starts, and says what it would do. Writes nothing.
///
/// # Errors
/// What the merge would fail with.
pub fn dry_run(spec: &MergeSpec) -> Result<DryRun, MergeError> {
    let opened = Opened::open(spec.clone())?;
    opened.folder.check(&opened.record, opened.layout.file_bytes())?;
    let shards = opened.layout.shards.iter().map(|shard| (shard.name.clone(), shard.bytes)).collect();
    Ok(DryRun { summary: opened.plan.summary(), shards, memory: opened.tile_bytes() })
}

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { method, models, donor, tensors, parameters, dtypes, bytes_in, bytes_out } = &self.summary;
        writeln!(f, "method   {method}")?;
        for (number, model) in models.iter().enumerate() {
            let role = if model == donor { " (config and tokenizer)" } else { "" };
            writeln!(f, "{}  {model}{role}", if number == 0 { "models " } else { "       " })?;
        }
        writeln!(f, "result   {tensors} tensors, {parameters} parameters, {}", dtypes.join(" and "))?;
        writeln!(f, "reads    {}", ByteSize(*bytes_in).display().si())?;
        writeln!(f, "writes   {} in {} shards", ByteSize(*bytes_out).display().si(), self.shards.len())?;
        write!(f, "memory   at least {} a thread", ByteSize(self.memory).display().iec())
    }
}
