//! A probe as a run sees it: asks for branches, waits, and takes in what they found.

use super::{branch::Branched, files, place::REFERENCE, run::Runner};
use crate::{
    data::Part,
    job::{
        JobError,
        history::Line,
        step::{ProbeId, Ran},
    },
    online::{Fate, Origin, ProbePlan, ProbeReport},
    trainer::Session,
};
use serde::{Deserialize, Serialize};
use std::fs;

/// The file that branches read, and their results.
pub(super) const PLAN: &str = "plan.json";

/// A probe as it was asked for, with the losses that branches begin with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Planned {
    pub(super) plan: ProbePlan,
    pub(super) before: Vec<f64>,
}

impl Runner<'_> {
    /// Takes in a probe whose branches are all there. Otherwise, what the run waits for; branches begin from its checkpoint.
    pub(super) fn probe(
        &mut self,
        session: &mut dyn Session,
        probe: ProbeId,
        plan: &ProbePlan,
        begun: Option<u64>,
    ) -> Result<Option<Ran>, JobError> {
        let folder = self.place.probe(probe);
        let planned: Option<Planned> = files::read(&folder.join(PLAN))?;
        let Some(Planned { before, .. }) = planned.filter(|planned| planned.plan == *plan) else {
            if probe.step > 0 && begun != Some(probe.step) {
                self.save(session)?;
            }
            let before = match (plan.measure, plan.from) {
                (false, _) => vec![],
                (true, Origin::Current) => self.evaluate(session, Part::Validation)?,
                (true, Origin::Start) => self.evaluate_start()?,
            };
            files::folder(&folder, self.place.attempt(), |fresh| {
                let planned = Planned { plan: plan.clone(), before };
                files::write_json(&fresh.join(PLAN), &planned, self.place.attempt())
            })?;
            return Ok(Some(Ran::Probe { probe, branches: plan.branches.len() }));
        };
        let mut branches = vec![];
        for branch in 0..plan.branches.len() {
            match files::read::<Branched>(&folder.join(format!("branch-{branch}/branch.json")))? {
                Some(branched) => branches.push(branched.report),
                None => return Ok(Some(Ran::Probe { probe, branches: plan.branches.len() })),
            }
        }
        if plan.fate == Fate::Reference {
            let reference = self.place.file(REFERENCE);
            files::folder(&reference, self.place.attempt(), |fresh| copy(&folder.join("branch-0/model"), fresh))?;
        }
        let report = ProbeReport { step: probe.step, before, branches };
        self.online.probed(&report)?;
        self.task.context.log(format!("{}: step {}, probed {} branches", self.label, probe.step, report.branches.len()));
        let interactions = self.online.interactions().map(<[_]>::to_vec);
        self.history.push(Line::Probed { report, interactions });
        Ok(None)
    }

    /// The losses of the model that the run began with.
    fn evaluate_start(&self) -> Result<Vec<f64>, JobError> {
        let scratch = self.place.scratch().join("start");
        let mut session = self.task.open(self.id.campaign.seed, self.extent.schedule, None, &scratch)?;
        self.evaluate(&mut *session, Part::Validation)
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> Result<(), JobError> {
    for entry in fs::read_dir(from).map_err(JobError::file("read", from))? {
        let entry = entry.map_err(JobError::file("read", from))?;
        fs::copy(entry.path(), to.join(entry.file_name())).map_err(JobError::file("copy", entry.path()))?;
    }
    Ok(())
}
