//! What a method asks of its trainer beside losses, known from its settings: so that a trainer that cannot is refused before it runs.

use super::{Play, Probing, Settings};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What not every trainer can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ask {
    /// Training branches beside the run, from a checkpoint that it comes back to.
    Branches,
    /// Excess losses over a reference model, which one of the branches becomes.
    Excess,
    /// Norms, variances or inner products of the gradients of single domains.
    Gradients,
    /// Weights of domains in the objective.
    Objective,
}

impl Ask {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Branches, Self::Excess, Self::Gradients, Self::Objective];
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Branches => "branches beside the run (`branches`)",
            Self::Excess => "excess losses over a reference model (`excess`)",
            Self::Gradients => "gradients of single domains (`gradients`)",
            Self::Objective => "weights of domains in the objective (`objective`)",
        })
    }
}

impl Settings {
    /// What the method asks for beside training and validation losses.
    pub fn asks(&self) -> Vec<Ask> {
        let objective = |play: Play| (play == Play::Objective).then_some(Ask::Objective);
        match self {
            Self::Stratified {}
            | Self::Proportional { .. }
            | Self::Fixed { .. }
            | Self::Schedule { .. }
            | Self::Odm(_)
            | Self::Ado(_)
            | Self::Sheared(_) => vec![],
            Self::Aioli(settings) if settings.probing == Probing::Forked => vec![Ask::Branches],
            Self::Aioli(_) => vec![],
            Self::SkillIt(settings) => settings.graph.is_none().then_some(Ask::Branches).into_iter().collect(),
            Self::Doremi(settings) => [Ask::Branches, Ask::Excess].into_iter().chain(objective(settings.play)).collect(),
            Self::Doge(settings) => [Ask::Gradients].into_iter().chain(objective(settings.play)).collect(),
            Self::Pike(_) => vec![Ask::Gradients],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::online::{Directive, Online, simulate};
    use std::collections::BTreeSet;

    /// What a method really asks for, over a whole run.
    fn asked(text: &str) -> BTreeSet<Ask> {
        let run = simulate::run(3, 40, 6);
        let mut online = Online::new(&simulate::settings(text), run.clone()).unwrap();
        let law = vec![vec![0.02, 0.0, 0.0], vec![0.0, 0.01, 0.0], vec![0.0, 0.0, 0.03]];
        let mut trainer = simulate::Trainer::new(law, &[3.0, 4.0, 5.0], &run);
        let mut asks = BTreeSet::new();
        loop {
            match online.next() {
                Directive::Probe(_) => asks.extend([Ask::Branches]),
                Directive::Train(leg) => {
                    asks.extend(leg.needs.excess.then_some(Ask::Excess));
                    asks.extend((leg.needs.norms || leg.needs.products).then_some(Ask::Gradients));
                    asks.extend(leg.objective.is_some().then_some(Ask::Objective));
                }
                Directive::Measure(_) | Directive::Done => {}
            }
            if trainer.advance(&mut online).is_none() {
                return asks;
            }
        }
    }

    #[test]
    fn what_is_said_is_what_is_asked_for() {
        for text in [
            "{method: stratified}",
            "{method: proportional}",
            "{method: fixed, proportions: [0.5, 0.25, 0.25]}",
            "{method: aioli, round: 20, sweeps: 1, interval: 2}",
            "{method: aioli, round: 20, sweeps: 1, interval: 2, probing: forked}",
            "{method: skill-it, every: 10, graph_steps: 5}",
            "{method: skill-it, every: 10, graph: [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}",
            "{method: doremi, every: 10, reference_steps: 5}",
            "{method: doremi, every: 10, reference_steps: 5, play: sampling}",
            "{method: doge, every: 10}",
            "{method: doge, every: 10, play: sampling}",
            "{method: odm, every: 5}",
            "{method: ado}",
            "{method: pike, every: 10}",
            "{method: sheared, every: 10, targets: [1, 1, 1]}",
        ] {
            let said: BTreeSet<Ask> = simulate::settings(text).asks().into_iter().collect();
            assert_eq!(said, asked(text), "{text}");
        }
    }
}
