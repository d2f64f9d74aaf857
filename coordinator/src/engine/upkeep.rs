//! What operators say about nodes, and what follows.

use super::{Effect, Effects, Engine, Message, Refusal, State};
use crate::model::{Access, Change, Millis, Node, Upkeep, keys};
use braid_workload::{MAX_RECORD, NodeId};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// Labels that a node may have from operators.
const MAX_LABELS: usize = 64;
/// Bytes of the name or the value of one.
const MAX_LABEL: usize = 256;

/// What an operator wants of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeWish {
    /// Give it nothing new.
    Cordon,
    /// Give it tasks again.
    Uncordon,
    /// Give it nothing new, and after so long stop what it still runs.
    Drain(Option<Duration>),
    /// Change its labels; `None` takes one away.
    Label(BTreeMap<String, Option<String>>),
}

impl Engine {
    pub(super) fn change_node(&mut self, id: &NodeId, wish: NodeWish, now: Millis, effects: &mut Effects) -> Result<(), Refusal> {
        let State { nodes, upkeep, .. } = &mut self.state;
        if !nodes.contains_key(id) && !upkeep.contains_key(id) {
            return Err(Refusal::NoSuchNode(id.clone()));
        }
        let mut changed = upkeep.get(id).cloned().unwrap_or_default();
        match wish {
            NodeWish::Cordon if changed.access.is_open() => changed.access = Access::Cordoned,
            NodeWish::Cordon => {}
            NodeWish::Uncordon => changed.access = Access::Open,
            NodeWish::Drain(within) => changed.access = Access::Draining(within.map(|within| now + within)),
            NodeWish::Label(labels) => {
                relabel(&mut changed.labels, labels).map_err(|problem| Refusal::BadLabel { node: id.clone(), problem })?;
            }
        }
        let change = Change::upkeep(id, &changed);
        // Quotes and backslashes take more of a record than of a label.
        if let Some(bytes) = change.value.as_ref().map(Vec::len).filter(|bytes| *bytes > MAX_RECORD) {
            let problem = format!("they take {bytes} bytes of a record, which holds at most {MAX_RECORD}");
            return Err(Refusal::BadLabel { node: id.clone(), problem });
        }
        effects.push(change.into());
        if let Some(node) = nodes.get_mut(id) {
            attend(node, &changed);
        }
        if changed.is_default() {
            upkeep.remove(id);
        } else {
            upkeep.insert(id.clone(), changed);
        }
        self.state.unplaced = true;
        self.evict(now, effects);
        Ok(())
    }

    /// Stops what runs on nodes whose time to drain is over. They report it as given back, and it waits again.
    pub(super) fn evict(&mut self, now: Millis, effects: &mut Effects) {
        let State { nodes, upkeep, jobs, .. } = &mut self.state;
        for (id, _) in upkeep.iter().filter(|(_, upkeep)| upkeep.access.is_overdue(now)) {
            let Some(node) = nodes.get_mut(id) else { continue };
            let Some(session) = node.session.filter(|_| !node.evicted) else { continue };
            node.evicted = true;
            for task in &node.tasks {
                let attempt = jobs.get(&task.job).and_then(|job| job.tasks.get(task.index as usize)).map(|task| task.attempt);
                let stop = attempt.map(|attempt| Message::Stop { task: *task, attempt });
                effects.extend(stop.map(|message| Effect::Send { session, message }));
            }
        }
    }
}

/// Makes a node that has come, or come back, what operators said about it.
pub(super) fn attend(node: &mut Node, upkeep: &Upkeep) {
    if node.access != upkeep.access {
        (node.access, node.evicted) = (upkeep.access, false);
    }
    if let Some(offer) = node.inventory.as_mut().map(Arc::make_mut) {
        offer.labels.clone_from(&node.declared);
        offer.labels.extend(upkeep.labels.clone());
    }
}

fn relabel(labels: &mut BTreeMap<String, String>, change: BTreeMap<String, Option<String>>) -> Result<(), String> {
    for (name, value) in change {
        let text = |text: &str| text.len() <= MAX_LABEL && !text.chars().any(char::is_control);
        if name.is_empty() || !text(&name) || !value.as_deref().is_none_or(text) {
            return Err(format!("a name has 1 to {MAX_LABEL} bytes, a value at most as many, and neither control characters"));
        }
        match value {
            Some(value) => labels.insert(name, value),
            None => labels.remove(&name),
        };
    }
    if labels.len() > MAX_LABELS { Err(format!("there are {} of them, at most {MAX_LABELS} fit", labels.len())) } else { Ok(()) }
}

/// What the records say about nodes.
pub(super) fn recover(records: &[(String, Vec<u8>)]) -> Result<BTreeMap<NodeId, Upkeep>, crate::model::RecordError> {
    let of = |(key, value): &(String, Vec<u8>)| {
        let name = key.strip_prefix(keys::NODES).unwrap_or(key);
        Ok((NodeId(name.to_owned()), crate::model::decode(key, value)?))
    };
    records.iter().map(of).collect()
}

/// Names that operators know and no worker has now.
pub(super) fn absent(state: &State) -> impl Iterator<Item = (&NodeId, &Upkeep)> {
    let here: BTreeSet<&NodeId> = state.nodes.keys().collect();
    state.upkeep.iter().filter(move |(id, _)| !here.contains(id))
}
