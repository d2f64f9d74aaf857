//! More nodes than there are, to see what they would change: `4xH100`.

use super::{Candidate, Load, Problem};
use crate::model::{Gpus, Inventory};
use braid_workload::NodeId;
use std::{fmt, str::FromStr, sync::Arc};

/// GPUs of an added node of which no like is known.
const GPUS: u32 = 8;
/// The most nodes that may be added.
const MOST: u32 = 4096;

/// So many nodes with GPUs of a kind; or like the largest there is, without a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoreNodes {
    /// How many.
    pub count: u32,
    /// What their GPUs' name contains.
    pub kind: Option<String>,
}

/// A text that names no nodes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a number of nodes such as 4, or 4xH100 with the kind of their GPUs (at most {MOST})")]
pub struct MoreNodesError;

impl FromStr for MoreNodes {
    type Err = MoreNodesError;

    fn from_str(text: &str) -> Result<Self, MoreNodesError> {
        let (count, kind) = text.split_once('x').map_or((text, None), |(count, kind)| (count, Some(kind.trim())));
        let count = count.trim().parse().ok().filter(|count| (1..=MOST).contains(count)).ok_or(MoreNodesError)?;
        if kind.is_some_and(|kind| kind.is_empty() || kind.chars().any(char::is_control)) {
            return Err(MoreNodesError);
        }
        Ok(Self { count, kind: kind.map(str::to_owned) })
    }
}

impl fmt::Display for MoreNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Some(kind) => write!(f, "{}x{kind}", self.count),
            None => write!(f, "{}", self.count),
        }
    }
}

impl MoreNodes {
    /// Adds them to a problem: like a node there with such GPUs, or else like the largest, with such GPUs.
    pub fn add_to(&self, problem: &mut Problem) {
        let offers = || problem.nodes.iter().map(|node| &*node.offer).chain(problem.absent.iter().map(|node| &*node.offer));
        let largest = |offer: &&Inventory| (offer.gpus.count, offer.memory, offer.threads);
        let like = offers().filter(|offer| offer.gpus.count > 0 && offer.gpus.is_kind(self.kind.as_deref())).max_by_key(largest);
        let mut offer = match (like, &self.kind) {
            (Some(offer), Some(_)) => offer.clone(),
            (_, kind) => {
                let mut offer = offers().max_by_key(largest).cloned().unwrap_or_else(|| usual(problem));
                if let Some(kind) = kind {
                    offer.gpus = Gpus { count: GPUS, kind: kind.clone(), memory: 0 };
                }
                offer
            }
        };
        if offer.exchange.is_empty() {
            "added".clone_into(&mut offer.exchange);
        }
        // A label says where a node is; those to come may be anywhere the tasks want them.
        for class in &problem.classes {
            offer.labels.extend(class.class.labels.clone());
        }
        let offer = Arc::new(offer);
        let added = (1..=self.count).map(|number| Candidate {
            node: NodeId(format!("added-{number}")),
            offer: Arc::clone(&offer),
            load: Load::default(),
            ..Candidate::default()
        });
        problem.nodes.extend(added);
    }
}

/// A node for a fleet that has none: what waits could run on it.
fn usual(problem: &Problem) -> Inventory {
    Inventory {
        threads: problem.classes.iter().map(|class| class.class.threads).max().unwrap_or(1).max(8),
        memory: problem.classes.iter().map(|class| class.class.memory).max().unwrap_or(0).max(64 << 30),
        kinds: problem.classes.iter().map(|class| class.kind.clone()).collect(),
        ..Inventory::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_a_number_and_perhaps_a_kind() {
        for (text, count, kind) in [("4", 4, None), ("4xH100", 4, Some("H100"))] {
            let nodes = MoreNodes { count, kind: kind.map(str::to_owned) };
            assert_eq!((text.parse(), nodes.to_string()), (Ok(nodes.clone()), text.to_owned()));
        }
        for text in ["", "0", "x", "4x", "H100", "99999", "-1"] {
            assert_eq!(text.parse::<MoreNodes>(), Err(MoreNodesError), "{text}");
        }
    }
}
