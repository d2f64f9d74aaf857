//! Aioli (Chen et al., "Aioli: a unified optimization framework for language model data mixing", ICLR 2025, arXiv 2411.05735,
//! Algorithms 1 and 2).
//!
//! ```text
//! given proportions ─▶ measure ─▶ sweeps: k·m intervals, each nearly on one domain ─▶ update ─▶ main ─┐
//!  (restricted use)                 (or forks: k·m branches of one checkpoint)                        │
//!                                   ▲───────────────── the next round, while one fits ────────────────┤
//!                                                                                             rest ◀──┘
//! ```
//!
//! Law: a step on proportions `p` lowers the loss on domain `i` by `Σ_j A_ij p_j`. Each round estimates `A` from the run itself
//! and moves the proportions: `p_j ∝ p_j exp(η Σ_i Ā_ij)`, `Ā` being `A` shifted to be non-negative and divided by the sum of all its
//! entries.
//!
//! What differs from the released code, unless [`Semantics::Released`] is asked for: weights are cumulative also with a moving
//! average (the released code begins again from uniform then, so that no two weights differ by more than a factor `e^η`); all
//! batches are composed exactly; and `A` is solved with the mixtures that were really consumed, not with those asked for.
//!
//! Cost: no extra run, but `k·m + 1` validation passes in the first round and in each later one `k·m` and one at its end. As forks,
//! `k·m·interval` steps a round beside the run instead of within it; all branches of a round can run at once.

mod learn;
#[cfg(test)]
mod tests;

use super::{
    Run,
    contract::{Branch, Directive, Fate, Leg, Method, Needs, Observation, Origin, ProbePlan, ProbeReport},
    settings::{demand, demand_len},
};
use crate::{
    BatchRule, MixtureError, Proportions, Tally,
    draw::{Draws, Purpose},
    numerics::Matrix,
};
use learn::Learned;
use serde::{Deserialize, Serialize};

/// The constants of Aioli.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AioliSettings {
    /// Steps of a round (250 in most released scripts).
    pub round: u64,
    /// `k`, how often each domain is tried in a round.
    pub sweeps: u64,
    /// Steps of one trial.
    pub interval: u64,
    /// `δ`, the part of a round spent on trials; where given, the interval is made to fit it.
    pub budget: Option<f64>,
    /// `ε`: a trial of domain `j` is on `(1 - ε) e_j + ε/m`. The released `one_hot_factor` is `1 - ε + ε/m`.
    pub smoothing: f64,
    /// `η`.
    pub rate: f64,
    /// Whether `A` is normalized before it is used. Without, `η` has the unit of one over a loss.
    pub normalize: bool,
    /// `γ`, the weight of earlier rounds in a moving average of `Ā`; none where absent.
    pub memory: Option<f64>,
    /// Proportions and steps to train before the first round: to refine what another method has found.
    pub start: Option<Start>,
    /// As published, or as released.
    pub semantics: Semantics,
    /// Trials within the run, or beside it.
    pub probing: Probing,
}

/// What precedes the first round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// One a domain, in order.
    pub proportions: Proportions,
    /// For how many steps.
    pub steps: u64,
}

/// Two readings of Aioli.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Semantics {
    /// Algorithm 1, batches composed exactly, solved with realised mixtures.
    #[default]
    Published,
    /// As the authors' code: with a moving average weights begin from uniform each round; trials are composed by rounding down,
    /// the main part by chance; solved with the mixtures asked for. For comparison.
    Released,
}

/// Where trials run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Probing {
    /// One after another within the run, as published: they count as its steps, and each begins where the one before ended.
    #[default]
    Sequential,
    /// As branches of the checkpoint at the beginning of the round, all at once; the run then trains the whole round on its
    /// proportions. Branches of one sweep see the same sequences, so that they differ by their mixture alone.
    Forked,
}

impl Default for AioliSettings {
    fn default() -> Self {
        Self {
            round: 250,
            sweeps: 4,
            interval: 4,
            budget: None,
            smoothing: 0.75,
            rate: 0.2,
            normalize: true,
            memory: None,
            start: None,
            semantics: Semantics::Published,
            probing: Probing::Sequential,
        }
    }
}

/// Aioli at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::online) struct Aioli {
    /// With the interval that the budget gives.
    settings: AioliSettings,
    /// Those of the main part.
    shares: Proportions,
    /// The moving average of the normalized interactions.
    average: Option<Matrix>,
    /// The interactions of the last round, as estimated.
    last: Option<Matrix>,
    round: u64,
    phase: Phase,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    /// On given proportions.
    Start,
    /// The first round's losses are not known yet.
    Unmeasured,
    /// Trials within the run; `before` are the losses at the end of the one before.
    Sweeps { before: Vec<f64>, learned: Learned },
    /// Waiting for branches.
    Forks,
    /// The rest of a round.
    Main,
    /// No whole round fits any more.
    Rest,
}

impl Aioli {
    pub(in crate::online) fn new(settings: &AioliSettings, run: &Run) -> Result<Self, MixtureError> {
        const NAME: &str = "aioli";
        let mut settings = settings.clone();
        let domains = run.domains.len() as u64;
        let (one, trials) = ("at least 1", settings.sweeps.saturating_mul(domains));
        demand(settings.round > 0, NAME, "round", settings.round, one)?;
        demand((1..=1024).contains(&settings.sweeps), NAME, "sweeps", settings.sweeps, "from 1 to 1024")?;
        demand((0.0..1.0).contains(&settings.smoothing), NAME, "smoothing", settings.smoothing, "from 0 to below 1")?;
        demand(settings.rate.is_finite(), NAME, "rate", settings.rate, "a number")?;
        if let Some(memory) = settings.memory {
            demand((0.0..1.0).contains(&memory), NAME, "memory", memory, "from 0 to below 1")?;
        }
        if let Some(budget) = settings.budget {
            demand(budget > 0.0 && budget < 1.0, NAME, "budget", budget, "between 0 and 1")?;
            settings.interval = (budget * settings.round as f64 / trials as f64) as u64;
            let wanted = format!("enough of a round of {} steps for {trials} trials of one step or more", settings.round);
            demand(settings.interval > 0, NAME, "budget", budget, &wanted)?;
        }
        demand(settings.interval > 0, NAME, "interval", settings.interval, one)?;
        if settings.probing == Probing::Sequential {
            let used = trials.saturating_mul(settings.interval);
            let wanted = format!("more than the {used} steps of {trials} trials");
            demand(used < settings.round, NAME, "round", settings.round, &wanted)?;
        }
        if let Some(start) = &settings.start {
            demand_len(run, "aioli's start", &start.proportions)?;
        }
        let first = settings.start.as_ref().map_or(0, |start| start.steps);
        let wanted = format!("at most {}, so that one fits into the run", run.steps.saturating_sub(first));
        demand(first.saturating_add(settings.round) <= run.steps, NAME, "round", settings.round, &wanted)?;
        let phase = match (first, settings.probing) {
            (1.., _) => Phase::Start,
            (0, Probing::Sequential) => Phase::Unmeasured,
            (0, Probing::Forked) => Phase::Forks,
        };
        Ok(Self { settings, shares: Proportions::uniform(domains as usize), average: None, last: None, round: 0, phase })
    }

    /// The step at which round `round` begins; the largest number where there is none so late.
    fn begin_of(&self, round: u64) -> u64 {
        let first = self.settings.start.as_ref().map_or(0, |start| start.steps);
        self.settings.round.saturating_mul(round).saturating_add(first)
    }

    fn has_round(&self, run: &Run, round: u64) -> bool {
        self.begin_of(round.saturating_add(1)) <= run.steps
    }

    fn measures(&self) -> bool {
        self.settings.probing == Probing::Sequential
    }

    fn trial(&self, run: &Run, hot: usize) -> Proportions {
        Proportions::one_hot(run.domains.len(), hot, self.settings.smoothing)
    }

    /// The domain of trial `done` of this round: every sweep is a permutation of its own.
    fn hot(&self, run: &Run, done: u64) -> usize {
        let domains = run.domains.len();
        let sweep = self.round.saturating_mul(self.settings.sweeps) + done / domains as u64;
        let order = Draws::new(run.seed, Purpose::Sweep, sweep).permutation(domains);
        order.get((done % domains as u64) as usize).copied().unwrap_or(0)
    }

    /// What a round begins with, given the losses at its beginning.
    fn round_begins(&self, run: &Run, losses: &[f64]) -> Phase {
        match self.settings.probing {
            Probing::Forked => Phase::Forks,
            Probing::Sequential => Phase::Sweeps { before: losses.to_vec(), learned: Learned::new(run.domains.len()) },
        }
    }

    /// The mixture that a trial counts as.
    fn counted(&self, run: &Run, hot: usize, tokens: &[u64]) -> Proportions {
        let mut realised = Tally::new(run.domains.len());
        realised.add(tokens);
        match self.settings.semantics {
            Semantics::Published => realised.proportions().unwrap_or_else(|| self.trial(run, hot)),
            Semantics::Released => self.trial(run, hot),
        }
    }

    /// Estimates the interactions and moves the proportions.
    fn update(&mut self, learned: &Learned) -> Result<(), MixtureError> {
        let interactions = learned.interactions().ok_or_else(|| MixtureError::Undetermined {
            object: "aioli",
            problem: format!("the mixtures consumed in round {} do not tell the domains apart", self.round + 1),
        })?;
        let used = if self.settings.normalize { learn::normalized(&interactions) } else { interactions.clone() };
        let used = match (self.settings.memory, self.average.take()) {
            (Some(memory), Some(average)) => learn::blended(&used, &average, memory),
            _ => used,
        };
        let gains: Vec<f64> = learn::column_sums(&used).iter().map(|sum| self.settings.rate * sum).collect();
        let restarts = self.settings.semantics == Semantics::Released && self.settings.memory.is_some();
        let from = if restarts { Proportions::uniform(gains.len()) } else { self.shares.clone() };
        self.shares = from.exponentiated(&gains);
        self.average = self.settings.memory.map(|_| used);
        self.last = Some(interactions);
        self.phase = Phase::Main;
        Ok(())
    }

    fn leg(&self, proportions: Proportions, rule: BatchRule, until: u64, validation: bool) -> Directive {
        let rule = if self.settings.semantics == Semantics::Released { rule } else { BatchRule::Exact };
        let needs = Needs { validation, ..Needs::default() };
        Directive::Train(Leg { proportions, rule, objective: None, until, needs })
    }
}

impl Method for Aioli {
    fn name(&self) -> &'static str {
        match self.settings.semantics {
            Semantics::Published => "aioli",
            Semantics::Released => "aioli as released",
        }
    }

    fn next(&self, run: &Run, _: u64) -> Directive {
        let begin = self.begin_of(self.round);
        match &self.phase {
            Phase::Start => {
                let start = self.settings.start.as_ref();
                let proportions = start.map_or_else(|| self.shares.clone(), |start| start.proportions.clone());
                self.leg(proportions, BatchRule::Multinomial, begin, self.measures())
            }
            Phase::Unmeasured => Directive::Measure(Needs { validation: true, ..Needs::default() }),
            Phase::Sweeps { learned, .. } => {
                let done = learned.trials();
                let until = begin.saturating_add((done + 1).saturating_mul(self.settings.interval));
                self.leg(self.trial(run, self.hot(run, done)), BatchRule::Floored, until, true)
            }
            Phase::Forks => Directive::Probe(self.forks(run)),
            Phase::Main => {
                let until = self.begin_of(self.round + 1);
                let again = self.measures() && self.has_round(run, self.round + 1);
                self.leg(self.shares.clone(), BatchRule::Multinomial, until, again)
            }
            Phase::Rest => self.leg(self.shares.clone(), BatchRule::Multinomial, run.steps, false),
        }
    }

    fn observe(&mut self, run: &Run, seen: &Observation) -> Result<(), MixtureError> {
        match &self.phase {
            Phase::Start | Phase::Unmeasured => self.phase = self.round_begins(run, &seen.validation),
            Phase::Sweeps { before, learned } => {
                let hot = self.hot(run, learned.trials());
                let mut learned = learned.clone();
                learned.add(hot, before, &seen.validation, &self.counted(run, hot, &seen.tokens));
                if learned.trials() < self.settings.sweeps * run.domains.len() as u64 {
                    self.phase = Phase::Sweeps { before: seen.validation.clone(), learned };
                } else {
                    self.update(&learned)?;
                }
            }
            Phase::Main => {
                self.round += 1;
                self.phase = if self.has_round(run, self.round) { self.round_begins(run, &seen.validation) } else { Phase::Rest };
            }
            Phase::Forks | Phase::Rest => {}
        }
        Ok(())
    }

    fn probed(&mut self, run: &Run, report: &ProbeReport) -> Result<(), MixtureError> {
        let domains = run.domains.len();
        let mut learned = Learned::new(domains);
        for (index, branch) in report.branches.iter().enumerate() {
            let hot = index % domains;
            learned.add(hot, &report.before, &branch.after, &self.counted(run, hot, &branch.tokens));
        }
        self.update(&learned)
    }

    fn learnt(&self, _: &Run) -> Proportions {
        self.shares.clone()
    }

    fn interactions(&self) -> Option<&[Vec<f64>]> {
        self.last.as_deref()
    }

    fn fits(&self, domains: usize) -> bool {
        let square = |matrix: &Matrix| matrix.len() == domains && matrix.iter().all(|row| row.len() == domains);
        let phase = match &self.phase {
            Phase::Sweeps { before, learned } => before.len() == domains && learned.fits(domains),
            _ => true,
        };
        phase && self.shares.len() == domains && self.average.iter().chain(&self.last).all(square)
    }
}

impl Aioli {
    fn forks(&self, run: &Run) -> ProbePlan {
        let sweeps = (0..self.settings.sweeps).map(|sweep| self.round.saturating_mul(self.settings.sweeps) + sweep);
        let branches = sweeps.flat_map(|stream| {
            (0..run.domains.len()).map(move |hot| Branch {
                proportions: self.trial(run, hot),
                steps: self.settings.interval,
                stream,
            })
        });
        ProbePlan { from: Origin::Current, branches: branches.collect(), measure: true, fate: Fate::Discard }
    }
}
