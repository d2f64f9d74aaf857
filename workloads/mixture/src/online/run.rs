//! One run of one method: checks reports before the method sees them, counts what it costs. Learns nothing.

use super::{
    contract::{Cost, Directive, Needs, Observation, ProbePlan, ProbeReport},
    settings::{Kind, Settings},
};
use crate::{Domains, MixtureError, Proportions, Tally};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a method must know of the run beside its own settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// What is mixed.
    pub domains: Domains,
    /// Tokens that there are of each domain; empty where nobody knows.
    #[serde(default)]
    pub sizes: Vec<u64>,
    /// Optimizer steps in all.
    pub steps: u64,
    /// Sequences in a batch.
    pub slots: u64,
    /// Keys all chance.
    #[serde(default)]
    pub seed: u64,
}

/// A method at work, with its state. Written as JSON and read again, it goes on as if nothing had happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Online {
    run: Run,
    step: u64,
    cost: Cost,
    tally: Tally,
    method: Kind,
}

impl Online {
    /// A method before its first step.
    ///
    /// # Errors
    /// Settings out of range, a batch with fewer slots than domains, sizes of another number of domains.
    pub fn new(settings: &Settings, run: Run) -> Result<Self, MixtureError> {
        let domains = run.domains.len();
        if run.slots < domains as u64 {
            return Err(MixtureError::Slots { slots: run.slots, domains });
        }
        if run.steps == 0 {
            let wanted = "at least 1".into();
            return Err(MixtureError::Setting { object: "run", name: "steps", value: "0".into(), wanted });
        }
        if !run.sizes.is_empty() {
            run.domains.check_len("sizes", run.sizes.len())?;
        }
        let method = settings.begin(&run)?;
        Ok(Self { step: 0, cost: Cost::default(), tally: Tally::new(domains), method, run })
    }

    /// Goes on from a stored state.
    ///
    /// # Errors
    /// [`MixtureError::State`] when it is not one, or its parts do not fit each other.
    pub fn restore(state: Value) -> Result<Self, MixtureError> {
        let online: Self = serde_json::from_value(state).map_err(|error| MixtureError::State(error.to_string()))?;
        let domains = online.run.domains.len();
        if online.tally.counts().len() != domains || !online.method.get().fits(domains) {
            return Err(MixtureError::State(format!("its parts are not of {domains} domains")));
        }
        Ok(online)
    }

    /// The state, to be stored.
    ///
    /// # Errors
    /// [`MixtureError::State`] where it holds what JSON cannot, which no method lets happen.
    pub fn state(&self) -> Result<Value, MixtureError> {
        serde_json::to_value(self).map_err(|error| MixtureError::State(error.to_string()))
    }

    /// What the trainer is to do now.
    pub fn next(&self) -> Directive {
        if self.step >= self.run.steps {
            return Directive::Done;
        }
        match self.method.get().next(&self.run, self.step) {
            Directive::Train(mut leg) => {
                leg.until = leg.until.clamp(self.step + 1, self.run.steps);
                Directive::Train(leg)
            }
            other => other,
        }
    }

    /// Takes in what the trainer saw at the end of a leg or a measurement.
    ///
    /// # Errors
    /// A report of another step than was asked for, one that lacks something, entries that are not one a domain, losses that are
    /// no numbers. Nothing has changed then.
    pub fn observe(&mut self, seen: &Observation) -> Result<(), MixtureError> {
        let (until, needs) = match self.next() {
            Directive::Measure(needs) => (self.step, needs),
            Directive::Train(leg) => (leg.until, leg.needs),
            Directive::Probe(_) => return Err(self.out_of_turn("the end of a probe", format!("step {}", seen.step))),
            Directive::Done => return Err(self.out_of_turn("nothing more", format!("step {}", seen.step))),
        };
        if seen.step != until {
            return Err(self.out_of_turn(&format!("step {until}"), format!("step {}", seen.step)));
        }
        self.check(seen, needs, until > self.step)?;
        self.method.get_mut().observe(&self.run, seen)?;
        self.tally.add(&seen.tokens);
        self.cost.steps += until - self.step;
        self.cost.validations += u64::from(needs.validation);
        self.cost.gradients += if needs.norms || needs.products { self.run.domains.len() as u64 } else { 0 };
        self.cost.reference_tokens += if needs.excess { seen.tokens.iter().sum() } else { 0 };
        self.step = until;
        Ok(())
    }

    /// Takes in what a probe found.
    ///
    /// # Errors
    /// As [`observe`](Self::observe).
    pub fn probed(&mut self, report: &ProbeReport) -> Result<(), MixtureError> {
        let Directive::Probe(plan) = self.next() else {
            return Err(self.out_of_turn("no probe", format!("the end of one at step {}", report.step)));
        };
        if report.step != self.step || report.branches.len() != plan.branches.len() {
            let expected = format!("a probe of {} branches at step {}", plan.branches.len(), self.step);
            return Err(self.out_of_turn(&expected, format!("{} at step {}", report.branches.len(), report.step)));
        }
        self.check_probe(&plan, report)?;
        self.method.get_mut().probed(&self.run, report)?;
        self.cost.probe_steps += plan.branches.iter().map(|branch| branch.steps).sum::<u64>();
        self.cost.validations += if plan.measure { 1 + plan.branches.len() as u64 } else { 0 };
        Ok(())
    }

    /// The run that it was begun for.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The method's word.
    pub fn name(&self) -> &'static str {
        self.method.get().name()
    }

    /// Steps that are reported.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// What it has cost so far.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Tokens of each domain that the run has consumed, and so the realised proportions.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The mixture that the method would have another run train on.
    pub fn learnt(&self) -> Proportions {
        self.method.get().learnt(&self.run)
    }

    /// The interactions of the domains that the method has estimated last ([`Method::interactions`]).
    pub fn interactions(&self) -> Option<&[Vec<f64>]> {
        self.method.get().interactions()
    }

    fn out_of_turn(&self, expected: &str, found: String) -> MixtureError {
        MixtureError::OutOfTurn { expected: format!("{expected} ({}, at step {})", self.name(), self.step), found }
    }

    fn check(&self, seen: &Observation, needs: Needs, trained: bool) -> Result<(), MixtureError> {
        let domains = &self.run.domains;
        domains.check_len("tokens", seen.tokens.len())?;
        if trained && seen.tokens.iter().all(|&tokens| tokens == 0) {
            return Err(self.missing(seen.step, "tokens"));
        }
        self.check_values("the training loss", seen.step, needs.train, &seen.train)?;
        let validation: Vec<Option<f64>> = seen.validation.iter().copied().map(Some).collect();
        self.check_values("the validation loss", seen.step, needs.validation, &validation)?;
        self.check_values("the excess loss", seen.step, needs.excess, &seen.excess)?;
        if needs.norms || needs.products {
            let gradients = seen.gradients.as_ref().ok_or_else(|| self.missing(seen.step, "gradients"))?;
            let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
            self.check_values("the gradient's squared norm", seen.step, true, &some(&gradients.squared_norms))?;
            self.check_values("the gradient's variance", seen.step, needs.norms, &some(&gradients.variances))?;
            if needs.products && (gradients.products.is_empty() || !gradients.learning_rate.is_finite()) {
                return Err(self.missing(seen.step, "inner products of gradients, or the learning rate"));
            }
            for row in &gradients.products {
                self.check_values("the gradients' inner product", seen.step, true, &some(row))?;
            }
        }
        Ok(())
    }

    fn check_probe(&self, plan: &ProbePlan, report: &ProbeReport) -> Result<(), MixtureError> {
        let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
        self.check_values("the validation loss before the probe", report.step, plan.measure, &some(&report.before))?;
        for branch in &report.branches {
            self.run.domains.check_len("tokens of a branch", branch.tokens.len())?;
            if branch.tokens.iter().all(|&tokens| tokens == 0) {
                return Err(self.missing(report.step, "tokens of a branch"));
            }
            self.check_values("the validation loss after a branch", report.step, plan.measure, &some(&branch.after))?;
        }
        Ok(())
    }

    fn check_values(&self, what: &'static str, step: u64, needed: bool, values: &[Option<f64>]) -> Result<(), MixtureError> {
        if values.is_empty() && !needed {
            return Ok(());
        }
        if values.is_empty() {
            return Err(self.missing(step, what));
        }
        self.run.domains.check_len(what, values.len())?;
        for (index, value) in values.iter().enumerate() {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                return Err(MixtureError::Value { domain: self.run.domains.name(index), step, what, value });
            }
        }
        Ok(())
    }

    fn missing(&self, step: u64, what: &'static str) -> MixtureError {
        MixtureError::Missing { step, what, method: self.name() }
    }
}
