//! The folder of one run: where it stands, and what is no longer needed of it.

use super::{files, leg::Progress};
use crate::job::{JobError, history::Line, step::ProbeId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Checkpoints whose model is kept: one may still be read by an attempt that was taken for lost.
const KEEP: usize = 2;
const CHECKPOINT: &str = "checkpoint-";
/// In a checkpoint, beside the trainer's own files.
const STATE: &str = "state.json";
const HISTORY: &str = "history.jsonl";
/// The model that excess losses refer to.
pub(super) const REFERENCE: &str = "reference";
/// The trainer's files of a checkpoint.
const MODEL: &str = "model";

/// All that a run goes on from beside the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RunState {
    /// The method with what it has learnt.
    pub(super) online: Value,
    /// Which batches come next.
    pub(super) progress: Progress,
}

/// A run's folder.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) folder: PathBuf,
    attempt: String,
}

/// A checkpoint that is there.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) step: u64,
    pub(super) model: PathBuf,
    pub(super) state: RunState,
}

impl Place {
    pub(super) fn new(folder: PathBuf, attempt: String) -> Self {
        Self { folder, attempt }
    }

    /// Makes the folder. What decides the run's figures is written down, and must be the same when it is continued.
    pub(super) fn claim(&self, identity: &Value) -> Result<(), JobError> {
        fs::create_dir_all(&self.folder).map_err(JobError::file("create", &self.folder))?;
        let path = self.folder.join("run.json");
        match files::read::<Value>(&path)? {
            Some(found) if found == *identity => Ok(()),
            Some(_) => Err(JobError::Other { path: self.folder.clone(), problem: "it was begun with another spec".into() }),
            None => files::write_json(&path, identity, &self.attempt),
        }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A folder for what is only needed for a while.
    pub(super) fn scratch(&self) -> PathBuf {
        self.folder.join(format!(".scratch.{}", self.attempt))
    }

    /// The newest checkpoint.
    pub(super) fn newest(&self) -> Result<Option<Found>, JobError> {
        let Some(step) = self.steps()?.pop() else { return Ok(None) };
        let path = self.checkpoint(step);
        let state = files::read(&path.join(STATE))?;
        let state = state.ok_or_else(|| JobError::Unreadable { path: path.clone(), problem: format!("it has no {STATE}") })?;
        Ok(Some(Found { step, model: path.join(MODEL), state }))
    }

    /// Writes a checkpoint, with the history since the one before; removes the models of older ones.
    pub(super) fn save(
        &self,
        step: u64,
        state: &RunState,
        history: &[Line],
        model: impl FnOnce(&Path) -> Result<(), JobError>,
    ) -> Result<(), JobError> {
        files::folder(&self.checkpoint(step), &self.attempt, |fresh| {
            let folder = fresh.join(MODEL);
            fs::create_dir(&folder).map_err(JobError::file("create", &folder))?;
            model(&folder)?;
            files::write(&fresh.join(HISTORY), Line::encode(history)?.as_bytes(), &self.attempt)?;
            files::write_json(&fresh.join(STATE), state, &self.attempt)
        })?;
        for old in self.steps()?.iter().rev().skip(KEEP) {
            let model = self.checkpoint(*old).join(MODEL);
            if model.exists() {
                fs::remove_dir_all(&model).map_err(JobError::file("remove", &model))?;
            }
        }
        Ok(())
    }

    /// The history of all checkpoints together.
    pub(super) fn history(&self) -> Result<String, JobError> {
        let mut all = String::new();
        for step in self.steps()? {
            let path = self.checkpoint(step).join(HISTORY);
            all += &fs::read_to_string(&path).map_err(JobError::file("read", &path))?;
        }
        Ok(all)
    }

    /// Removes what nobody needs once the run has its result: all checkpoints but the last, whose model it is, and all probes with what they left.
    pub(super) fn clear(&self) -> Result<(), JobError> {
        let mut old: Vec<PathBuf> = self.steps()?.iter().rev().skip(1).map(|step| self.checkpoint(*step)).collect();
        old.extend(
            self.entries()?
                .into_iter()
                .filter(|name| name.starts_with("probe-") || name == REFERENCE)
                .map(|name| self.folder.join(name)),
        );
        old.iter().try_for_each(|path| fs::remove_dir_all(path).map_err(JobError::file("remove", path)))
    }

    /// Removes all models of a run that nobody begins from any more.
    pub(super) fn forget(&self) -> Result<(), JobError> {
        let models = self.steps()?.into_iter().map(|step| self.checkpoint(step).join(MODEL)).filter(|model| model.exists());
        models.into_iter().try_for_each(|model| fs::remove_dir_all(&model).map_err(JobError::file("remove", &model)))
    }

    pub(super) fn probe(&self, probe: ProbeId) -> PathBuf {
        self.folder.join(format!("probe-{}-{}", probe.step, probe.number))
    }

    pub(super) fn attempt(&self) -> &str {
        &self.attempt
    }

    fn checkpoint(&self, step: u64) -> PathBuf {
        self.folder.join(format!("{CHECKPOINT}{step}"))
    }

    /// The steps that have a checkpoint, ascending.
    fn steps(&self) -> Result<Vec<u64>, JobError> {
        let names = self.entries()?;
        let mut steps: Vec<u64> = names.iter().filter_map(|name| name.strip_prefix(CHECKPOINT)?.parse().ok()).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    fn entries(&self) -> Result<Vec<String>, JobError> {
        let names = fs::read_dir(&self.folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let names = names.map_err(JobError::file("read", &self.folder))?;
        Ok(names.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }
}
