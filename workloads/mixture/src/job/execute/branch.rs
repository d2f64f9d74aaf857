//! A branch of a probe: trains beside the run, from its checkpoint or its beginning, and tells what that did to the losses.

use super::{
    Task, files,
    leg::Progress,
    place::Found,
    probe::{PLAN, Planned},
};
use crate::{
    BatchRule,
    data::Part,
    job::{JobError, runs::RunId, step::ProbeId},
    online::{BranchReport, Fate, Origin},
    trainer::Stretch,
};
use serde::{Deserialize, Serialize};
use std::fs;

/// What a branch leaves behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Branched {
    pub(super) report: BranchReport,
}

impl Task<'_> {
    pub(super) fn branch(&self, run: RunId, probe: ProbeId, index: usize) -> Result<(), JobError> {
        let place = self.place(run);
        let folder = place.probe(probe);
        let done = folder.join(format!("branch-{index}"));
        // The run may have gone on, by an attempt that was taken for lost: then nobody waits for this branch.
        if done.exists() || place.file("result.json").exists() {
            return Ok(());
        }
        let path = folder.join(PLAN);
        let planned: Planned = files::read(&path)?.ok_or_else(|| JobError::Unreadable {
            path: path.clone(),
            problem: "it is not there, and so the probe is not".into(),
        })?;
        let missing = || JobError::Unreadable { path: path.clone(), problem: format!("it has no branch {index}") };
        let branch = planned.plan.branches.get(index).ok_or_else(missing)?;
        let found = match planned.plan.from {
            Origin::Start => None,
            Origin::Current => place.newest()?.filter(|found| found.step == probe.step),
        };
        let spec = &self.job.spec;
        // A branch from the beginning is a training of its own; any other goes on as its run would.
        let schedule = if planned.plan.from == Origin::Start { branch.steps } else { spec.steps };
        let scratch = place.scratch();
        let from = found.as_ref().map(|Found { model, step, .. }| (model.as_path(), *step));
        let mut session = self.open(run.campaign.seed, schedule, from, &scratch)?;
        let mut progress = Progress::new(self.data.domains().len(), spec.batch)?;
        let stream = stream(run.campaign.seed, branch.stream);
        let mut step = from.map_or(0, |(_, step)| step);
        let end = step + branch.steps;
        let mut tokens = vec![0; self.data.domains().len()];
        while step < end {
            self.stop_if_told()?;
            let count = (end - step).min(spec.checkpoint_every);
            let batches = progress.batches(count, &branch.proportions, (spec.batch, BatchRule::Exact, stream))?;
            let proportions = &branch.proportions;
            let trained =
                session.train(&Stretch { first: step, proportions, objective: None, stream, batches, excess: false })?;
            self.data.domains().check_len("the trainer's tokens", trained.tokens.len())?;
            tokens.iter_mut().zip(&trained.tokens).for_each(|(total, more)| *total += more);
            self.context.progress.add(trained.tokens.iter().sum());
            step += count;
        }
        let domains: Vec<usize> = (0..tokens.len()).collect();
        let after = if planned.plan.measure { session.evaluate(Part::Validation, &domains, spec.evaluate)? } else { vec![] };
        self.finite("the validation loss after a branch", end, after.iter().copied().map(Some))?;
        let branched = Branched { report: BranchReport { tokens, after } };
        files::folder(&done, place.attempt(), |fresh| {
            if planned.plan.fate == Fate::Reference {
                let model = fresh.join("model");
                fs::create_dir(&model).map_err(JobError::file("create", &model))?;
                session.save(&model)?;
            }
            files::write_json(&fresh.join("branch.json"), &branched, place.attempt())
        })?;
        drop(session);
        // Nobody needs it.
        let _ = fs::remove_dir_all(&scratch);
        Ok(())
    }
}

/// The data of branches is not that of the run: what they see again would not be news to it.
fn stream(seed: u64, number: u64) -> u64 {
    seed ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
