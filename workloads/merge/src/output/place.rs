//! Where a result goes and is made: in a folder, or below a URL of a store.

use super::{
    files::remove_folder,
    layout::Layout,
    prefix::OutputPrefix,
    staging::{PlanRecord, StagingFolder},
    staging_prefix::StagingPrefix,
    target::OutputFolder,
};
use crate::{MergeError, survey::Answer};
use std::{path::Path, time::SystemTime};

/// Where a result goes.
#[derive(Debug, Clone)]
pub(crate) enum Output {
    /// A folder that is given its name at once.
    Folder(OutputFolder),
    /// A folder of a store, whose manifest comes last.
    Prefix(OutputPrefix),
}

/// Where it is made.
#[derive(Debug)]
pub(crate) enum Staging {
    /// Beside the folder.
    Folder(StagingFolder),
    /// At its place, and what must be remembered beside it.
    Prefix(StagingPrefix),
}

/// What stands where a result is to be made.
#[derive(Debug)]
pub(crate) enum Staged {
    /// Work to do, of which an interrupted run of the same merge may have done some.
    Open(Staging),
    /// The result of this very merge.
    Published,
}

impl Output {
    /// What the result will be, as a path or URL.
    pub(crate) fn out(&self) -> &Path {
        match self {
            Self::Folder(folder) => &folder.out,
            Self::Prefix(prefix) => Path::new(&prefix.out),
        }
    }

    /// What is kept while it is made, as a path or URL.
    pub(crate) fn staging(&self) -> &Path {
        match self {
            Self::Folder(folder) => &folder.staging,
            Self::Prefix(prefix) => Path::new(&prefix.staging),
        }
    }

    /// Requires that a result of `bytes` bytes could be made here for the merge of this record, or is there already, which is what it
    /// returns; writes nothing.
    pub(crate) fn check(&self, plan: &PlanRecord, bytes: u64) -> Result<bool, MergeError> {
        match self {
            Self::Folder(folder) => folder.check(plan, bytes),
            Self::Prefix(prefix) => prefix.check(plan),
        }
    }

    /// The same before recipes whose results it uses have been followed. In a store, where no lock goes with a process, the merge takes
    /// the place now: what is kept beside it for those recipes is from here on its own.
    pub(crate) fn reserve(&self, plan: &PlanRecord) -> Result<bool, MergeError> {
        match self {
            Self::Folder(folder) => folder.check(plan, 0),
            Self::Prefix(prefix) => Ok(StagingPrefix::prepare(prefix, plan)?.is_none()),
        }
    }

    /// Removes what was made here of other inputs than those of this record. Only for a place that no user has named.
    pub(crate) fn make_way(&self, plan: &PlanRecord) -> Result<(), MergeError> {
        match self {
            Self::Folder(folder) => folder.make_way(plan),
            Self::Prefix(prefix) => prefix.make_way(plan),
        }
    }

    /// Removes the folder in which it lies, with all that is in it. Only for one that no user has named.
    pub(crate) fn remove_parent(&self) -> Result<(), MergeError> {
        match self {
            Self::Folder(folder) => remove_folder(folder.parent()),
            Self::Prefix(prefix) => prefix.remove_parent(),
        }
    }

    /// Begins a merge here, or takes up what an interrupted run of it left.
    ///
    /// # Errors
    /// Something else is there; another merge works there.
    pub(crate) fn prepare(&self, plan: &PlanRecord, layout: &Layout) -> Result<Staged, MergeError> {
        Ok(Staged::of(match self {
            Self::Folder(folder) => StagingFolder::prepare(folder, plan, layout)?.map(Staging::Folder),
            Self::Prefix(prefix) => StagingPrefix::prepare(prefix, plan)?.map(Staging::Prefix),
        }))
    }

    /// Goes on with the merge that was begun here.
    ///
    /// # Errors
    /// It was not, or another one has taken its place.
    pub(crate) fn open(&self, plan: &PlanRecord) -> Result<Staged, MergeError> {
        Ok(Staged::of(match self {
            Self::Folder(folder) => StagingFolder::open(folder, plan)?.map(Staging::Folder),
            Self::Prefix(prefix) => StagingPrefix::open(prefix, plan)?.map(Staging::Prefix),
        }))
    }

    /// Whether it was for want of peace that [preparing](Self::prepare) failed.
    pub(crate) fn is_in_motion(&self, error: &MergeError) -> Result<bool, MergeError> {
        match self {
            Self::Folder(folder) => folder.is_in_motion(error),
            Self::Prefix(_) => Ok(false),
        }
    }
}

impl Staged {
    fn of(open: Option<Staging>) -> Self {
        open.map_or(Self::Published, Self::Open)
    }
}

impl Staging {
    /// When the merge began: no input was read before.
    pub(crate) fn begun(&self) -> Result<SystemTime, MergeError> {
        match self {
            Self::Folder(folder) => folder.begun(),
            Self::Prefix(prefix) => Ok(prefix.begun()),
        }
    }

    /// What is known about whole models; `None` where it is not known yet.
    pub(crate) fn answers(&self) -> Result<Option<Vec<Answer>>, MergeError> {
        match self {
            Self::Folder(folder) => folder.answers(),
            Self::Prefix(prefix) => prefix.answers(),
        }
    }

    /// Keeps what is known about whole models, for the tasks that merge and for a later run.
    pub(crate) fn keep_answers(&self, answers: &[Answer]) -> Result<(), MergeError> {
        match self {
            Self::Folder(folder) => folder.keep_answers(answers),
            Self::Prefix(prefix) => prefix.keep_answers(answers),
        }
    }
}
