//! All that a table of runs says at once: how well a law holds on runs that it has not seen, and what the laws propose. Pure.

use super::{Agreement, Caps, LawKind, Objective, Simulation, Swarm, fit, mirror_descent, simulate};
use crate::{MixtureError, Proportions};
use serde::Serialize;
use serde_json::{Map, Value};

/// Parts that runs are divided into; each is predicted by a law of the others.
const PARTS: usize = 5;
/// With fewer runs there are not two others for the law of each.
const FEWEST: usize = 3;
/// Below this rank correlation a law cannot be trusted to order mixtures.
const TRUSTED: f64 = 0.8;

/// What a swarm says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Study {
    /// Runs with all metrics.
    pub runs: usize,
    /// Each metric that counts, which is taken for a loss.
    pub metrics: Vec<MetricStudy>,
    /// The mean of all mixtures, which the proposal is kept close to.
    pub prior: Map<String, Value>,
    /// The mixture whose mean of predicted metrics is the least.
    pub proposal: Map<String, Value>,
}

/// How well the law of a metric holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricStudy {
    /// Its name.
    pub metric: String,
    /// Of predictions by laws of the other runs with what was measured.
    pub held_out: Agreement,
    /// Why not to rely on it.
    pub warning: Option<String>,
}

/// Fits a law to each metric in `aims` (all, where that is empty) and proposes a mixture, `closeness` to the mean of all (the factor of
/// the Kullback-Leibler divergence).
///
/// # Errors
/// [`MixtureError::Undetermined`]: no such metric, or too few runs.
pub fn study(swarm: &Swarm, aims: &[String], kind: LawKind, closeness: f64) -> Result<Study, MixtureError> {
    let aims: Vec<usize> = match aims {
        [] => (0..swarm.metrics.len()).collect(),
        named => named.iter().map(|name| swarm.metric(name)).collect::<Result<_, _>>()?,
    };
    if swarm.runs.len() < FEWEST {
        let problem =
            format!("it has {} of the {FEWEST} runs that it takes to predict each by a law of others", swarm.runs.len());
        return Err(MixtureError::Undetermined { object: "swarm", problem });
    }
    let (mut metrics, mut laws) = (vec![], vec![]);
    for aim in aims {
        let (mixtures, values) = swarm.column(aim, swarm.runs.len());
        let held_out = held_out(kind, &mixtures, &values)?;
        let metric = swarm.metrics.get(aim).cloned().unwrap_or_default();
        let trusted = held_out.spearman.is_some_and(|rank| rank >= TRUSTED);
        let warning = (!trusted).then(|| format!("{metric}: its law does not order runs that it has not seen"));
        metrics.push(MetricStudy { metric, held_out, warning });
        laws.push(fit(kind, &mixtures, &values)?);
    }
    let prior = mean(swarm)?;
    let caps = Caps::none(swarm.domains.len());
    let weight = 1.0 / laws.len().max(1) as f64;
    let laws = laws.iter().map(|law| (weight, law)).collect();
    let objective = Objective { laws, closeness, prior: &prior, caps: &caps };
    let proposal = match kind {
        LawKind::Trees => simulate(&objective, Simulation::default())?,
        LawKind::LogLinear | LawKind::Linear => mirror_descent(&objective)?,
    };
    let label = |mixture| swarm.domains.label(mixture);
    Ok(Study { runs: swarm.runs.len(), metrics, prior: label(&prior), proposal: label(&proposal) })
}

/// Each run is predicted by a law of the runs of other parts.
fn held_out(kind: LawKind, mixtures: &[Proportions], values: &[f64]) -> Result<Agreement, MixtureError> {
    let parts = PARTS.min(values.len());
    let mut predicted = vec![0.0; values.len()];
    for part in 0..parts {
        let other = |index: &usize| index % parts != part;
        let (known, measured): (Vec<_>, Vec<_>) =
            (0..values.len()).filter(other).map(|index| (mixtures[index].clone(), values[index])).unzip();
        let law = fit(kind, &known, &measured)?;
        for index in (0..values.len()).filter(|index| index % parts == part) {
            predicted[index] = law.predict(&mixtures[index]);
        }
    }
    Ok(Agreement::of(&predicted, values))
}

fn mean(swarm: &Swarm) -> Result<Proportions, MixtureError> {
    let mut sum = vec![0.0; swarm.domains.len()];
    for run in &swarm.runs {
        sum.iter_mut().zip(run.proportions.iter()).for_each(|(sum, share)| *sum += share);
    }
    let what = || "the mean of all mixtures".to_owned();
    Proportions::normalize(sum).map_err(|problem| MixtureError::Proportions { what: what(), problem })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Domains, swarm::SwarmRun};

    /// Runs whose losses follow a law, or nothing at all.
    fn swarm(loss: impl Fn(f64, usize) -> f64) -> Swarm {
        let run = |index: usize| {
            let share = 0.05 + 0.9 * ((index * 7) % 20) as f64 / 19.0;
            let proportions = Proportions::normalize(vec![share, 1.0 - share]).unwrap();
            SwarmRun { id: index.to_string(), proportions, values: vec![loss(share, index), 1.0] }
        };
        let domains = Domains::new(["web", "code"]).unwrap();
        Swarm { domains, metrics: vec!["loss".into(), "other".into()], runs: (0..20).map(run).collect() }
    }

    #[test]
    fn a_law_that_holds_is_told_from_one_that_does_not() {
        let aims = ["loss".to_owned()];
        let falls = swarm(|share, _| 2.0 + (-1.5 * share).exp());
        let found = study(&falls, &aims, LawKind::LogLinear, 0.01).unwrap();
        assert_eq!((found.runs, found.metrics.len(), &found.metrics[0].warning), (20, 1, &None));
        assert!(found.metrics[0].held_out.spearman > Some(0.99), "{found:?}");
        assert!(found.proposal["web"].as_f64() > Some(0.9) && found.prior["web"].as_f64() < Some(0.6), "{found:?}");
        let close = study(&falls, &aims, LawKind::LogLinear, 100.0).unwrap();
        assert!((close.proposal["web"].as_f64().unwrap() - close.prior["web"].as_f64().unwrap()).abs() < 0.01, "{close:?}");
        let noise = swarm(|_, index| ((index * 2_654_435_761) % 97) as f64);
        let found = study(&noise, &aims, LawKind::Linear, 0.01).unwrap();
        assert!(found.metrics[0].warning.as_ref().is_some_and(|text| text.starts_with("loss: ")), "{found:?}");
    }

    #[test]
    fn what_cannot_be_studied_is_said() {
        let swarm = swarm(|share, _| share);
        let error = study(&swarm, &["bpb".to_owned()], LawKind::Linear, 0.01).unwrap_err().to_string();
        assert!(error.contains("swarm: aim is bpb: one of the metrics loss, other"), "{error}");
        let one = Swarm { runs: swarm.runs[..1].to_vec(), ..swarm };
        assert!(study(&one, &[], LawKind::Linear, 0.01).is_err());
    }
}
