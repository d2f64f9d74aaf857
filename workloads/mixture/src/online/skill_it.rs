//! Skill-It (Chen et al., "Skill-it! A data-driven skills framework", NeurIPS 2023, arXiv 2307.14430).
//!
//! ```text
//! graph: m branches from the start, each on one domain ─▶ legs of `every` steps, each on proportions from the last losses
//! ```
//!
//! `G_ij = (L_i - L_i after training on j alone) / L_i`: row `i` is evaluated, column `j` trained on. Proportions begin with
//! `p_j ∝ exp(η Σ_i G_ij)` and become, from the sum of the losses of the last `window` updates, `p_j ∝ exp(η Σ_i G_ij Σ_s L_i^s)`.
//! A domain gets weight for what it does for others, not for what others do for it: graphs stored the other way round (as some
//! published ones are) give plausible but wrong proportions.
//!
//! What differs from released code: the trials of one domain alone are branches, so that no run is lost where workers are idle.
//! Cost: `m` extra runs of `graph_steps`, or none where the graph is given, and a validation pass an update.

use super::{
    Run,
    contract::{Branch, Directive, Fate, Leg, Method, Needs, Observation, Origin, ProbePlan, ProbeReport},
    settings::demand,
};
use crate::{BatchRule, MixtureError, Proportions, numerics::Matrix};
use serde::{Deserialize, Serialize};

/// The constants of Skill-It.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SkillItSettings {
    /// Steps between updates.
    pub every: u64,
    /// `η`.
    pub rate: f64,
    /// How many updates' losses are summed.
    pub window: usize,
    /// Steps of each extra run; as many as the run itself has unless given.
    pub graph_steps: Option<u64>,
    /// `G`, where it is known: rows evaluated, columns trained on.
    pub graph: Option<Vec<Vec<f64>>>,
}

impl Default for SkillItSettings {
    fn default() -> Self {
        Self { every: 500, rate: 0.2, window: 3, graph_steps: None, graph: None }
    }
}

/// Skill-It at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SkillIt {
    settings: SkillItSettings,
    graph: Option<Matrix>,
    /// The losses of the last updates, the newest last.
    recent: Vec<Vec<f64>>,
}

const NAME: &str = "skill-it";

impl SkillIt {
    pub(super) fn new(settings: &SkillItSettings, run: &Run) -> Result<Self, MixtureError> {
        demand(settings.every > 0, NAME, "every", settings.every, "at least 1")?;
        demand((1..=64).contains(&settings.window), NAME, "window", settings.window, "from 1 to 64")?;
        demand(settings.rate.is_finite(), NAME, "rate", settings.rate, "a number")?;
        demand(settings.graph_steps != Some(0), NAME, "graph_steps", 0, "at least 1")?;
        if let Some(graph) = &settings.graph {
            run.domains.check_len("skill-it's graph", graph.len())?;
            for row in graph {
                run.domains.check_len("a row of skill-it's graph", row.len())?;
            }
            demand(graph.iter().flatten().all(|entry| entry.is_finite()), NAME, "graph", "not all numbers", "numbers alone")?;
        }
        Ok(Self { graph: settings.graph.clone(), settings: settings.clone(), recent: vec![] })
    }

    fn shares(&self, domains: usize) -> Proportions {
        let mut gains = vec![0.0; domains];
        for (evaluated, row) in self.graph.iter().flatten().enumerate() {
            let loss = match self.recent.as_slice() {
                [] => 1.0,
                recent => recent.iter().filter_map(|losses| losses.get(evaluated)).sum(),
            };
            gains.iter_mut().zip(row).for_each(|(gain, entry)| *gain += self.settings.rate * entry * loss);
        }
        Proportions::uniform(domains).exponentiated(&gains)
    }
}

impl Method for SkillIt {
    fn name(&self) -> &'static str {
        NAME
    }

    fn next(&self, run: &Run, step: u64) -> Directive {
        let domains = run.domains.len();
        if self.graph.is_none() {
            let steps = self.settings.graph_steps.unwrap_or(run.steps);
            let alone = |hot| Branch { proportions: Proportions::one_hot(domains, hot, 0.0), steps, stream: 0 };
            let branches = (0..domains).map(alone).collect();
            return Directive::Probe(ProbePlan { from: Origin::Start, branches, measure: true, fate: Fate::Discard });
        }
        let until = step.saturating_add(self.settings.every);
        let needs = Needs { validation: until < run.steps, ..Needs::default() };
        Directive::Train(Leg { proportions: self.shares(domains), rule: BatchRule::Exact, objective: None, until, needs })
    }

    fn observe(&mut self, _: &Run, seen: &Observation) -> Result<(), MixtureError> {
        if !seen.validation.is_empty() {
            self.recent.push(seen.validation.clone());
            let extra = self.recent.len().saturating_sub(self.settings.window);
            self.recent.drain(..extra);
        }
        Ok(())
    }

    fn probed(&mut self, run: &Run, report: &ProbeReport) -> Result<(), MixtureError> {
        let row = |(evaluated, &before): (usize, &f64)| -> Result<Vec<f64>, MixtureError> {
            if before <= 0.0 {
                let problem = format!("domain {}: a loss of {before} has no relative change", run.domains.name(evaluated));
                return Err(MixtureError::Undetermined { object: NAME, problem });
            }
            let after = report.branches.iter().filter_map(|branch| branch.after.get(evaluated));
            Ok(after.map(|after| (before - after) / before).collect())
        };
        self.graph = Some(report.before.iter().enumerate().map(row).collect::<Result<_, _>>()?);
        Ok(())
    }

    fn learnt(&self, run: &Run) -> Proportions {
        self.shares(run.domains.len())
    }

    fn interactions(&self) -> Option<&[Vec<f64>]> {
        self.graph.as_deref()
    }

    fn fits(&self, domains: usize) -> bool {
        let graph =
            self.graph.as_ref().is_none_or(|graph| graph.len() == domains && graph.iter().all(|row| row.len() == domains));
        graph && self.recent.iter().all(|losses| losses.len() == domains)
    }
}
