//! The calls of all ranks of a gang as one: what each has seen is brought together in the order of ranks.

use super::{Call, Told};
use crate::{
    MixtureError,
    online::{Observation, ProbeReport},
};

/// One call of what all ranks call, rank 0 first. Tokens are added up, training losses weighted by them; of what is measured, the mean
/// over the ranks that have measured it; gradients are those of the first rank that has any.
///
/// # Errors
/// Ranks that do not make the same call at the same step.
pub fn agree(calls: Vec<Call>) -> Result<Call, MixtureError> {
    let mut calls = calls.into_iter();
    let Some(mut all) = calls.next() else { return Err(MixtureError::State("a gang without ranks".into())) };
    let ranks = calls.len() + 1;
    let (mut tested, mut measured) = (1usize, usize::from(measures(&all)));
    for (rank, call) in (1..).zip(calls) {
        let differ = |zero: &Call, other: &Call| MixtureError::Ranks { rank, zero: describe(zero), other: describe(other) };
        measured += usize::from(measures(&call));
        match (&mut all, &call) {
            (Call::Begin { step }, Call::Begin { step: other }) | (Call::Turn { step }, Call::Turn { step: other })
                if step == other => {}
            (
                Call::Tell(Told::Trained { since, seen, stale }),
                Call::Tell(Told::Trained { since: also, seen: other, stale: more }),
            ) if (*since, seen.step) == (*also, other.step) => {
                *stale = (*stale).max(*more);
                add(seen, other);
            }
            (Call::Tell(Told::Measured { seen }), Call::Tell(Told::Measured { seen: other })) if seen.step == other.step => {
                add(seen, other);
            }
            (Call::Tell(Told::Probed { report }), Call::Tell(Told::Probed { report: other }))
                if report.step == other.step && report.branches.len() == other.branches.len() =>
            {
                add_probe(report, other);
            }
            (Call::Tell(Told::Tested { losses }), Call::Tell(Told::Tested { losses: other })) => {
                sum(losses, other);
                tested += 1;
            }
            _ => return Err(differ(&all, &call)),
        }
    }
    match &mut all {
        Call::Tell(Told::Trained { seen, .. } | Told::Measured { seen }) => divide(&mut seen.validation, measured),
        Call::Tell(Told::Probed { report }) => {
            divide(&mut report.before, ranks);
            report.branches.iter_mut().for_each(|branch| divide(&mut branch.after, ranks));
        }
        Call::Tell(Told::Tested { losses }) => divide(losses, tested),
        Call::Begin { .. } | Call::Turn { .. } => {}
    }
    Ok(all)
}

/// Whether it has validation losses.
fn measures(call: &Call) -> bool {
    matches!(call, Call::Tell(Told::Trained { seen, .. } | Told::Measured { seen }) if !seen.validation.is_empty())
}

fn describe(call: &Call) -> String {
    match call {
        Call::Begin { step } => format!("begins at step {step}"),
        Call::Turn { step } => format!("asks what to do at step {step}"),
        Call::Tell(Told::Trained { since, seen, .. }) => format!("reports steps {since} to {}", seen.step),
        Call::Tell(Told::Measured { seen }) => format!("reports a measurement at step {}", seen.step),
        Call::Tell(Told::Probed { report }) => {
            format!("reports a probe of {} branches at step {}", report.branches.len(), report.step)
        }
        Call::Tell(Told::Tested { .. }) => "reports its last losses".into(),
    }
}

fn add(all: &mut Observation, other: &Observation) {
    // Before the tokens: means are weighted by them.
    let weights: Vec<(u64, u64)> =
        all.tokens.iter().enumerate().map(|(index, &own)| (own, other.tokens.get(index).copied().unwrap_or(0))).collect();
    weighted(&mut all.train, &other.train, &weights);
    weighted(&mut all.excess, &other.excess, &weights);
    all.tokens = weights.iter().map(|(own, more)| own.saturating_add(*more)).collect();
    if all.validation.is_empty() {
        all.validation.clone_from(&other.validation);
    } else {
        sum(&mut all.validation, &other.validation);
    }
    if all.gradients.is_none() {
        all.gradients.clone_from(&other.gradients);
    }
}

fn add_probe(all: &mut ProbeReport, other: &ProbeReport) {
    sum(&mut all.before, &other.before);
    for (own, other) in all.branches.iter_mut().zip(&other.branches) {
        own.tokens.iter_mut().zip(&other.tokens).for_each(|(own, more)| *own = own.saturating_add(*more));
        sum(&mut own.after, &other.after);
    }
}

fn weighted(all: &mut Vec<Option<f64>>, other: &[Option<f64>], weights: &[(u64, u64)]) {
    if all.is_empty() {
        all.resize(other.len(), None);
    }
    for ((own, other), (before, more)) in all.iter_mut().zip(other).zip(weights) {
        *own = match (*own, *other) {
            (Some(own), Some(other)) if before + more > 0 => {
                Some((own * *before as f64 + other * *more as f64) / (*before as f64 + *more as f64))
            }
            (own, other) => own.or(other),
        };
    }
}

fn sum(all: &mut [f64], other: &[f64]) {
    all.iter_mut().zip(other).for_each(|(own, other)| *own += other);
}

fn divide(values: &mut [f64], by: usize) {
    if by > 1 {
        values.iter_mut().for_each(|value| *value /= by as f64);
    }
}
