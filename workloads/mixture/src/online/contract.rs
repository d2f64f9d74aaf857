//! What a job and an online method tell each other. Values alone: how they travel is the job's affair.

use crate::{MixtureError, Proportions, compose::BatchRule, online::Run};
use serde::{Deserialize, Serialize};

/// A way to set proportions while a model trains: a state machine without clock, files or chance of its own.
///
/// The state is the value itself (all methods are serde values). `Online` checks what comes in before a method sees it: a report
/// is of the step asked for, has what was asked for, one entry a domain, and only finite numbers.
pub trait Method {
    /// Its word in settings and reports.
    fn name(&self) -> &'static str;

    /// What the trainer is to do from `step` on. Asked twice, it says the same.
    fn next(&self, run: &Run, step: u64) -> Directive;

    /// Takes in the end of a [`Directive::Train`] or a [`Directive::Measure`].
    ///
    /// # Errors
    /// Measurements that cannot be worked with; the method is as it was before.
    fn observe(&mut self, run: &Run, seen: &Observation) -> Result<(), MixtureError>;

    /// Takes in the end of a [`Directive::Probe`].
    ///
    /// # Errors
    /// As [`observe`](Self::observe); and a method that asks for no probe refuses one.
    fn probed(&mut self, run: &Run, report: &ProbeReport) -> Result<(), MixtureError> {
        let _ = (run, report);
        Err(MixtureError::OutOfTurn { expected: "no probe".into(), found: "the end of one".into() })
    }

    /// The mixture that it would have another run train on, by what it knows now.
    fn learnt(&self, run: &Run) -> Proportions;

    /// The interactions that it has estimated: `A[i][j]`, by how much training on `j` lowers the loss on `i`.
    fn interactions(&self) -> Option<&[Vec<f64>]> {
        None
    }

    /// Whether a state that was read back fits `domains` domains.
    fn fits(&self, domains: usize) -> bool;
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Directive {
    /// Measure the model as it is, and report it as an [`Observation`] of this step without tokens.
    Measure(Needs),
    /// Train, then report an [`Observation`].
    Train(Leg),
    /// Train branches beside the run, then send a [`ProbeReport`]. The run itself stands still.
    Probe(ProbePlan),
    /// The run has had all of its steps.
    Done,
}

/// A stretch of training with one mixture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leg {
    /// What share of the tokens each domain gets.
    pub proportions: Proportions,
    /// How its batches are composed.
    pub rule: BatchRule,
    /// What share each domain's mean loss has in the objective, where that is not simply the mean over the batch.
    pub objective: Option<Proportions>,
    /// The step at which the report is due; all steps before it are of this leg.
    pub until: u64,
    /// What the report must have.
    pub needs: Needs,
}

/// What a report must have beside the tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Needs {
    /// Mean training loss of each domain over the leg; none where it had no tokens.
    pub train: bool,
    /// Validation loss of each domain at the end.
    pub validation: bool,
    /// Mean over the leg's tokens of `max(loss - reference loss, 0)`, by domain; the reference is the model of a probe whose fate is
    /// [`Fate::Reference`].
    pub excess: bool,
    /// Squared norm and variance of each domain's gradient ([`Gradients`]).
    pub norms: bool,
    /// Inner products of gradients ([`Gradients::products`]), with the norms.
    pub products: bool,
}

/// What a trainer has seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Optimizer steps done by the run.
    pub step: u64,
    /// Tokens of each domain consumed since the observation before.
    pub tokens: Vec<u64>,
    /// See [`Needs::train`]; empty where not asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub train: Vec<Option<f64>>,
    /// See [`Needs::validation`]; empty where not asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation: Vec<f64>,
    /// See [`Needs::excess`]; empty where not asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excess: Vec<Option<f64>>,
    /// See [`Needs::norms`] and [`Needs::products`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradients: Option<Gradients>,
}

/// Gradients of the domains' losses at the end of a leg, in as far as methods look at them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gradients {
    /// `‖∇L_j‖²` of the mean gradient of each domain's training batch.
    pub squared_norms: Vec<f64>,
    /// The variance of one sequence's gradient about that mean, summed over parameters.
    pub variances: Vec<f64>,
    /// `products[i][j] = ⟨∇L_i of validation, ∇L_j of training⟩`. A row a target: the domains, or one row for a held-out target.
    pub products: Vec<Vec<f64>>,
    /// The learning rate of the step.
    pub learning_rate: f64,
}

/// Branches to be trained from one checkpoint, independent of each other: as many at once as there are workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbePlan {
    /// Where they begin.
    pub from: Origin,
    /// What each does.
    pub branches: Vec<Branch>,
    /// Whether validation losses are to be measured, at the origin and at the end of each branch.
    pub measure: bool,
    /// What becomes of the trained branches.
    pub fate: Fate,
}

/// The checkpoint that branches begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// That of step 0.
    Start,
    /// That of this step.
    Current,
}

/// What becomes of branches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// They may be dropped once they are measured.
    Discard,
    /// The only one is kept as the model that [`Needs::excess`] refers to.
    Reference,
}

/// One branch of a probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// Its mixture.
    pub proportions: Proportions,
    /// Its steps, by the exact rule of composition.
    pub steps: u64,
    /// Numbers its data: branches of one number see the same sequences of a domain in the same order, so that differences between
    /// them are not chance.
    pub stream: u64,
}

/// What a probe found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// The step of the run that it was made at.
    pub step: u64,
    /// Validation loss of each domain at the origin; empty where nothing was to be measured.
    pub before: Vec<f64>,
    /// In the order of the plan.
    pub branches: Vec<BranchReport>,
}

/// What one branch found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BranchReport {
    /// Tokens of each domain that it consumed.
    pub tokens: Vec<u64>,
    /// Validation loss of each domain at its end; empty where nothing was to be measured.
    pub after: Vec<f64>,
}

/// What a mixture has cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Optimizer steps of the run.
    pub steps: u64,
    /// Optimizer steps of branches beside it.
    pub probe_steps: u64,
    /// Passes over the validation data of all domains.
    pub validations: u64,
    /// Gradients of one domain computed for the method alone.
    pub gradients: u64,
    /// Tokens on which a reference model was evaluated.
    pub reference_tokens: u64,
}

impl Cost {
    /// Adds what something else has cost.
    pub fn add(&mut self, more: &Self) {
        let Self { steps, probe_steps, validations, gradients, reference_tokens } = more;
        self.steps += steps;
        self.probe_steps += probe_steps;
        self.validations += validations;
        self.gradients += gradients;
        self.reference_tokens += reference_tokens;
    }
}
