//! Tensors in a staging folder: what is claimed to be there, what is true of it, and making the rest.

use super::{Job, tensors::OPEN};
use crate::{
    MergeError,
    checkpoint::DataFile,
    open_files::OpenFiles,
    output::{Claim, Record, ShardFile, StagingFolder},
    run::{each, hash_range},
    step::Merged,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::Path,
    sync::{Mutex, PoisonError},
};

type Claims = BTreeMap<usize, Claim>;

impl Job<'_> {
    /// What an interrupted run has done, checked, from now on the only claims.
    pub(super) fn keep_in_folder(&self, staging: &StagingFolder) -> Result<BTreeMap<usize, Record>, MergeError> {
        let mut claims = staging.claims(self.boot, "")?;
        if !claims.is_empty() {
            self.context.log(format!("checking {} tensors that an interrupted run has written", claims.len()));
        }
        claims.values_mut().for_each(|claim| claim.trusted = false);
        let kept = check_claims(self, staging, claims)?;
        staging.keep(&kept, self.boot)?;
        Ok(records(kept))
    }

    /// Merges those of these tensors that are not done yet.
    pub(super) fn tensors_in_folder(&self, staging: &StagingFolder, range: Range<usize>) -> Result<Merged, MergeError> {
        let mut claims = staging.claims(self.boot, &format!("{}-", self.context.task.index))?;
        claims.retain(|index, _| range.contains(index));
        let kept = self.opened.kept(staging, self.boot)?;
        claims.extend(kept.range(range.clone()).map(|(index, claim)| (*index, claim.clone())));
        let mut done = check_claims(self, staging, claims)?;
        self.only_whole(&mut done);
        let pending: Vec<usize> = range.filter(|index| !done.contains_key(index)).collect();
        let read = self.merge_in_folder(staging, &pending)?;
        Ok(Merged { tensors: pending.len(), reused: done.len(), read })
    }

    /// A record of every tensor, and how many were merged again because their bytes did not outlive the machine that wrote them.
    pub(super) fn complete_folder(&self, staging: &StagingFolder) -> Result<(BTreeMap<usize, Record>, usize), MergeError> {
        self.flusher.finish(&staging.folder().staging)?;
        let mut claims = check_claims(self, staging, staging.claims(self.boot, "")?)?;
        self.only_whole(&mut claims);
        let missing: Vec<usize> = (0..self.opened.plan.tensors.len()).filter(|index| !claims.contains_key(index)).collect();
        if !missing.is_empty() {
            self.context.log(format!("merging {} tensors again whose bytes are not on disk", missing.len()));
            self.merge_in_folder(staging, &missing)?;
            self.flusher.finish(&staging.folder().staging)?;
            let mut again = staging.claims(self.boot, &self.attempt_name())?;
            claims.append(&mut again);
        }
        Ok((records(claims), missing.len()))
    }

    /// Merges these tensors, and starts to bring them to the disk. Returns the bytes that it read for that.
    fn merge_in_folder(&self, staging: &StagingFolder, pending: &[usize]) -> Result<u64, MergeError> {
        if pending.is_empty() {
            return Ok(0);
        }
        let progress = staging.progress(&self.attempt_name(), self.boot)?;
        let tree = staging.tree();
        let shards = OpenFiles::new(OPEN, move |name: &Path| ShardFile::open(&tree.join(name)));
        let read = self.merge(pending, &shards, |records| records.into_iter().try_for_each(|record| progress.add(record)))?;
        let layout = &self.opened.layout;
        let written: BTreeSet<usize> = pending.iter().map(|&index| layout.places[index].shard).collect();
        let files = written.into_iter().map(|shard| staging.shard(&layout.shards[shard].name)).collect();
        self.flusher.start(&staging.folder().staging, files, progress)?;
        Ok(read)
    }
}

fn records(claims: Claims) -> BTreeMap<usize, Record> {
    claims.into_iter().map(|(index, claim)| (index, claim.record)).collect()
}

/// Of these claims, those that are true: the bytes in the staged shard have the digest that is claimed.
///
/// Claims that are trusted are not read again.
fn check_claims(job: &Job<'_>, staging: &StagingFolder, claims: Claims) -> Result<Claims, MergeError> {
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
