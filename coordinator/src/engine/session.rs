//! Who a worker is, and what it may go on with.
//!
//! A node has one session. A newer one replaces an older one: the worker came back before its old stream was noticed to
//! be dead. What the worker still holds and the records confirm goes on; what they give to somebody else is dropped;
//! what they give to this node and it does not know of (it was restarted, or never heard of it) waits again.

use super::{Effect, Effects, Engine, Fact, Held, Message, TaskProgress, gang::Standing, upkeep};
use crate::model::{Access, Disk, Holding, Inventory, Job, JobPhase, Millis, Node, Rate, SessionId};
use braid_workload::{NodeId, TaskId};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

impl Engine {
    pub(super) fn hello(
        &mut self,
        session: SessionId,
        id: NodeId,
        inventory: Inventory,
        held: Vec<Held>,
        now: Millis,
        effects: &mut Effects,
    ) {
        // A second hello on one stream: whoever it was before is heard of no more.
        self.disconnected(session);
        let lease = self.state.next_lease();
        let old = self.state.nodes.remove(&id);
        let (old_session, assigned, rate, rates, inputs) = match old {
            Some(node) => (node.session, node.tasks, node.rate, node.rates, node.inputs),
            None => (None, BTreeSet::new(), Rate::default(), BTreeMap::new(), Arc::default()),
        };
        if let Some(old) = old_session {
            self.state.sessions.remove(&old);
            effects.push(Effect::Close { session: old, reason: "a newer session of the same node" });
        }
        let (kept, drop): (Vec<Held>, Vec<Held>) = held.into_iter().partition(|held| self.holds(&id, held));
        let kept_tasks: BTreeSet<TaskId> = kept.iter().map(|held| held.task).collect();
        let unknown: Vec<TaskId> = assigned.difference(&kept_tasks).copied().collect();
        self.state.sessions.insert(session, id.clone());
        let mut node = Node {
            id: id.clone(),
            session: Some(session),
            lease,
            expires: now + self.lease,
            declared: inventory.labels.clone(),
            inventory: Some(Arc::new(inventory)),
            tasks: BTreeSet::new(),
            holding: Holding::default(),
            rate,
            rates,
            inputs,
            access: Access::default(),
            evicted: false,
            resting: None,
        };
        for task in kept_tasks {
            if let Some(known) = self.state.job(task.job).and_then(|job| job.tasks.get(task.index as usize)) {
                node.take(task, known);
            }
        }
        upkeep::attend(&mut node, &self.state.upkeep.get(&id).cloned().unwrap_or_default());
        self.state.nodes.insert(id, node);
        effects.push(Effect::Send { session, message: Message::Welcome { lease, patience: self.lease, drop } });
        for held in kept {
            let broken = |job: &Job| Standing::of(job, held.task.index) == Standing::Broken;
            // It may not have heard that it is to make room.
            let told = |job: &Job| job.tasks.get(held.task.index as usize).is_some_and(|task| task.stopping);
            let stops = |job: &Job| job.phase != JobPhase::Running || broken(job) || told(job);
            if self.state.job(held.task.job).is_some_and(stops) {
                let message = Message::Stop { task: held.task, attempt: held.attempt };
                effects.push(Effect::Send { session, message });
            }
        }
        for task in unknown {
            self.lost(task, now, effects);
        }
        self.state.unplaced = true;
    }

    /// Whether the records give this attempt to this node.
    fn holds(&self, node: &NodeId, held: &Held) -> bool {
        self.state.job(held.task.job).and_then(|job| job.tasks.get(held.task.index as usize)).is_some_and(|task| {
            task.accepts(held.attempt, held.lease) && task.assignment().is_some_and(|assignment| assignment.node == *node)
        })
    }

    pub(super) fn disconnected(&mut self, session: SessionId) {
        let Some(id) = self.state.sessions.remove(&session) else { return };
        if let Some(node) = self.state.nodes.get_mut(&id) {
            node.session = None;
        }
        // Placement may have counted on it: what was meant for it is free for another.
        self.state.unplaced = true;
    }

    pub(super) fn keep_alive(&mut self, session: SessionId, progress: &[TaskProgress], now: Millis) {
        let Some(node) = self.state.sessions.get(&session).and_then(|id| self.state.nodes.get_mut(id)) else { return };
        node.expires = now + self.lease;
        for report in progress.iter().filter(|report| node.tasks.contains(&report.task)) {
            let Some(job) = self.state.jobs.get_mut(&report.task.job) else { continue };
            let index = report.task.index;
            let Some(before) = job.tasks.get(index as usize).filter(|task| task.attempt == report.attempt) else { continue };
            node.holding -= before;
            job.progress(index, report.done, report.reused);
            job.tasks.get(index as usize).into_iter().for_each(|now| node.holding += now);
        }
    }

    /// Takes note what is left of a node's disks. Placement is asked again only when there is more room than before: less of it
    /// lets nothing start.
    pub(super) fn disks(&mut self, session: SessionId, disks: Vec<Disk>) {
        let Some(node) = self.state.sessions.get(&session).and_then(|id| self.state.nodes.get_mut(id)) else { return };
        let Some(offer) = node.inventory.as_mut() else { return };
        let before = |disk: &Disk| offer.disks.iter().find(|old| old.mount == disk.mount).map_or(0, |old| old.free);
        if disks.iter().any(|disk| disk.free > before(disk)) {
            self.state.unplaced = true;
        }
        if offer.disks != disks {
            Arc::make_mut(offer).disks = disks;
        }
    }

    /// Gives whoever is known a lease to be heard again, as after a restart: silence was the coordinator's own.
    pub(super) fn awoke(&mut self, now: Millis) {
        for node in self.state.nodes.values_mut() {
            node.expires = node.expires.max(now + self.lease);
        }
    }

    /// Loses the nodes whose lease has ended, and wakes those that have rested.
    pub(super) fn expire(&mut self, now: Millis, effects: &mut Effects) {
        for node in self.state.nodes.values_mut().filter(|node| node.resting.is_some_and(|until| until <= now)) {
            node.resting = None;
            self.state.unplaced = true;
        }
        let late: Vec<NodeId> =
            self.state.nodes.values().filter(|node| node.expires <= now).map(|node| node.id.clone()).collect();
        for id in late {
            let Some(node) = self.state.nodes.remove(&id) else { continue };
            self.state.facts.push(Fact::LeaseLost);
            if let Some(session) = node.session {
                self.state.sessions.remove(&session);
                effects.push(Effect::Close { session, reason: "silent for longer than its lease" });
            }
            for task in node.tasks {
                self.lost(task, now, effects);
            }
            self.state.unplaced = true;
        }
    }
}
