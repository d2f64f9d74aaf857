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
use std::{
    fs::File,
    time::{Duration, SystemTime},
};

pub(super) const PLAN: &str = "plan.json";
const ANSWERS: &str = "answers.json";
const KEPT: &str = "kept.json";
const DONE: &str = "done";

/// A place in a store where a merge is under way.
#[derive(Debug)]
pub(crate) struct StagingPrefix {
    prefix: OutputPrefix,
    begun: SystemTime,
}

/// What [`PLAN`] says.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    #[serde(flatten)]
    plan: PlanRecord,
    /// When the merge began, in nanoseconds since 1970, by the clock of the worker that planned it. Without it, so early that nothing is
    /// known to be older.
    #[serde(default)]
    at: u64,
}

/// Whose merge was begun at a place and has not ended.
#[derive(Debug)]
pub(super) enum Whose {
    /// Nobody's.
    Nobodys,
    /// The one that is asked for, which began then.
    Ours(SystemTime),
    /// Another one, or this one with other inputs.
    Others,
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
        if prefix.is_made(plan)? {
            // Left by a run that was killed between its last two steps. What cannot be removed now is only in the way.
            let _ = forget(prefix);
            return Ok(None);
        }
        if let Some(begun) = begun(prefix, plan)? {
            return Ok(Some(Self { prefix: prefix.clone(), begun }));
        }
        prefix.require_free()?;
        let now = SystemTime::now();
        let at = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let text = write(&Begun { plan: plan.clone(), at: u64::try_from(at).unwrap_or(0) })?;
        if prefix.store.create(&object(prefix, PLAN), text)? {
            return Ok(Some(Self { prefix: prefix.clone(), begun: now }));
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
        // Asked first, as tasks do it: one question each.
        match read::<Begun>(prefix, PLAN)? {
            Some(found) if found.plan.plan == plan.plan => Ok(Some(Self { prefix: prefix.clone(), begun: found.begun() })),
            _ if prefix.is_made(plan)? => Ok(None),
            _ => Err(MergeError::Changed { path: prefix.staging.clone().into() }),
        }
    }

    /// When the merge began: no input was read before.
    pub(super) fn begun(&self) -> SystemTime {
        self.begun
    }

    /// What is known about whole models; `None` where it is not known yet.
    pub(super) fn answers(&self) -> Result<Option<Vec<Answer>>, MergeError> {
        read(&self.prefix, ANSWERS)
    }

    /// Keeps what is known about whole models.
    pub(super) fn keep_answers(&self, answers: &[Answer]) -> Result<(), MergeError> {
        self.write(ANSWERS, &answers)
    }

    /// The names of the shards that were there when this run began.
    pub(crate) fn kept(&self) -> Result<Vec<String>, MergeError> {
        Ok(read(&self.prefix, KEPT)?.unwrap_or_default())
    }

    /// Keeps the names of the shards that are there as this run begins.
    pub(crate) fn keep(&self, shards: &[&str]) -> Result<(), MergeError> {
        self.write(KEPT, &shards)
    }

    /// What is in those of these shards that are there, and are what was written.
    pub(crate) fn done(&self, shards: &[&Shard]) -> Result<Vec<Record>, MergeError> {
        let names = self.prefix.store.names(&object(&self.prefix, DONE))?.unwrap_or_default();
        let mut records = Vec::new();
        for shard in shards.iter().filter(|shard| names.contains(&format!("{}.json", shard.name))) {
            let Some(Done { object, tensors }) = read(&self.prefix, &done(shard))? else { continue };
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
                Content::Text(bytes) => self.prefix.store.write(&url, bytes.clone())?,
                Content::Dated(bytes, time) => self.prefix.store.write_dated(&url, bytes.clone(), *time)?,
                Content::CopyOf(path) => {
                    let file = File::open(path).map_err(MergeError::io("open", path))?;
                    let bytes = file.metadata().map_err(MergeError::io("look at", path))?.len();
                    self.prefix.store.upload(&url, &Upload { file: &file, bytes, memory, cancelled })?;
                }
            }
        }
        // The result is there: what cannot be removed now is only in the way.
        let _ = forget(&self.prefix);
        Ok(())
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), MergeError> {
        self.prefix.store.write(&object(&self.prefix, name), write(value)?)
    }
}

impl Begun {
    fn begun(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.at)
    }
}

/// Forgets how a result was made; last of all which merge it was, so that what is left is never taken for another one's.
pub(super) fn forget(prefix: &OutputPrefix) -> Result<(), MergeError> {
    let store = &prefix.store;
    for folder in [&object(prefix, DONE), &prefix.staging] {
        let mut names = store.names(folder)?.unwrap_or_default();
        names.sort_by_key(|name| name == PLAN);
        names.iter().try_for_each(|name| store.remove(&format!("{folder}/{name}")))?;
    }
    Ok(())
}

fn object(prefix: &OutputPrefix, name: &str) -> String {
    format!("{}/{name}", prefix.staging)
}

/// What an object says; `None` where there is none that this version can read.
fn read<T: DeserializeOwned>(prefix: &OutputPrefix, name: &str) -> Result<Option<T>, MergeError> {
    Ok(prefix.store.read(&object(prefix, name))?.and_then(|text| serde_json::from_slice(&text).ok()))
}

/// Whose merge was begun here and has not ended.
pub(super) fn whose(prefix: &OutputPrefix, plan: &PlanRecord) -> Result<Whose, MergeError> {
    let Some(text) = prefix.store.read(&object(prefix, PLAN))? else { return Ok(Whose::Nobodys) };
    Ok(match serde_json::from_slice::<Begun>(&text) {
        Ok(found) if found.plan == *plan => Whose::Ours(found.begun()),
        _ => Whose::Others,
    })
}

/// When the merge of this record was begun here, if it was and has not ended.
///
/// # Errors
/// Another one was.
pub(super) fn begun(prefix: &OutputPrefix, plan: &PlanRecord) -> Result<Option<SystemTime>, MergeError> {
    match whose(prefix, plan)? {
        Whose::Nobodys => Ok(None),
        Whose::Ours(begun) => Ok(Some(begun)),
        Whose::Others => Err(prefix.refuse(
            format!("another merge was begun there and has not ended, or this one with other inputs: {}", object(prefix, PLAN)),
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
