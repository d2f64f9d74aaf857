//! Merging a run of tensors, and checking those that somebody claims to have merged.

use super::Job;
use crate::{
    MergeError,
    checkpoint::DataFile,
    open_files::OpenFiles,
    output::{Claim, Digest, Place, Record, ShardFile, Staged, Staging},
    plan::PlannedTensor,
    run::{Input, Passes, Target, Tiles, each, hash_range},
    step::Merged,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

/// Output files kept open beside those in use.
const OPEN: usize = 32;

type Claims = BTreeMap<usize, Claim>;

impl Job<'_> {
    /// Merges the tensors `first..end` that are not done yet.
    pub(super) fn tensors(&self, first: usize, end: usize) -> Result<Merged, MergeError> {
        let count = self.opened.plan.tensors.len();
        if first > end || end > count {
            return Err(MergeError::Task(format!("tensors {first}..{end} of a plan with {count}")));
        }
        let Staged::Open(staging) = self.staged()? else { return Ok(Merged { tensors: 0, reused: end - first }) };
        let mut claims = staging.claims(self.boot, &format!("{}-", self.context.task.index))?;
        claims.retain(|index, _| (first..end).contains(index));
        let kept = self.opened.kept(&staging, self.boot)?;
        claims.extend(kept.range(first..end).map(|(index, claim)| (*index, claim.clone())));
        let done = check_claims(self, &staging, claims)?;
        let pending: Vec<usize> = (first..end).filter(|index| !done.contains_key(index)).collect();
        self.merge(&staging, &pending)?;
        Ok(Merged { tensors: pending.len(), reused: done.len() })
    }

    /// Merges these tensors, and starts to bring them to the disk.
    pub(super) fn merge(&self, staging: &Staging, pending: &[usize]) -> Result<(), MergeError> {
        if pending.is_empty() {
            return Ok(());
        }
        let progress = staging.progress(&self.attempt_name(), self.boot)?;
        let (passes, shards) = (self.passes(), OpenFiles::new(OPEN, ShardFile::open));
        each(&self.context.pool, pending, |_, &index| {
            let record = self.merge_one(staging, index, &passes, &shards)?;
            progress.add(record)
        })?;
        let layout = &self.opened.layout;
        let written: BTreeSet<usize> = pending.iter().map(|&index| layout.places[index].shard).collect();
        self.flusher.start(written.into_iter().map(|shard| staging.shard(&layout.shards[shard].name)).collect(), progress)
    }

    fn merge_one(
        &self,
        staging: &Staging,
        index: usize,
        passes: &Passes<'_>,
        shards: &OpenFiles<ShardFile>,
    ) -> Result<Record, MergeError> {
        let (tensor, place) = self.tensor(index)?;
        let file = shards.get(&staging.shard(&self.opened.layout.shards[place.shard].name))?;
        let target = Target { name: &tensor.name, dtype: tensor.dtype, shape: &tensor.shape, file, offset: place.offset };
        let tiles = Tiles::new(target, self.inputs(tensor)?, passes)?;
        tensor.method.run(&tensor.parameters, &tiles)?;
        let digests = tiles.finish()?;
        Ok(Record { tensor: index, output: Digest(digests.output), inputs: digests.inputs.into_iter().map(Digest).collect() })
    }

    fn inputs(&self, tensor: &PlannedTensor) -> Result<Vec<Input<'_>>, MergeError> {
        let input = |source: &crate::plan::Source| {
            let opened = self.opened;
            let found = opened.checkpoints.get(source.model).zip(opened.recipe.models.get(source.model));
            let found = found.and_then(|(checkpoint, model)| Some((checkpoint, checkpoint.tensors.get(&source.tensor)?, model)));
            let Some((checkpoint, info, model)) = found else {
                return Err(MergeError::Task(format!(
                    "the plan names tensor {:?} of model {}, which is not there",
                    source.tensor, source.model
                )));
            };
            let file = opened.files.get(&checkpoint.files[info.file])?;
            Ok(Input { model: &model.path, file, offset: info.offset, dtype: info.dtype })
        };
        tensor.sources.iter().map(input).collect()
    }

    fn tensor(&self, index: usize) -> Result<(&PlannedTensor, Place), MergeError> {
        let found = self.opened.plan.tensors.get(index).zip(self.opened.layout.places.get(index));
        found.map(|(tensor, place)| (tensor, *place)).ok_or_else(|| MergeError::Task(format!("there is no tensor {index}")))
    }
}

/// Of these claims, those that are true: the bytes in the staged shard have the digest that is claimed.
///
/// Claims that are trusted are not read again.
pub(super) fn check_claims(job: &Job<'_>, staging: &Staging, claims: Claims) -> Result<Claims, MergeError> {
    let passes = job.passes();
    let shards = OpenFiles::new(OPEN, DataFile::open);
    let list: Vec<(usize, Claim)> = claims.into_iter().collect();
    let kept = Mutex::new(Claims::new());
    each(&job.context.pool, &list, |_, (index, claim)| {
        let Ok((tensor, place)) = job.tensor(*index) else { return Ok(()) };
        let claimed = claim.record.inputs.len() == tensor.sources.len();
        let holds = claimed
            && (claim.trusted || {
                let file = shards.get(&staging.shard(&job.opened.layout.shards[place.shard].name))?;
                hash_range(&file, place.offset, place.bytes, &passes)? == claim.record.output.0
            });
        if holds {
            let claim = Claim { record: claim.record.clone(), trusted: true };
            kept.lock().unwrap_or_else(PoisonError::into_inner).insert(*index, claim);
        }
        Ok(())
    })?;
    Ok(kept.into_inner().unwrap_or_else(PoisonError::into_inner))
}
