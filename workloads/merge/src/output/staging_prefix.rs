//! What lets an interrupted merge into a store go on.
//!
//! ```text
//! s3://bucket/.OUT.braid/
//!   plan.json      which merge this is; made first, only where there is none, and removed last
//!   answers.json   what the method has asked about whole models, once it is known
//!   kept.json      the shards that were there when this run began
//!   done/          for each shard that is there, what tells it from others, and the records of its tensors
//! ```
//!
//! A store has no locks that go with a process: who finds the plan of another merge there cannot tell whether somebody works on it,
//! and leaves it alone. Two runs of one merge do each other no harm, as they write the same bytes.

use super::{
    layout::Shard,
    prefix::OutputPrefix,
    progress::Record,
    publish::{Content, Extra},
    staging::PlanRecord,
    target::MANIFEST,
};
use crate::{
    MergeError,
    checkpoint::{Upload, Written},
    survey::Answer,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fs::File;

const PLAN: &str = "plan.json";
const ANSWERS: &str = "answers.json";
const KEPT: &str = "kept.json";
const DONE: &str = "done";

/// A place in a store where a merge is under way.
#[derive(Debug)]
pub(crate) struct StagingPrefix {
    prefix: OutputPrefix,
}

/// What [`DONE`] says of a shard.
#[derive(Debug, Serialize, Deserialize)]
struct Done {
    /// The object.
    object: Written,
    /// What was written into it.
    tensors: Vec<Record>,
}

impl StagingPrefix {
    /// Begins the merge, or takes up what an interrupted run of it left; `None` where the result is there.
    ///
    /// # Errors
    /// The output holds something else; another merge was begun there.
    pub(super) fn prepare(prefix: &OutputPrefix, plan: &PlanRecord) -> Result<Option<Self>, MergeError> {
        let staging = Self { prefix: prefix.clone() };
        if prefix.is_made(plan)? {
            // Left by a run that was killed between its last two steps.
            staging.remove();
            return Ok(None);
        }
        if begun(prefix, plan)? {
            return Ok(Some(staging));
        }
        prefix.require_free()?;
        if prefix.store.create(&staging.object(PLAN), write(plan)?)? {
            return Ok(Some(staging));
        }
        // Another was quicker.
        begun(prefix, plan)?;
        Self::open(prefix, plan)
    }

    /// Goes on with the merge that was begun here; `None` where the result is there.
    ///
    /// # Errors
    /// None was begun, or another one.
    pub(super) fn open(prefix: &OutputPrefix, plan: &PlanRecord) -> Result<Option<Self>, MergeError> {
        let staging = Self { prefix: prefix.clone() };
        // Asked first, as tasks do it: one question each.
        match staging.read::<PlanRecord>(PLAN)? {
            Some(found) if found.plan == plan.plan => Ok(Some(staging)),
            _ if prefix.is_made(plan)? => Ok(None),
            _ => Err(MergeError::Changed { path: prefix.staging.clone().into() }),
        }
    }

    /// What is known about whole models; `None` where it is not known yet.
    pub(super) fn answers(&self) -> Result<Option<Vec<Answer>>, MergeError> {
        self.read(ANSWERS)
    }

    /// Keeps what is known about whole models.
    pub(super) fn keep_answers(&self, answers: &[Answer]) -> Result<(), MergeError> {
        self.write(ANSWERS, &answers)
    }

    /// The names of the shards that were there when this run began.
    pub(crate) fn kept(&self) -> Result<Vec<String>, MergeError> {
        Ok(self.read(KEPT)?.unwrap_or_default())
    }

    /// Keeps the names of the shards that are there as this run begins.
    pub(crate) fn keep(&self, shards: &[&str]) -> Result<(), MergeError> {
        self.write(KEPT, &shards)
    }

    /// What is in those of these shards that are there, and are what was written.
    pub(crate) fn done(&self, shards: &[&Shard]) -> Result<Vec<Record>, MergeError> {
        let names = self.prefix.store.names(&self.object(DONE))?.unwrap_or_default();
        let mut records = Vec::new();
        for shard in shards.iter().filter(|shard| names.contains(&format!("{}.json", shard.name))) {
            let Some(Done { object, tensors }) = self.read(&done(shard))? else { continue };
            if self.prefix.store.look(&self.prefix.object(&shard.name))? == Some(object) {
                records.extend(tensors.into_iter().filter(|record| shard.tensors.contains(&record.tensor)));
            }
        }
        Ok(records)
    }

    /// Uploads a shard that holds these tensors.
    pub(crate) fn upload(&self, shard: &Shard, upload: &Upload<'_>, tensors: Vec<Record>) -> Result<(), MergeError> {
        let object = self.prefix.store.upload(&self.prefix.object(&shard.name), upload)?;
        self.write(&done(shard), &Done { object, tensors })
    }

    /// Writes all other files of the result, the manifest last, and forgets how it was made. All shards must be there.
    ///
    /// Every step may be repeated: a publish that was killed and is run again leaves the same objects.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub(crate) fn publish(self, extras: &[Extra], memory: u64, cancelled: &(dyn Fn() -> bool + Sync)) -> Result<(), MergeError> {
        let (last, first): (Vec<&Extra>, Vec<&Extra>) = extras.iter().partition(|extra| extra.name == MANIFEST);
        for extra in first.into_iter().chain(last) {
            if cancelled() {
                return Err(MergeError::Cancelled);
            }
            let url = self.prefix.object(&extra.name);
            match &extra.content {
                Content::Text(bytes) | Content::Dated(bytes, _) => self.prefix.store.write(&url, bytes.clone())?,
                Content::CopyOf(path) => {
                    let file = File::open(path).map_err(MergeError::io("open", path))?;
                    let bytes = file.metadata().map_err(MergeError::io("look at", path))?.len();
                    self.prefix.store.upload(&url, &Upload { file: &file, bytes, memory, cancelled })?;
                }
            }
        }
        self.remove();
        Ok(())
    }

    /// Forgets how the result was made. It is there: what cannot be removed now is only in the way.
    fn remove(&self) {
        let store = &self.prefix.store;
        let done = self.object(DONE);
        for folder in [&done, &self.prefix.staging] {
            let mut names = store.names(folder).ok().flatten().unwrap_or_default();
            names.sort_by_key(|name| name == PLAN);
            names.iter().for_each(|name| drop(store.remove(&format!("{folder}/{name}"))));
        }
    }

    fn object(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix.staging)
    }

    /// What an object says; `None` where there is none that this version can read.
    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, MergeError> {
        Ok(self.prefix.store.read(&self.object(name))?.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), MergeError> {
        self.prefix.store.write(&self.object(name), write(value)?)
    }
}

/// Whether the merge of this record was begun here and has not ended.
///
/// # Errors
/// Another one was.
pub(super) fn begun(prefix: &OutputPrefix, plan: &PlanRecord) -> Result<bool, MergeError> {
    let url = format!("{}/{PLAN}", prefix.staging);
    let Some(text) = prefix.store.read(&url)? else { return Ok(false) };
    match serde_json::from_slice::<PlanRecord>(&text) {
        Ok(found) if found == *plan => Ok(true),
        _ => Err(prefix.refuse(
            format!("another merge was begun there and has not ended, or this one with other inputs: {url}"),
            "run that one again, or choose another folder; where nobody works on it, remove both folders",
        )),
    }
}

fn done(shard: &Shard) -> String {
    format!("{DONE}/{}.json", shard.name)
}

fn write(value: &impl Serialize) -> Result<Vec<u8>, MergeError> {
    serde_json::to_vec(value).map_err(|error| MergeError::Task(format!("cannot write the state of a merge: {error}")))
}
