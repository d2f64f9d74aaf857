//! Merging a run of tensors. Where they are written, and what was written before, others say: `folder` and `prefix`.

use super::Job;
use crate::{
    MergeError,
    open_files::OpenFiles,
    output::{Digest, Place, Record, ShardFile, Staged, Staging},
    plan::{PlannedPiece, PlannedTensor, Source},
    run::{Input, Passes, Room, Scaling, Target, TensorDigests, Tiles, Whole, each},
    step::Merged,
};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

/// Output files kept open beside those in use.
pub(super) const OPEN: usize = 32;

impl Job<'_> {
    /// Merges the tensors `first..end` that are not done yet.
    pub(super) fn tensors(&self, first: usize, end: usize) -> Result<Merged, MergeError> {
        let count = self.opened.plan.tensors.len();
        if first > end || end > count {
            return Err(MergeError::Task(format!("tensors {first}..{end} of a plan with {count}")));
        }
        match self.staged()? {
            Staged::Open(Staging::Folder(staging)) => self.tensors_in_folder(&staging, first..end),
            Staged::Open(Staging::Prefix(staging)) => self.tensors_in_prefix(&staging, first..end),
            Staged::Published => Ok(Merged { tensors: 0, reused: end - first, read: 0 }),
        }
    }

    /// Leaves out the tensors of which not all that are made together are done: they are made together again.
    pub(super) fn only_whole<T>(&self, done: &mut BTreeMap<usize, T>) {
        for range in self.opened.unparted() {
            if !range.clone().all(|index| done.contains_key(&index)) {
                done.retain(|index, _| !range.contains(index));
            }
        }
    }

    /// Merges these tensors into `shards`, which are known by their names. Returns the bytes that it read for that.
    pub(super) fn merge(
        &self,
        pending: &[usize],
        shards: &OpenFiles<ShardFile>,
        add: impl Fn(Vec<Record>) -> Result<(), MergeError> + Sync,
    ) -> Result<u64, MergeError> {
        let passes = self.passes();
        let pieces = self.opened.pieces();
        let (together, alone): (Vec<usize>, Vec<usize>) =
            pending.iter().partition(|index| pieces.iter().any(|piece| piece.contains(index)));
        each(&self.context.pool, &alone, |_, &index| match self.take(index..index + 1, &passes, shards)? {
            Some(taken) => add(taken),
            None => add(vec![self.merge_one(index, &passes, shards)?]),
        })?;
        let wanted = |piece: &&PlannedPiece| together.iter().any(|index| piece.tensors.contains(index));
        for batch in batches(self.opened.plan.pieces.iter().filter(wanted), passes.memory) {
            each(&self.context.pool, &batch, |_, piece| match self.take(piece.tensors.clone(), &passes, shards)? {
                Some(taken) => add(taken),
                None => add(self.make(piece, &passes, shards)?),
            })?;
        }
        Ok(passes.read.into_inner())
    }

    fn merge_one(&self, index: usize, passes: &Passes<'_>, shards: &OpenFiles<ShardFile>) -> Result<Record, MergeError> {
        let (tensor, target) = self.target(index, shards)?;
        let tiles = Tiles::new(target, self.opened.inputs(tensor, passes)?, passes)?;
        tensor.method.run(&tensor.parameters, &tiles)?;
        let digests = tiles.finish()?;
        Ok(record(index, digests, None))
    }

    /// Makes the tensors of a piece.
    fn make<'a>(
        &'a self,
        piece: &PlannedPiece,
        passes: &'a Passes<'a>,
        shards: &OpenFiles<ShardFile>,
    ) -> Result<Vec<Record>, MergeError> {
        let found = piece.tensors.clone().map(|index| self.target(index, shards)).collect::<Result<Vec<_>, _>>()?;
        let Some((first, _)) = found.first() else { return Ok(Vec::new()) };
        let whole = |(input, source): (Input<'a>, &'a Source)| Whole { input, name: &source.tensor, shape: &source.shape };
        let sources = self.opened.inputs(first, passes)?.into_iter().zip(&first.sources).map(whole).collect();
        let room = Room::new(sources, found.into_iter().map(|(_, target)| target).collect(), passes)?;
        let mut note = Some(piece.work.run(&room)?);
        let digests = room.finish()?.into_iter();
        Ok(piece.tensors.clone().zip(digests).map(|(index, digests)| record(index, digests, note.take())).collect())
    }

    pub(super) fn target(&self, index: usize, shards: &OpenFiles<ShardFile>) -> Result<(&PlannedTensor, Target<'_>), MergeError> {
        let (tensor, place) = self.tensor(index)?;
        let file = shards.get(Path::new(&self.opened.layout.shards[place.shard].name))?;
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
