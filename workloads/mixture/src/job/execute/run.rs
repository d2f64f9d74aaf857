//! Takes a run from its last checkpoint to the next, to a probe that it waits for, or to its result.
//!
//! ```text
//!   newest checkpoint ─ method: next() ─┬─ Measure ─ evaluate ──────────────┐
//!                                       ├─ Train ── batches, until the next │─ observe() ─ again
//!                                       │           checkpoint ─▶ save, On  │
//!                                       ├─ Probe ── all there? ─ probed() ──┘
//!                                       │           else save ─▶ Probe
//!                                       └─ Done ─── test ─▶ result, Ended
//! ```
//!
//! Checkpoints are at multiples of `checkpoint_every` and where a probe waits, wherever the run was interrupted: so the steps are cut
//! into the same stretches each time.

use super::{
    Task, files,
    leg::Progress,
    place::{Found, Place, REFERENCE, RunState},
};
use crate::{
    Proportions,
    data::Part,
    job::{
        JobError,
        history::{Line, shares},
        result::RunResult,
        runs::{Extent, Role, RunId},
        step::{ProbeId, Ran},
    },
    online::{Directive, Leg, Needs, Observation, Online},
    trainer::{Sample, Session, Stretch},
};
use serde_json::json;
use std::{fs, path::PathBuf};

/// What a run leaves behind.
pub(super) const RESULT: &str = "result.json";
/// Lines that a run tells of its progress.
const LINES: u64 = 20;

/// A run at work.
pub(super) struct Runner<'a> {
    pub(super) task: &'a Task<'a>,
    pub(super) id: RunId,
    pub(super) label: String,
    pub(super) place: Place,
    pub(super) online: Online,
    pub(super) progress: Progress,
    /// Since the last checkpoint.
    pub(super) history: Vec<Line>,
    /// Probes made at this step.
    pub(super) probes: u32,
    pub(super) extent: Extent,
}

impl Task<'_> {
    pub(super) fn place(&self, run: RunId) -> Place {
        Place::new(self.job.out.join(run.folder(&self.job.spec)), self.attempt_name())
    }

    pub(super) fn run(&self, id: RunId) -> Result<Ran, JobError> {
        let place = self.place(id);
        if place.file(RESULT).exists() {
            // Whoever wrote it may have been killed right after.
            place.clear()?;
            self.forget_others(id)?;
            return Ok(Ran::Ended);
        }
        let spec = &self.job.spec;
        let extent = id.extent(spec);
        let seed = id.campaign.seed;
        let settings = self.laws().settings_of(id)?;
        place.claim(&json!({ "method": settings, "steps": extent.steps, "from": extent.before, "seed": seed }))?;
        let found = place.newest()?;
        let begins_from = match (&found, id.begins_from(spec)) {
            (None, Some(earlier)) => Some(self.ended(earlier)?),
            _ => None,
        };
        let (online, progress) = match (&found, &begins_from) {
            (Some(found), _) => (Online::restore(found.state.online.clone())?, found.state.progress.clone()),
            (None, earlier) => {
                let fresh = || Progress::new(self.data.domains().len(), spec.batch);
                let progress = earlier.as_ref().map_or_else(fresh, |earlier| Ok(earlier.state.progress.clone()))?;
                (Online::new(&settings, spec.run(self.data.sizes(), seed, extent.steps)?)?, progress)
            }
        };
        if let Some(found) = &found {
            self.context.log(format!("{}: going on from step {} of {}", id.label(spec), found.step, extent.steps));
        }
        let scratch = place.scratch();
        let from = match (&found, &begins_from) {
            (Some(found), _) => Some((found.model.as_path(), extent.before + found.step)),
            (None, Some(earlier)) => Some((earlier.model.as_path(), extent.before)),
            (None, None) => None,
        };
        let mut session = self.open(seed, extent.schedule, from, &scratch)?;
        let begun = found.as_ref().map(|found| found.step);
        let label = id.label(spec);
        let mut runner = Runner { task: self, id, label, place, online, progress, history: vec![], probes: 0, extent };
        let ran = runner.go(&mut *session, begun);
        drop(session);
        // Whatever became of the run: nobody needs it.
        let _ = fs::remove_dir_all(&scratch);
        ran
    }

    /// The last checkpoint of a run that is over.
    pub(super) fn ended(&self, id: RunId) -> Result<Found, JobError> {
        let place = self.place(id);
        let missing =
            || JobError::Unreadable { path: place.folder.clone(), problem: "it has no checkpoint, though it has ended".into() };
        place.newest()?.ok_or_else(missing)
    }

    /// When the run is over that a campaign is judged by, removes the models of its others: what was learnt from them is in files.
    fn forget_others(&self, main: RunId) -> Result<(), JobError> {
        if main.role != Role::Main {
            return Ok(());
        }
        let own = self.place(main).folder;
        let folder = self.job.out.join(main.campaign.folder(&self.job.spec));
        for entry in fs::read_dir(&folder).map_err(JobError::file("read", &folder))? {
            let path = entry.map_err(JobError::file("read", &folder))?.path();
            if path.is_dir() && path != own {
                Place::new(path, self.attempt_name()).forget()?;
            }
        }
        Ok(())
    }
}

impl Runner<'_> {
    /// Steps done, those of a leg that is not over included.
    fn step(&self) -> u64 {
        self.online.step() + self.progress.done()
    }

    fn go(&mut self, session: &mut dyn Session, begun: Option<u64>) -> Result<Ran, JobError> {
        let every = self.task.job.spec.checkpoint_every;
        loop {
            self.task.stop_if_told()?;
            let step = self.step();
            if step > 0 && step.is_multiple_of(every) && begun != Some(step) && step < self.extent.steps {
                self.save(session)?;
                return Ok(Ran::On { step });
            }
            match self.online.next() {
                Directive::Measure(needs) => {
                    let tokens = vec![0; self.task.data.domains().len()];
                    let mut seen = Observation { step, tokens, ..Observation::default() };
                    self.measure(session, needs, &mut seen)?;
                    self.observe(seen)?;
                }
                Directive::Train(leg) => self.train(session, &leg)?,
                Directive::Probe(plan) => {
                    let probe = ProbeId { step, number: self.probes };
                    match self.probe(session, probe, &plan, begun)? {
                        Some(waits) => return Ok(waits),
                        None => self.probes += 1,
                    }
                }
                Directive::Done => {
                    self.end(session)?;
                    return Ok(Ran::Ended);
                }
            }
        }
    }

    /// Trains up to the end of a leg or the next checkpoint, whichever comes first.
    fn train(&mut self, session: &mut dyn Session, leg: &Leg) -> Result<(), JobError> {
        let spec = &self.task.job.spec;
        if leg.needs.excess {
            session.refer(&self.reference())?;
        }
        // Branches are numbered anew at each step.
        self.probes = 0;
        let step = self.step();
        let next = (step / spec.checkpoint_every + 1).saturating_mul(spec.checkpoint_every);
        let count = leg.until.min(next).saturating_sub(step);
        let seed = self.id.campaign.seed;
        let batches = self.progress.batches(count, &leg.proportions, (spec.batch, leg.rule, seed))?;
        let stretch = Stretch {
            first: self.extent.before + step,
            proportions: &leg.proportions,
            objective: leg.objective.as_ref(),
            stream: seed,
            batches,
            excess: leg.needs.excess,
        };
        let trained = session.train(&stretch)?;
        self.task.data.domains().check_len("the trainer's tokens", trained.tokens.len())?;
        let told = trained.losses.iter().chain(&trained.excess).copied();
        self.task.finite("the training loss", step + count, told)?;
        self.progress.add(count, &trained);
        self.task.context.progress.add(trained.tokens.iter().sum());
        let before = step;
        let step = self.step();
        // Twenty lines a run, however short its legs are.
        if step * LINES / self.extent.steps > before * LINES / self.extent.steps {
            self.tell(step, &leg.proportions, &trained.losses);
        }
        self.history.push(Line::Trained {
            step,
            proportions: leg.proportions.clone(),
            tokens: trained.tokens,
            losses: trained.losses,
            stale: 0,
        });
        if step < leg.until {
            return Ok(());
        }
        let mut seen = self.progress.end(leg);
        self.measure(session, leg.needs, &mut seen)?;
        self.observe(seen)
    }

    fn tell(&self, step: u64, proportions: &Proportions, losses: &[Option<f64>]) {
        let known: Vec<f64> = losses.iter().copied().flatten().collect();
        let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
        let shares = shares(self.task.data.domains(), proportions);
        self.task.context.log(format!("{}: step {step} of {}, loss {mean:.3}, on {shares}", self.label, self.extent.steps));
    }

    /// Adds to a report what the method needs beside what training shows.
    fn measure(&self, session: &mut dyn Session, needs: Needs, seen: &mut Observation) -> Result<(), JobError> {
        let spec = &self.task.job.spec;
        if needs.validation {
            seen.validation = self.evaluate(session, Part::Validation)?;
        }
        if needs.norms || needs.products {
            let domains = self.task.data.domains().len() as u64;
            let each = (spec.batch / domains).max(2);
            // What comes next of each domain: the batch that would be trained on, were the proportions even.
            let training = self.progress.draws().iter().map(|&draws| draws..draws + each).collect();
            let held_out = needs.products.then_some(spec.evaluate.min(each));
            let sample = Sample { stream: self.id.campaign.seed, step: seen.step, training, held_out };
            seen.gradients = Some(session.gradients(&sample)?);
        }
        Ok(())
    }

    pub(super) fn evaluate(&self, session: &mut dyn Session, part: Part) -> Result<Vec<f64>, JobError> {
        let domains: Vec<usize> = (0..self.task.data.domains().len()).collect();
        let losses = session.evaluate(part, &domains, self.task.job.spec.evaluate)?;
        self.task.data.domains().check_len("the trainer's losses", losses.len())?;
        let what = if part == Part::Test { "the test loss" } else { "the validation loss" };
        self.task.finite(what, self.step(), losses.iter().copied().map(Some))?;
        Ok(losses)
    }

    fn observe(&mut self, seen: Observation) -> Result<(), JobError> {
        self.online.observe(&seen)?;
        let interactions = self.online.interactions().map(<[_]>::to_vec);
        self.history.push(Line::Observed { seen, interactions });
        Ok(())
    }

    pub(super) fn save(&self, session: &mut dyn Session) -> Result<(), JobError> {
        let state = RunState { online: self.online.state()?, progress: self.progress.clone() };
        self.place.save(self.step(), &state, &self.history, |folder| Ok(session.save(folder)?))
    }

    /// The model that excess losses refer to: that of the run's only branch with this fate.
    fn reference(&self) -> PathBuf {
        self.place.file(REFERENCE)
    }

    /// Measures the final figures, and writes everything down.
    fn end(&mut self, session: &mut dyn Session) -> Result<(), JobError> {
        let (mut test, mut validation) = (vec![], vec![]);
        let mut cost = self.online.cost();
        if self.id.role == Role::Main {
            test = self.evaluate(session, Part::Test)?;
        } else if self.id.role != Role::Prefix {
            // What a law is fitted to; the test data has no part in any decision.
            validation = self.evaluate(session, Part::Validation)?;
            cost.validations += 1;
        }
        self.save(session)?;
        let history = self.place.history()?;
        files::write(&self.place.file("history.jsonl"), history.as_bytes(), self.place.attempt())?;
        let tally = self.online.tally();
        let result = RunResult {
            method: self.online.name().to_owned(),
            seed: self.id.campaign.seed,
            test,
            validation,
            learnt: self.online.learnt(),
            realised: tally.proportions().unwrap_or_else(|| Proportions::uniform(tally.counts().len())),
            tokens: tally.counts().to_vec(),
            cost,
        };
        files::write_json(&self.place.file(RESULT), &result, self.place.attempt())?;
        self.place.clear()?;
        self.task.forget_others(self.id)
    }
}
