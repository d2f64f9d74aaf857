//! The first task: everything that can be wrong is found here, and what an interrupted run has done is found again.

use super::Job;
use crate::{
    MergeError,
    groups::{survey_groups, whole_groups},
    output::{Output, Staged, Staging},
    plan::PlannedTensor,
    step::{Planned, Surveyed},
    survey::{Answer, tasks_of},
};
use std::{
    thread,
    time::{Duration, Instant},
};

/// How long a staging folder may be in use without saying for which merge.
const NAMED_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(50);

impl Job<'_> {
    /// Makes the staging folder, and shares out the work or what is to be looked at before.
    pub(super) fn plan(&self) -> Result<Planned, MergeError> {
        let mut planned = self.planned()?;
        self.opened.warnings.iter().for_each(|warning| self.context.log(warning.clone()));
        // A flush of an earlier job may still write into the folder that is about to be checked.
        let opened = self.opened;
        if let Output::Folder(folder) = &opened.output {
            self.flusher.finish(&folder.staging)?;
        }
        let Staged::Open(staging) = self.prepared()? else { return Ok(Planned { published: true, ..planned }) };
        match (&opened.plan.survey, staging.answers()?) {
            (Some(case), None) => {
                let read = |tensor: &PlannedTensor| match tensor.is_merged_by(opened.plan.method) {
                    true => tensor.bytes_in(),
                    false => 0,
                };
                let bytes: Vec<u64> = opened.plan.tensors.iter().map(read).collect();
                let (method, groups) = (opened.plan.method.name().to_owned(), survey_groups(&bytes, tasks_of(case)));
                planned.survey = Some(Surveyed { case: case.clone(), groups, method });
                Ok(planned)
            }
            _ => self.share_out(&staging, planned),
        }
    }

    /// The staging folder of this merge. Somebody may be there who has not said for which merge: an attempt at this very step that
    /// was given up, and goes on where its worker stood still. That passes.
    fn prepared(&self) -> Result<Staged, MergeError> {
        let (opened, begun) = (self.opened, Instant::now());
        loop {
            match opened.output.prepare(&opened.record, &opened.layout) {
                Err(error) if begun.elapsed() < NAMED_WITHIN && opened.output.is_in_motion(&error)? => {
                    if self.context.is_cancelled() {
                        return Err(MergeError::Cancelled);
                    }
                    thread::sleep(PAUSE);
                }
                prepared => return prepared,
            }
        }
    }

    /// Keeps what is known about whole models, and shares out the work.
    pub(super) fn spread(&self, answers: Vec<Answer>) -> Result<Planned, MergeError> {
        let planned = self.planned()?;
        let Staged::Open(staging) = self.staged()? else { return Ok(Planned { published: true, ..planned }) };
        staging.keep_answers(&answers)?;
        self.share_out(&staging, planned)
    }

    /// What is known about whole models, where the method has asked.
    pub(super) fn known(&self) -> Result<Vec<Answer>, MergeError> {
        if self.opened.plan.survey.is_none() {
            return Ok(Vec::new());
        }
        match self.staged()? {
            Staged::Open(staging) => {
                let gone = || MergeError::Changed { path: self.opened.output.staging().to_owned() };
                staging.answers()?.ok_or_else(gone)
            }
            Staged::Published => Ok(Vec::new()),
        }
    }

    /// What the merge comes to, before anything is known of earlier runs.
    fn planned(&self) -> Result<Planned, MergeError> {
        let (opened, needed, given) = (self.opened, self.opened.memory(), self.context.memory);
        if needed > given {
            return Err(MergeError::Memory { needed, given });
        }
        Ok(Planned {
            plan: opened.record.plan.clone(),
            published: false,
            tensors: opened.plan.tensors.len(),
            bytes: opened.plan.tensors.iter().map(|tensor| tensor.bytes_in() + tensor.bytes_out()).sum(),
            reused_tensors: 0,
            reused_bytes: 0,
            memory: needed,
            groups: Vec::new(),
            survey: None,
        })
    }

    fn share_out(&self, staging: &Staging, mut planned: Planned) -> Result<Planned, MergeError> {
        let opened = self.opened;
        let moved = |index: usize| opened.plan.tensors.get(index).map_or(0, |tensor| tensor.bytes_in() + tensor.bytes_out());
        let count = opened.plan.tensors.len();
        let kept = match staging {
            Staging::Folder(staging) => self.keep_in_folder(staging)?,
            Staging::Prefix(staging) => self.keep_in_prefix(staging)?,
        };
        planned.reused_tensors = kept.len();
        planned.reused_bytes = kept.keys().map(|&index| moved(index)).sum();
        let pending: Vec<_> = (0..count).map(|index| (!kept.contains_key(&index)).then(|| moved(index))).collect();
        planned.groups = whole_groups(&pending, &opened.unparted());
        if !kept.is_empty() {
            self.context.progress.add_reused(planned.reused_bytes);
            self.context.log(format!("{} of {count} tensors are there from an interrupted run", kept.len()));
        }
        Ok(planned)
    }
}
