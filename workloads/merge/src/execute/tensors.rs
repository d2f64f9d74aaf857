//! Merging a run of tensors, and checking those that somebody claims to have merged.

use super::Job;
use crate::{
    MergeError,
    checkpoint::DataFile,
    open_files::OpenFiles,
    output::{Claim, Digest, Place, Record, ShardFile, Staged, Staging},
    plan::{PlannedPiece, PlannedTensor, Source},
    run::{Input, Passes, Room, Scaling, Target, TensorDigests, Tiles, Whole, each, hash_range},
    step::Merged,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

/// Output files kept open beside those in use.
pub(super) const OPEN: usize = 32;

type Claims = BTreeMap<usize, Claim>;

impl Job<'_> {
    /// Merges the tensors `first..end` that are not done yet.
    pub(super) fn tensors(&self, first: usize, end: usize) -> Result<Merged, MergeError> {
        let count = self.opened.plan.tensors.len();
        if first > end || end > count {
            return Err(MergeError::Task(format!("tensors {first}..{end} of a plan with {count}")));
        }
        let Staged::Open(staging) = self.staged()? else { return Ok(Merged { tensors: 0, reused: end - first, read: 0 }) };
        let mut claims = staging.claims(self.boot, &format!("{}-", self.context.task.index))?;
        claims.retain(|index, _| (first..end).contains(index));
        let kept = self.opened.kept(&staging, self.boot)?;
        claims.extend(kept.range(first..end).map(|(index, claim)| (*index, claim.clone())));
        let mut done = check_claims(self, &staging, claims)?;
        self.only_whole(&mut done);
        let pending: Vec<usize> = (first..end).filter(|index| !done.contains_key(index)).collect();
        let read = self.merge(&staging, &pending)?;
        Ok(Merged { tensors: pending.len(), reused: done.len(), read })
    }

    /// Leaves out the tensors of pieces of which not all are done: a piece is made whole.
    pub(super) fn only_whole(&self, done: &mut Claims) {
        for piece in self.opened.pieces() {
            if !piece.clone().all(|index| done.contains_key(&index)) {
                done.retain(|index, _| !piece.contains(index));
            }
        }
    }

    /// Merges these tensors, and starts to bring them to the disk. Returns the bytes that it read for that.
    pub(super) fn merge(&self, staging: &Staging, pending: &[usize]) -> Result<u64, MergeError> {
        if pending.is_empty() {
            return Ok(0);
        }
        let progress = staging.progress(&self.attempt_name(), self.boot)?;
        let (passes, shards) = (self.passes(), OpenFiles::new(OPEN, ShardFile::open));
        let add = |records: Vec<Record>| records.into_iter().try_for_each(|record| progress.add(record));
        let pieces = self.opened.pieces();
        let (together, alone): (Vec<usize>, Vec<usize>) =
            pending.iter().partition(|index| pieces.iter().any(|piece| piece.contains(index)));
        each(&self.context.pool, &alone, |_, &index| match self.take(staging, index..index + 1, &passes, &shards)? {
            Some(taken) => add(taken),
            None => add(vec![self.merge_one(staging, index, &passes, &shards)?]),
        })?;
        let wanted = |piece: &&PlannedPiece| together.iter().any(|index| piece.tensors.contains(index));
        for batch in batches(self.opened.plan.pieces.iter().filter(wanted), passes.memory) {
            each(&self.context.pool, &batch, |_, piece| match self.take(staging, piece.tensors.clone(), &passes, &shards)? {
                Some(taken) => add(taken),
                None => add(self.make(staging, piece, &passes, &shards)?),
            })?;
        }
        let layout = &self.opened.layout;
        let written: BTreeSet<usize> = pending.iter().map(|&index| layout.places[index].shard).collect();
        let files = written.into_iter().map(|shard| staging.shard(&layout.shards[shard].name)).collect();
        self.flusher.start(&self.opened.folder.staging, files, progress)?;
        Ok(passes.read.into_inner())
    }

    fn merge_one(
        &self,
        staging: &Staging,
        index: usize,
        passes: &Passes<'_>,
        shards: &OpenFiles<ShardFile>,
    ) -> Result<Record, MergeError> {
        let (tensor, target) = self.target(staging, index, shards)?;
        let tiles = Tiles::new(target, self.opened.inputs(tensor, passes)?, passes)?;
        tensor.method.run(&tensor.parameters, &tiles)?;
        let digests = tiles.finish()?;
        Ok(record(index, digests, None))
    }

    /// Makes the tensors of a piece.
    fn make<'a>(
        &'a self,
        staging: &Staging,
        piece: &PlannedPiece,
        passes: &'a Passes<'a>,
        shards: &OpenFiles<ShardFile>,
    ) -> Result<Vec<Record>, MergeError> {
        let found = piece.tensors.clone().map(|index| self.target(staging, index, shards)).collect::<Result<Vec<_>, _>>()?;
        let Some((first, _)) = found.first() else { return Ok(Vec::new()) };
        let whole = |(input, source): (Input<'a>, &'a Source)| Whole { input, name: &source.tensor, shape: &source.shape };
        let sources = self.opened.inputs(first, passes)?.into_iter().zip(&first.sources).map(whole).collect();
        let room = Room::new(sources, found.into_iter().map(|(_, target)| target).collect(), passes)?;
        let mut note = Some(piece.work.run(&room)?);
        let digests = room.finish()?.into_iter();
        Ok(piece.tensors.clone().zip(digests).map(|(index, digests)| record(index, digests, note.take())).collect())
    }

    pub(super) fn target(
        &self,
        staging: &Staging,
        index: usize,
        shards: &OpenFiles<ShardFile>,
    ) -> Result<(&PlannedTensor, Target<'_>), MergeError> {
        let (tensor, place) = self.tensor(index)?;
        let file = shards.get(&staging.shard(&self.opened.layout.shards[place.shard].name))?;
        let parameters = &tensor.parameters;
        let scaling = parameters.scaling.zip(parameters.base).map(|(factor, base)| Scaling { base, factor });
        let (dtype, offset) = (tensor.dtype, place.offset);
        Ok((tensor, Target { name: &tensor.name, dtype, shape: &tensor.shape, file, offset, scaling }))
    }

    pub(super) fn tensor(&self, index: usize) -> Result<(&PlannedTensor, Place), MergeError> {
        let found = self.opened.plan.tensors.get(index).zip(self.opened.layout.places.get(index));
        found.map(|(tensor, place)| (tensor, *place)).ok_or_else(|| MergeError::Task(format!("there is no tensor {index}")))
    }
}

/// Pieces that fit into `memory` together, in order; one that does not is a batch of its own.
pub(super) fn batches<'a>(pieces: impl Iterator<Item = &'a PlannedPiece>, memory: u64) -> Vec<Vec<&'a PlannedPiece>> {
    let mut batches: Vec<Vec<&PlannedPiece>> = Vec::new();
    let mut held = 0u64;
    for piece in pieces {
        held = held.saturating_add(piece.memory);
        match batches.last_mut().filter(|_| held <= memory) {
            Some(batch) => batch.push(piece),
            None => {
                held = piece.memory;
                batches.push(vec![piece]);
            }
        }
    }
    batches
}

fn record(tensor: usize, digests: TensorDigests, note: Option<Value>) -> Record {
    let TensorDigests { output, inputs } = digests;
    Record { tensor, output: Digest(output), inputs: inputs.into_iter().map(Digest).collect(), note, taken: false }
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
