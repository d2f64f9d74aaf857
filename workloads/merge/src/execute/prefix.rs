//! Tensors on their way to a store: a task makes whole shards on the disk of its worker, and uploads each as one object.

use super::Job;
use crate::{
    MergeError,
    checkpoint::Upload,
    output::{Record, Scratch, Shard, StagingPrefix},
    step::Merged,
};
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Mutex, PoisonError},
};

type Records = BTreeMap<usize, Record>;

impl Job<'_> {
    /// What an interrupted run has uploaded.
    pub(super) fn keep_in_prefix(&self, staging: &StagingPrefix) -> Result<Records, MergeError> {
        let shards: Vec<&Shard> = self.opened.layout.shards.iter().collect();
        let done = self.uploaded(staging, &shards)?;
        let kept: Vec<&str> = shards.iter().filter(|shard| is_done(shard, &done)).map(|shard| shard.name.as_str()).collect();
        staging.keep(&kept)?;
        Ok(done)
    }

    /// What it had uploaded, as this run began.
    pub(super) fn kept_in_prefix(&self, staging: &StagingPrefix) -> Result<Vec<usize>, MergeError> {
        let kept = staging.kept()?;
        let shards = self.opened.layout.shards.iter().filter(|shard| kept.contains(&shard.name));
        Ok(shards.flat_map(|shard| shard.tensors.iter().copied()).collect())
    }

    /// Makes and uploads those of the shards of these tensors that are not there yet.
    pub(super) fn tensors_in_prefix(&self, staging: &StagingPrefix, range: Range<usize>) -> Result<Merged, MergeError> {
        let shards = self.shards_of(&range);
        let done = self.uploaded(staging, &shards)?;
        let (made, read) = self.make_shards(staging, &shards, &done)?;
        Ok(Merged { tensors: made.len(), reused: done.len(), read })
    }

    /// A record of every tensor, and how many were merged again because their shards are not there.
    pub(super) fn complete_prefix(&self, staging: &StagingPrefix) -> Result<(Records, usize), MergeError> {
        let shards: Vec<&Shard> = self.opened.layout.shards.iter().collect();
        let mut done = self.uploaded(staging, &shards)?;
        let mut repaired = 0;
        for range in self.opened.unparted() {
            let (mut made, _) = self.make_shards(staging, &self.shards_of(&range), &done)?;
            repaired += made.len();
            done.append(&mut made);
        }
        // That of a checkpoint without tensors is in no task.
        let empty: Vec<&Shard> = shards.into_iter().filter(|shard| shard.tensors.is_empty()).collect();
        self.make_shards(staging, &empty, &done)?;
        Ok((done, repaired))
    }

    /// The shards that have some of these tensors.
    fn shards_of(&self, range: &Range<usize>) -> Vec<&Shard> {
        let within = |shard: &&Shard| shard.tensors.iter().any(|index| range.contains(index));
        self.opened.layout.shards.iter().filter(within).collect()
    }

    /// Memory for the parts of an object that are under way: a quarter, as much as for what is read ahead. Nothing is computed meanwhile.
    pub(super) fn upload_memory(&self) -> u64 {
        self.context.memory / 4
    }

    /// The tensors in those of these shards that are there, without those that are to be made again with others.
    fn uploaded(&self, staging: &StagingPrefix, shards: &[&Shard]) -> Result<Records, MergeError> {
        let mut done: Records = staging.done(shards)?.into_iter().map(|record| (record.tensor, record)).collect();
        self.only_whole(&mut done);
        Ok(done)
    }

    /// Makes those of these shards that are not `done`. Returns the records of their tensors, and the bytes that it read for that.
    fn make_shards(&self, staging: &StagingPrefix, shards: &[&Shard], done: &Records) -> Result<(Records, u64), MergeError> {
        let shards: Vec<&Shard> = shards.iter().copied().filter(|shard| !is_done(shard, done)).collect();
        let scratch = Scratch::of(&shards)?;
        let mut pending: Vec<usize> = shards.iter().flat_map(|shard| shard.tensors.iter().copied()).collect();
        pending.sort_unstable();
        let made = Mutex::new(Records::new());
        let add = |records: Vec<Record>| {
            made.lock().unwrap_or_else(PoisonError::into_inner).extend(records.into_iter().map(|record| (record.tensor, record)));
            Ok(())
        };
        let read = self.merge(&pending, &scratch.to_fill(), add)?;
        let made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
        let cancelled = || self.context.is_cancelled();
        for shard in shards {
            let file = scratch.file(shard)?.file();
            let upload = Upload { file, bytes: shard.bytes, memory: self.upload_memory(), cancelled: &cancelled };
            staging.upload(shard, &upload, shard.tensors.iter().filter_map(|index| made.get(index).cloned()).collect())?;
        }
        Ok((made, read))
    }
}

/// Whether all tensors of a shard are done; never where it has none.
fn is_done(shard: &Shard, done: &Records) -> bool {
    !shard.tensors.is_empty() && shard.tensors.iter().all(|index| done.contains_key(index))
}
