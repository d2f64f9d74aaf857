//! The staging folder: where a result is made, and what lets an interrupted merge go on.
//!
//! ```text
//! .OUT.braid/
//!   lock          held by every process that works here
//!   answers.json  what the method has asked about whole models, once it is known
//!   plan.json     which merge this is; written last, so a folder without it is no staging yet
//!   progress/     what each attempt has written
//!   tree/         what becomes OUT
//! ```

use super::{
    files::{read_if_there, remove_folder, replace},
    layout::Layout,
    lock::{Lock, Use},
    progress::{self, Claim, Progress},
    shard_file::ShardFile,
    target::{Found, OutputFolder},
};
use crate::{MergeError, checkpoint::Stamp, survey::Answer};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

const LOCK: &str = "lock";
const PLAN: &str = "plan.json";
const ANSWERS: &str = "answers.json";
const PROGRESS: &str = "progress";
const TREE: &str = "tree";
/// How often a folder is made that others remove at once.
const ENTRIES: usize = 8;
/// How long a folder may take to be removed by whoever replaces it.
const CLEARED_WITHIN: Duration = Duration::from_secs(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(10);
/// The progress file with what a new run takes over from those before it.
const KEPT: &str = "kept.jsonl";

/// Which merge a staging folder belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlanRecord {
    /// The digest of the plan: equal for equal recipes and equal headers.
    pub plan: String,
    /// The files of each model as the planner found them: a file that was replaced by one with the same header shows here.
    pub inputs: Vec<Vec<Stamp>>,
}

/// A staging folder in use; others may work in it too, but nobody replaces it.
#[derive(Debug)]
pub(crate) struct StagingFolder {
    folder: OutputFolder,
    _lock: Lock,
}

impl PlanRecord {
    /// Whether `found` is the result of this merge: of the same plan, and finished after its inputs were last written.
    pub(super) fn made(&self, found: &Found) -> bool {
        let Found::Merge { plan, finished } = found else { return false };
        let since = |stamp: &Stamp| SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::try_from(stamp.modified).unwrap_or(0));
        *plan == self.plan && self.inputs.iter().flatten().all(|stamp| since(stamp) <= *finished)
    }
}

impl StagingFolder {
    /// Makes the staging folder of a merge, or takes up the one that an interrupted run of it left; `None` where the result is there.
    ///
    /// What another merge left there is removed.
    ///
    /// # Errors
    /// The output folder holds something else; there is not enough space; another merge works there now.
    pub(crate) fn prepare(folder: &OutputFolder, plan: &PlanRecord, layout: &Layout) -> Result<Option<Self>, MergeError> {
        let found = folder.find()?;
        if plan.made(&found) {
            return Ok(None);
        }
        if found != Found::Free {
            return Err(folder.not_empty(&found));
        }
        if read_plan(folder)?.as_ref() != Some(plan) {
            clear(folder, plan)?;
        }
        match Self::lay_out(folder, plan, layout) {
            Err(error) if read_plan(folder)?.is_none() => {
                // Nothing in it is of use to anybody.
                let _ = clear(folder, plan);
                Err(error)
            }
            staging => staging.map(Some),
        }
    }

    fn lay_out(folder: &OutputFolder, plan: &PlanRecord, layout: &Layout) -> Result<Self, MergeError> {
        let staged: u64 = layout.shards.iter().map(|shard| allocated(&folder.staging.join(TREE).join(&shard.name))).sum();
        folder.check_space(layout.file_bytes().saturating_sub(staged))?;
        let staging = Self::enter(folder)?;
        // Under the lock: nobody removes what is made from here on.
        for part in [TREE, PROGRESS] {
            let path = folder.staging.join(part);
            fs::create_dir_all(&path).map_err(MergeError::io("create", &path))?;
        }
        for shard in &layout.shards {
            ShardFile::prepare(&staging.shard(&shard.name), shard)?;
        }
        let text = serde_json::to_vec(plan).map_err(|error| MergeError::Task(format!("cannot write the plan: {error}")))?;
        replace(&folder.staging.join(PLAN), &text)?;
        Ok(staging)
    }

    /// Opens the staging folder that was prepared for this merge; `None` where the result is there.
    ///
    /// # Errors
    /// There is none: it was removed, or another merge has taken its place.
    pub(crate) fn open(folder: &OutputFolder, plan: &PlanRecord) -> Result<Option<Self>, MergeError> {
        if plan.made(&folder.find()?) {
            return Ok(None);
        }
        let gone = |path: &Path| MergeError::Changed { path: path.to_owned() };
        match read_plan(folder)? {
            Some(found) if found.plan == plan.plan => Self::lock(folder).map(Some),
            _ => Err(gone(&folder.staging)),
        }
    }

    /// What is known about whole models; `None` where it is not known yet.
    pub(crate) fn answers(&self) -> Result<Option<Vec<Answer>>, MergeError> {
        Ok(read_if_there(&self.folder.staging.join(ANSWERS))?.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    /// Keeps what is known about whole models, for the tasks that merge and for a later run.
    pub(crate) fn keep_answers(&self, answers: &[Answer]) -> Result<(), MergeError> {
        let text = serde_json::to_vec(answers).map_err(|error| MergeError::Task(format!("cannot write answers: {error}")))?;
        replace(&self.folder.staging.join(ANSWERS), &text)
    }

    /// When the merge began: no input was read before.
    pub(crate) fn begun(&self) -> Result<SystemTime, MergeError> {
        // The lock is made with the folder and never written to.
        let lock = self.folder.staging.join(LOCK);
        fs::metadata(&lock).and_then(|metadata| metadata.modified()).map_err(MergeError::io("look at", &lock))
    }

    /// The folder in which this result is made.
    pub(crate) fn folder(&self) -> &OutputFolder {
        &self.folder
    }

    /// The path of a shard.
    pub(crate) fn shard(&self, name: &str) -> PathBuf {
        self.tree().join(name)
    }

    /// The folder that becomes the result.
    pub(crate) fn tree(&self) -> PathBuf {
        self.folder.staging.join(TREE)
    }

    /// Starts the progress file of an attempt; `name` says which, and is the same for no other.
    pub(crate) fn progress(&self, name: &str, boot: &str) -> Result<Progress, MergeError> {
        Progress::create(self.folder.staging.join(PROGRESS).join(format!("{name}.jsonl")), boot)
    }

    /// What is claimed to be written; of all attempts, or of those whose file begins with `prefix`.
    pub(crate) fn claims(&self, boot: &str, prefix: &str) -> Result<BTreeMap<usize, Claim>, MergeError> {
        progress::read(&self.folder.staging.join(PROGRESS), boot, |name| name.ends_with(".jsonl") && name.starts_with(prefix))
    }

    /// What the run before this one had done and this one keeps.
    pub(crate) fn kept(&self, boot: &str) -> Result<BTreeMap<usize, Claim>, MergeError> {
        self.claims(boot, KEPT)
    }

    /// Changes whenever [`kept`](Self::kept) does; `None` where nothing is kept.
    pub(crate) fn kept_stamp(&self) -> Option<Stamp> {
        fs::metadata(self.folder.staging.join(PROGRESS).join(KEPT)).ok().map(|metadata| Stamp::of(&metadata))
    }

    /// Makes `claims`, which have been checked, the only ones.
    pub(crate) fn keep(&self, claims: &BTreeMap<usize, Claim>, boot: &str) -> Result<(), MergeError> {
        let folder = self.folder.staging.join(PROGRESS);
        let old =
            fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(MergeError::io("read", &folder))?;
        let next = folder.join("next");
        let _ = fs::remove_file(&next);
        let progress = Progress::create(next.clone(), boot)?;
        claims.values().try_for_each(|claim| progress.add(claim.record.clone()))?;
        let kept = folder.join(KEPT);
        fs::rename(&next, &kept).map_err(MergeError::io("replace", &kept))?;
        for entry in old.into_iter().filter(|entry| entry.file_name() != KEPT) {
            let _ = fs::remove_file(entry.path());
        }
        Ok(())
    }

    /// Makes the folder, if it is not there, and works in it.
    fn enter(folder: &OutputFolder) -> Result<Self, MergeError> {
        let mut left = ENTRIES;
        loop {
            fs::create_dir_all(&folder.staging).map_err(MergeError::io("create", &folder.staging))?;
            match Self::lock(folder) {
                // Another attempt has removed it between the two.
                Err(MergeError::Io { source, .. }) if left > 0 && source.kind() == io::ErrorKind::NotFound => left -= 1,
                entered => return entered,
            }
        }
    }

    fn lock(folder: &OutputFolder) -> Result<Self, MergeError> {
        let begun = Instant::now();
        loop {
            match Lock::take(&folder.staging.join(LOCK), Use::Together)? {
                Some(lock) => return Ok(Self { folder: folder.clone(), _lock: lock }),
                // Whoever has it alone removes what is there, which is soon done.
                None if begun.elapsed() < CLEARED_WITHIN => thread::sleep(PAUSE),
                None => return Err(MergeError::Busy { path: folder.staging.clone() }),
            }
        }
    }
}

impl OutputFolder {
    /// Whether it was for want of peace that preparing the staging folder failed: somebody works there and has not said for which
    /// merge, or has removed what was just made.
    pub(crate) fn is_in_motion(&self, error: &MergeError) -> Result<bool, MergeError> {
        Ok(match error {
            MergeError::Busy { .. } => read_plan(self)?.is_none(),
            MergeError::Io { path, source, .. } => source.kind() == io::ErrorKind::NotFound && path.starts_with(&self.staging),
            _ => false,
        })
    }
}

/// Removes the staging folder, unless somebody works in it or it is by now that of `plan`: an attempt that was given up may still
/// run, and must not remove what the next one has made.
pub(crate) fn clear(folder: &OutputFolder, plan: &PlanRecord) -> Result<(), MergeError> {
    if !folder.staging.exists() {
        return Ok(());
    }
    let Some(_lock) = Lock::take(&folder.staging.join(LOCK), Use::Alone)? else {
        return Err(MergeError::Busy { path: folder.staging.clone() });
    };
    if read_plan(folder)?.as_ref() == Some(plan) {
        return Ok(());
    }
    // Without the plan the rest is nobody's, should this be interrupted.
    let _ = fs::remove_file(folder.staging.join(PLAN));
    // The lock goes last: while its file is there, nobody else begins to work here.
    remove_folder(&folder.staging.join(TREE))?;
    remove_folder(&folder.staging.join(PROGRESS))?;
    remove_folder(&folder.staging)
}

/// The plan of a staging folder; `None` where there is none that this version can read.
fn read_plan(folder: &OutputFolder) -> Result<Option<PlanRecord>, MergeError> {
    Ok(read_if_there(&folder.staging.join(PLAN))?.and_then(|text| serde_json::from_slice(&text).ok()))
}

/// The bytes that a file takes on disk already.
fn allocated(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.blocks().saturating_mul(512))
}
