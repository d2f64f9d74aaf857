//! What a merge would do, without doing it.

use crate::{
    MergeError,
    checkpoint::url,
    cloud::{Room, sources},
    opened::Opened,
    plan::Summary,
    spec::MergeSpec,
};
use bytesize::ByteSize;
use serde::Serialize;
use std::{fmt, path::PathBuf, time::Instant};

/// The answer to `--dry-run`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DryRun {
    /// What goes in and comes out.
    #[serde(flatten)]
    pub summary: Summary,
    /// The files of tensors that the result has, with their lengths in bytes.
    pub shards: Vec<(String, u64)>,
    /// The least memory that a worker needs for it, in bytes.
    pub memory: u64,
    /// How long reading and writing takes at least, at the rate at which some of the inputs were just read; only for merges that
    /// read so much that it matters.
    pub seconds: Option<f64>,
    /// What a person should know about the result.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Checks everything that a merge checks before it starts, and says what it would do. Writes nothing.
///
/// # Errors
/// What the merge would fail with.
pub fn dry_run(spec: &MergeSpec) -> Result<DryRun, MergeError> {
    let opened = Opened::open(spec.clone(), &sources(Room::LEAST))?;
    opened.folder.check(&opened.record, opened.layout.file_bytes())?;
    let shards = opened.layout.shards.iter().map(|shard| (shard.name.clone(), shard.bytes)).collect();
    let summary = opened.plan.summary();
    let moved = summary.bytes_read.saturating_add(summary.bytes_out);
    let seconds = if moved < WORTH_TELLING { None } else { rate(&opened)?.map(|rate| moved as f64 / rate) };
    let memory = opened.tile_bytes().max(opened.piece_bytes()).saturating_mul(2);
    Ok(DryRun { summary, shards, memory, seconds, warnings: opened.warnings })
}

/// Merges that move less than this take seconds, whatever the disk.
const WORTH_TELLING: u64 = 1 << 30;
/// What is read to measure a disk: what a few reads of a large file take.
const SAMPLE: usize = 128 << 20;
/// One read of it.
const PIECE: usize = 4 << 20;

/// The bytes a second at which the inputs can be read, from the ends of their files, which a cache holds less often than their
/// beginnings.
fn rate(opened: &Opened) -> Result<Option<f64>, MergeError> {
    let mut buffer = vec![0; PIECE];
    let (mut read, start) = (0, Instant::now());
    // What comes over a network would be paid for only to tell how long it takes.
    let mounted = |path: &&PathBuf| url(path).is_none();
    for path in opened.checkpoints.iter().flat_map(|checkpoint| &checkpoint.files).filter(mounted) {
        let file = opened.files.get(path)?;
        let mut end = file.stamp()?.bytes;
        while end >= PIECE as u64 && read < SAMPLE {
            end -= PIECE as u64;
            file.read_exact_at(&mut buffer, end)?;
            read += PIECE;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok((read > 0 && seconds > 0.0).then(|| read as f64 / seconds))
}

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { method, models, donor, tensors, parameters, dtypes, bytes_in, bytes_read, bytes_out, vocabulary } =
            &self.summary;
        writeln!(f, "method   {method}")?;
        for (number, model) in models.iter().enumerate() {
            let role = if model == donor { " (config and tokenizer)" } else { "" };
            writeln!(f, "{}  {model}{role}", if number == 0 { "models " } else { "       " })?;
        }
        writeln!(f, "result   {tensors} tensors, {parameters} parameters, {}", dtypes.join(" and "))?;
        if let Some((tokens, rows)) = vocabulary {
            writeln!(f, "tokens   {tokens}, embeddings of {rows} rows")?;
        }
        let size = |bytes: u64| ByteSize(bytes).display().si();
        writeln!(f, "reads    {} of {}", size(*bytes_read), size(*bytes_in))?;
        writeln!(f, "writes   {} in {} shards", ByteSize(*bytes_out).display().si(), self.shards.len())?;
        write!(f, "memory   at least {} a thread", ByteSize(self.memory).display().iec())?;
        if let Some(seconds) = self.seconds {
            write!(f, "\ntime     at least {seconds:.0} s of reading and writing")?;
        }
        self.warnings.iter().try_for_each(|warning| write!(f, "\nwarning  {warning}"))
    }
}
