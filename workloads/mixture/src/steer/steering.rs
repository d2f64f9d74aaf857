//! One run of one method, as a trainer that asks is led through it. A value made of the settings and the records alone.

use super::Turn;
use crate::{
    MixtureError,
    job::Line,
    online::{Directive, Leg, Needs, Observation, Online, ProbeReport, Run, Settings},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a trainer says it has seen: a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub enum Told {
    /// The end of a leg.
    Trained {
        /// The step at which the leg began.
        since: u64,
        /// What was seen, of all steps of the leg.
        seen: Observation,
        /// Steps of these that were trained on the proportions of an earlier leg, because nobody answered.
        #[serde(default)]
        stale: u64,
    },
    /// A measurement.
    Measured {
        /// What was seen; it has no tokens.
        seen: Observation,
    },
    /// The end of a probe.
    Probed {
        /// What it found.
        report: ProbeReport,
    },
    /// The losses by which the run is judged.
    Tested {
        /// One a domain, in nats a token.
        losses: Vec<f64>,
    },
}

/// The losses that a run ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// Those by which it is judged.
    Test,
    /// Those that a law is fitted to: test data has no part in any decision.
    Validation,
}

/// A run as it is led.
#[derive(Debug, Clone)]
pub struct Steering {
    online: Online,
    /// Legs that are reported, each with its first step: one after the other, from step 0.
    legs: Vec<(u64, Leg)>,
    measured: BTreeSet<u64>,
    probed: BTreeSet<u64>,
    last: Last,
    last_losses: Option<Vec<f64>>,
}

impl Steering {
    /// A run before its first step.
    ///
    /// # Errors
    /// Settings that are none for this run.
    pub fn new(settings: &Settings, run: Run, last: Last) -> Result<Self, MixtureError> {
        let online = Online::new(settings, run)?;
        Ok(Self { online, legs: vec![], measured: BTreeSet::new(), probed: BTreeSet::new(), last, last_losses: None })
    }

    /// The method, with what it has learnt so far.
    pub fn online(&self) -> &Online {
        &self.online
    }

    /// The losses that it ends with, once they are known.
    pub fn last_losses(&self) -> Option<(Last, &[f64])> {
        Some((self.last, self.last_losses.as_deref()?))
    }

    /// What a trainer that has done `step` steps, and has told what it was asked for before, is to do.
    ///
    /// # Errors
    /// Something of before is still due.
    pub fn turn(&self, step: u64) -> Result<Turn, MixtureError> {
        if let Some((from, leg)) = self.legs.get(self.legs.partition_point(|(_, leg)| leg.until <= step)) {
            return Ok(Turn::Train { from: *from, leg: leg.clone() });
        }
        let at = self.online.step();
        let due = |due: &str| MixtureError::Due { step, due: format!("{due} of step {at}") };
        Ok(match self.online.next() {
            Directive::Train(leg) if step < leg.until => Turn::Train { from: at, leg },
            Directive::Train(leg) => return Err(MixtureError::Due { step, due: format!("the report of step {}", leg.until) }),
            Directive::Measure(needs) if step == at => Turn::Measure(needs),
            Directive::Measure(_) => return Err(due("the measurement")),
            Directive::Probe(plan) if step == at => Turn::Probe(plan),
            Directive::Probe(_) => return Err(due("the probe")),
            Directive::Done if step > at => {
                return Err(MixtureError::Due { step, due: format!("the run ended at step {at}; nothing") });
            }
            Directive::Done if self.last_losses.is_some() => Turn::Over,
            Directive::Done => match self.last {
                Last::Test => Turn::Test,
                Last::Validation => Turn::Measure(Needs { validation: true, ..Needs::default() }),
            },
        })
    }

    /// Whether something that was told is new, and can be taken.
    ///
    /// # Errors
    /// It is of another moment than was asked for, or lacks something, or holds what is no number.
    pub fn check(&self, told: &Told) -> Result<bool, MixtureError> {
        match told {
            Told::Trained { since, seen, .. } => {
                let at = self.online.step();
                if seen.step <= at {
                    let leg = self.legs.get(self.legs.partition_point(|(_, leg)| leg.until < seen.step));
                    return match leg.map(|(_, leg)| leg.until) {
                        // The end of the same leg, in another life of the trainer.
                        Some(until) if until == seen.step => Ok(false),
                        until => {
                            Err(MixtureError::Due { step: seen.step, due: format!("the report of step {}", until.unwrap_or(at)) })
                        }
                    };
                }
                if *since != at {
                    return Err(MixtureError::Since { step: seen.step, since: *since, began: at });
                }
                self.check_losses(seen)?;
                self.online.clone().observe(seen)?;
            }
            Told::Measured { seen } if self.is_last(seen) => {
                return self.check_last("the validation loss", &seen.validation);
            }
            Told::Measured { seen } => {
                if self.measured.contains(&seen.step)
                    && !matches!(self.online.next(), Directive::Measure(_) if self.online.step() == seen.step)
                {
                    return Ok(false);
                }
                if let Directive::Train(_) = self.online.next() {
                    return Err(MixtureError::Due { step: seen.step, due: "a report with its tokens".into() });
                }
                self.online.clone().observe(seen)?;
            }
            Told::Probed { report } => {
                let asked = matches!(self.online.next(), Directive::Probe(_)) && self.online.step() == report.step;
                if !asked && self.probed.contains(&report.step) {
                    return Ok(false);
                }
                self.online.clone().probed(report)?;
            }
            Told::Tested { losses } => {
                let step = self.online.step();
                if !matches!(self.online.next(), Directive::Done) {
                    return Err(MixtureError::Due { step, due: "more training".into() });
                }
                if self.last != Last::Test {
                    return Err(MixtureError::Due { step, due: "a measurement of validation losses".into() });
                }
                return self.check_last("the test loss", losses);
            }
        }
        Ok(true)
    }

    /// Takes in what is recorded, and says it as lines of a history.
    ///
    /// # Errors
    /// As [`check`](Self::check); nothing has changed then.
    pub fn take(&mut self, told: Told) -> Result<Vec<Line>, MixtureError> {
        let at = self.online.step();
        let interactions = |online: &Online| online.interactions().map(<[_]>::to_vec);
        Ok(match told {
            Told::Trained { seen, stale, .. } => {
                let Directive::Train(leg) = self.online.next() else {
                    return Err(MixtureError::Due { step: seen.step, due: "something else than a leg".into() });
                };
                self.online.observe(&seen)?;
                let losses = if seen.train.is_empty() { vec![None; seen.tokens.len()] } else { seen.train.clone() };
                let (proportions, tokens) = (leg.proportions.clone(), seen.tokens.clone());
                self.legs.push((at, leg));
                let trained = Line::Trained { step: seen.step, proportions, tokens, losses, stale };
                vec![trained, Line::Observed { seen, interactions: interactions(&self.online) }]
            }
            Told::Measured { seen } if self.is_last(&seen) => {
                self.last_losses = Some(seen.validation);
                vec![]
            }
            Told::Measured { seen } => {
                self.online.observe(&seen)?;
                self.measured.insert(seen.step);
                vec![Line::Observed { seen, interactions: interactions(&self.online) }]
            }
            Told::Probed { report } => {
                self.online.probed(&report)?;
                self.probed.insert(report.step);
                vec![Line::Probed { report, interactions: interactions(&self.online) }]
            }
            Told::Tested { losses } => {
                self.last_losses = Some(losses);
                vec![]
            }
        })
    }

    /// Whether a measurement is the one that the run ends with.
    fn is_last(&self, seen: &Observation) -> bool {
        self.last == Last::Validation && seen.step == self.online.step() && matches!(self.online.next(), Directive::Done)
    }

    /// Whether losses that a run ends with are new.
    fn check_last(&self, what: &'static str, losses: &[f64]) -> Result<bool, MixtureError> {
        let domains = &self.online.run().domains;
        domains.check_len("the losses that a run ends with", losses.len())?;
        match losses.iter().enumerate().find(|(_, loss)| !loss.is_finite()) {
            Some((index, &value)) => {
                Err(MixtureError::Value { domain: domains.name(index), step: self.online.step(), what, value })
            }
            None => Ok(self.last_losses.is_none()),
        }
    }

    /// That every domain that was trained on has the losses that are asked for.
    fn check_losses(&self, seen: &Observation) -> Result<(), MixtureError> {
        let Directive::Train(leg) = self.online.next() else { return Ok(()) };
        let (step, method) = (seen.step, self.online.name());
        for (needed, what, values) in
            [(leg.needs.train, "a training loss", &seen.train), (leg.needs.excess, "an excess loss", &seen.excess)]
        {
            let lacks = |(index, &tokens): (usize, &u64)| tokens > 0 && values.get(index).copied().flatten().is_none();
            if needed && seen.tokens.iter().enumerate().any(lacks) {
                return Err(MixtureError::Missing { step, what, method });
            }
        }
        Ok(())
    }
}
