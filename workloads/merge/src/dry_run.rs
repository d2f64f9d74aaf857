//! What a merge would do, without doing it.

use crate::{
    MergeError,
    checkpoint::{Sources, url},
    cloud::{Room, sources},
    opened::Opened,
    plan::Summary,
    spec::MergeSpec,
};
use bytesize::ByteSize;
use serde::Serialize;
use std::{fmt, path::PathBuf, sync::Arc, time::Instant};

/// The answer to `--dry-run`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DryRun {
    /// What goes in and comes out.
    #[serde(flatten)]
    pub summary: Summary,
    /// The recipes of the same file whose results it uses, in the order in which they are followed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageRun>,
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

/// What a recipe does whose result others of its file use.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageRun {
    /// Its name.
    pub name: String,
    /// Whether its result is written, and removed in the end; otherwise it is computed as it is read.
    pub written: bool,
    /// What goes in and comes out.
    #[serde(flatten)]
    pub summary: Summary,
}

/// Checks everything that a merge checks before it starts, and says what it would do. Writes nothing.
///
/// # Errors
/// What the merge would fail with.
pub fn dry_run(spec: &MergeSpec) -> Result<DryRun, MergeError> {
    dry_run_in(&sources(Room::LEAST), spec)
}

/// The same, where checkpoints lie in these places.
pub(crate) fn dry_run_in(sources: &Sources, spec: &MergeSpec) -> Result<DryRun, MergeError> {
    let opened = Opened::open(spec, sources)?;
    opened.output.check(&opened.record, opened.written().map(|recipe| recipe.layout.file_bytes()).sum())?;
    let shards = opened.layout.shards.iter().map(|shard| (shard.name.clone(), shard.bytes)).collect();
    let memory = opened.written().map(Opened::memory).max().unwrap_or(0);
    let stage = |stage: &Arc<Opened>| {
        let name = stage.recipe.name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
        StageRun { name, written: !stage.composed, summary: stage.named_summary() }
    };
    let stages: Vec<StageRun> = opened.before.iter().map(stage).collect();
    let warnings = opened.recipes().flat_map(|recipe| recipe.warnings.clone()).collect();
    let mut planned = DryRun { summary: opened.named_summary(), stages, shards, memory, seconds: None, warnings };
    let (read, _, written) = planned.totals();
    let moved = read.saturating_add(written);
    if moved >= WORTH_TELLING {
        planned.seconds = rate(&opened)?.map(|rate| moved as f64 / rate);
    }
    Ok(planned)
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
    let found =
        opened.recipes().flat_map(|recipe| &recipe.checkpoints).flat_map(|checkpoint| checkpoint.found().map(|(path, _)| path));
    for path in found.filter(mounted) {
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

impl DryRun {
    /// The bytes that are read, those of all sources, and those that are written: of the recipe that gives the result and of those whose
    /// results are written first.
    pub fn totals(&self) -> (u64, u64, u64) {
        let written = self.stages.iter().filter(|stage| stage.written).map(|stage| &stage.summary);
        written.chain([&self.summary]).fold((0, 0, 0), |(read, all, out), summary| {
            (read.saturating_add(summary.bytes_read), all.saturating_add(summary.bytes_in), out.saturating_add(summary.bytes_out))
        })
    }
}

impl Opened {
    /// The summary of its plan, in which a model that a recipe makes has that recipe's name.
    fn named_summary(&self) -> Summary {
        let mut summary = self.plan.summary();
        let names = self.made.iter().zip(&self.recipe.models).zip(&mut summary.models);
        for ((_, model), shown) in names.filter(|((made, _), _)| made.model.is_some()) {
            *shown = model.name().into_owned();
        }
        if let Some(donor) = summary.models.get(self.plan.donor) {
            summary.donor.clone_from(donor);
        }
        summary
    }
}

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { method, models, donor, tensors, parameters, dtypes, vocabulary, .. } = &self.summary;
        let (bytes_read, bytes_in, bytes_out) = self.totals();
        for StageRun { name, written, summary } in &self.stages {
            let how = if *written { "written first, and removed in the end" } else { "computed as it is read" };
            writeln!(f, "recipe   {name}: {} of {} models, {how}", summary.method, summary.models.len())?;
        }
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
        writeln!(f, "reads    {} of {}", size(bytes_read), size(bytes_in))?;
        writeln!(f, "writes   {} in {} shards", size(bytes_out), self.shards.len())?;
        write!(f, "memory   at least {} a thread", ByteSize(self.memory).display().iec())?;
        if let Some(seconds) = self.seconds {
            write!(f, "\ntime     at least {seconds:.0} s of reading and writing")?;
        }
        self.warnings.iter().try_for_each(|warning| write!(f, "\nwarning  {warning}"))
    }
}
