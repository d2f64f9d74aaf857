//! What can go wrong in learning a mixture, in words for a person.
//!
//! One enum for the crate. Every message names the object (domain, step, file, setting) and what was expected of it; what a
//! person can do about it is the [hint](MixtureError::hint).

use crate::proportions::ProportionsProblem;

/// Why a mixture could not be learnt, composed, read or written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MixtureError {
    /// A list of domains that cannot be used.
    #[error("domains: {0}")]
    Domains(String),
    /// Proportions that are no point of the simplex.
    #[error("{what}: {problem}")]
    Proportions {
        /// Whose: `start`, `run 7`, …
        what: String,
        /// What is wrong with them.
        problem: ProportionsProblem,
    },
    /// Two sides that do not speak of the same domains.
    #[error("{what}: expected the domains {}, found {}", expected.join(", "), found.join(", "))]
    Disagree {
        /// Who disagrees: `the trainer's report`, …
        what: String,
        /// The domains of the job.
        expected: Vec<String>,
        /// Theirs.
        found: Vec<String>,
    },
    /// Something with one entry a domain has another number of entries.
    #[error("{what}: expected {expected} entries, one for each domain, found {found}")]
    Entries {
        /// What it is.
        what: String,
        /// How many domains there are.
        expected: usize,
        /// How many entries came.
        found: usize,
    },
    /// A batch that cannot hold every domain.
    #[error("a batch of {slots} slots cannot hold each of {domains} domains")]
    Slots {
        /// Sequences in a batch.
        slots: u64,
        /// Domains to be mixed.
        domains: usize,
    },
    /// A measured value that is no number to compute with.
    #[error("domain {domain}, step {step}: {what} is {value}")]
    Value {
        /// The domain.
        domain: String,
        /// The step of the report.
        step: u64,
        /// `the validation loss`, …
        what: &'static str,
        /// What came.
        value: f64,
    },
    /// A report that lacks what was asked for.
    #[error("the report of step {step} lacks {what}, which {method} needs")]
    Missing {
        /// The step.
        step: u64,
        /// What is not there.
        what: &'static str,
        /// The method that asked for it.
        method: &'static str,
    },
    /// A report about another moment than the one asked for.
    #[error("expected {expected}, but the trainer reports {found}")]
    OutOfTurn {
        /// What was asked for.
        expected: String,
        /// What came.
        found: String,
    },
    /// A trainer that asks for, or tells, something before its time.
    #[error("the trainer is at step {step}, and {due} is due")]
    Due {
        /// Its step.
        step: u64,
        /// What is asked of it.
        due: String,
    },
    /// A report that leaves steps out, or has some that another one has.
    #[error("the trainer's report of step {step} begins at step {since}, but its leg began at step {began}")]
    Since {
        /// The step of the report.
        step: u64,
        /// Where it begins.
        since: u64,
        /// Where it has to begin.
        began: u64,
    },
    /// A trainer that goes back.
    #[error("the trainer was at step {was}, and now asks for step {step}")]
    Backwards {
        /// Where it was.
        was: u64,
        /// Where it is.
        step: u64,
    },
    /// Ranks of a gang that do not do the same.
    #[error("rank {rank} {other}, where rank 0 {zero}")]
    Ranks {
        /// Which one.
        rank: usize,
        /// What rank 0 does.
        zero: String,
        /// What it does.
        other: String,
    },
    /// A method that asks for more than its trainer offers.
    #[error("method {method} asks the trainer for {what}, which it does not offer")]
    Offers {
        /// The method.
        method: String,
        /// What the trainer lacks.
        what: String,
    },
    /// A setting outside of its range.
    #[error("{object}: {name} is {value}: {wanted}")]
    Setting {
        /// The method, or the part of a document.
        object: &'static str,
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        wanted: String,
    },
    /// Measurements that do not determine what is to be estimated.
    #[error("{object}: {problem}")]
    Undetermined {
        /// Which law or matrix.
        object: &'static str,
        /// Why not.
        problem: String,
    },
    /// A domain with less data than is asked of it.
    #[error("domain {domain}: {problem}")]
    Data {
        /// The domain.
        domain: String,
        /// What is missing.
        problem: String,
    },
    /// A file that cannot be used.
    #[error("{file}: {problem}")]
    File {
        /// Its name.
        file: String,
        /// Where and what is wrong, and what was expected.
        problem: String,
    },
    /// A stored state that this version cannot read.
    #[error("state of a mixture: {0}")]
    State(String),
}

impl MixtureError {
    /// What a person can do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Proportions { problem: ProportionsProblem::Sum { .. }, .. } => {
                Some("give weights that sum to one, or normalize them first")
            }
            Self::Slots { .. } => Some("use a larger batch, or count the slots of several accumulated batches as one"),
            Self::Value { .. } => Some("a run that diverges teaches nothing: lower the learning rate, or leave this run out"),
            Self::Since { .. } => Some("keep the client's state in the trainer's checkpoint, and load it with the model"),
            Self::Backwards { .. } => {
                Some("a trainer that goes back to an earlier checkpoint begins again: Begin, with that step")
            }
            Self::Ranks { .. } => Some("all ranks make the same calls, and go on from the same checkpoint"),
            Self::Offers { .. } => Some("have the trainer report it and name it under `offers`, or take another method"),
            Self::Undetermined { .. } => Some("measure more mixtures, or mixtures that differ more"),
            _ => None,
        }
    }
}
