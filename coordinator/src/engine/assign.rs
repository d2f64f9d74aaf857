//! What to ask placement, and what its answer starts.

use super::{Effect, Effects, Engine, Message, State, fact, fairness::Ledger, gang};
use crate::{
    model::{Assignment, Change, Class, Job, JobPhase, Millis, Node, Rate, TaskPhase},
    placement::{Absent, Away, Candidate, Decision, Placement, Problem, Wait, Waiting, guess_rates},
};
use braid_workload::{JobId, TaskId};
use std::collections::BTreeSet;

impl Engine {
    /// The question for placement, when something may have changed its answer. Asking once settles it until then.
    pub fn problem(&mut self) -> Option<Problem> {
        if !std::mem::take(&mut self.state.unplaced) {
            return None;
        }
        let (problem, held) = self.state.ask();
        for (job, reason) in held {
            if let Some(job) = self.state.jobs.get_mut(&job).filter(|job| job.tally().assigned == 0) {
                job.reason = Some(reason);
            }
        }
        (!problem.classes.is_empty()).then_some(problem)
    }

    /// Whether [`problem`](Self::problem) would look for one.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.state.unplaced
    }

    /// Placement may have changed its mind: ask it again.
    pub fn reconsider(&mut self) {
        self.state.unplaced = true;
    }

    pub(super) fn placed(&mut self, decision: Decision, now: Millis, effects: &mut Effects) {
        let mut ledger = (!self.state.projects.is_empty()).then(|| self.state.ledger());
        let least = self.state.least_priority();
        for placement in &decision.placements {
            let in_the_way = self.in_the_way(placement, least);
            self.assign(placement, ledger.as_mut(), now, effects);
            // After it is there: what stops must not be followed by another before it.
            if self.state.job(placement.job).is_some_and(|job| job.tally().assigned > 0) {
                self.stop(&in_the_way, effects);
            }
        }
        for gang in &decision.gangs {
            self.assign_gang(gang, ledger.as_mut(), now, effects);
        }
        let starved: Vec<JobId> = decision.reasons.iter().map(|(job, _)| *job).collect();
        for (job, reason) in decision.reasons {
            if let Some(job) = self.state.jobs.get_mut(&job) {
                job.reason = (job.tally().assigned == 0 && job.phase == JobPhase::Running).then_some(reason);
            }
        }
        self.preempt(&starved, effects);
    }

    /// Hands out the first waiting tasks of a class, as many as there still are, if the node is there and offers what
    /// they need.
    fn assign(&mut self, placement: &Placement, ledger: Option<&mut Ledger>, now: Millis, effects: &mut Effects) {
        if placement.class.gang != 1 {
            return; // never a part of one
        }
        let Some(job) = self.state.jobs.get_mut(&placement.job).filter(|job| job.phase == JobPhase::Running) else { return };
        let Some(node) = self.state.nodes.get_mut(&placement.node) else { return };
        let Some(session) = node.session else { return };
        let able = node.inventory.as_ref().is_some_and(|offer| offer.could_run(&job.kind, &placement.class));
        if !able || !node.access.is_open() {
            return;
        }
        let (project, each) = (&job.precedence.project, State::amount_on(node, &placement.class));
        // What placement was told may be out of date.
        let room = ledger.as_ref().map_or(u32::MAX, |ledger| ledger.room(project, each).unwrap_or(0));
        let tasks = first(job.waiting().get(&placement.class), placement.count.min(room));
        if tasks.is_empty() {
            return;
        }
        if let Some(ledger) = ledger {
            ledger.take(project, each.times(u32::try_from(tasks.len()).unwrap_or(u32::MAX)));
        }
        job.reason = None;
        for index in tasks {
            let id = job.id.task(index);
            let assignment = Assignment { node: node.id.clone(), lease: node.lease, since: now };
            job.set_phase(index, TaskPhase::Assigned(assignment));
            let Some(attempt) = job.tasks.get(index as usize).map(|task| task.attempt.next()) else { continue };
            gang::begin(job, index, attempt);
            self.state.timeline.begin(id, attempt, node.id.clone(), now);
            if let Some(task) = job.tasks.get(index as usize) {
                node.take(id, task);
            }
            fact::started(job, now, &mut self.state.facts);
            let Some(task) = job.tasks.get(index as usize) else { continue };
            effects.push(Change::task(id, task).into());
            let run = gang::run(job, index, node.lease, None);
            effects.extend(run.map(|run| Effect::Send { session, message: Message::Run(Box::new(run)) }));
        }
    }
}

impl State {
    /// What waits, in the order in which it should go, and where it could go. What a quota holds is not in it.
    pub fn problem(&self) -> Problem {
        self.ask().0
    }

    /// The same, with what a quota holds, and why.
    fn ask(&self) -> (Problem, Vec<(JobId, Wait)>) {
        let running = self.jobs.values().filter(|job| job.phase == JobPhase::Running);
        let classes = running.flat_map(|job| {
            job.waiting().iter().map(|(class, queue)| Waiting {
                job: job.id,
                class: class.clone(),
                kind: job.kind.clone(),
                count: count(job, class, queue),
                bytes: mean_bytes(job, queue),
                seconds: job.pace.get(class).copied(),
                warm: job.warm.clone(),
            })
        });
        let (classes, held) = self.in_order(classes.filter(|class| class.count > 0).collect());
        let mut nodes: Vec<Candidate> = self.nodes.values().filter_map(|node| self.candidate(node, &[])).collect();
        guess_rates(&mut nodes);
        let problem = Problem { classes, nodes, absent: self.nodes.values().filter_map(absent).collect() };
        (problem, held)
    }

    /// A node as it would be if some of its tasks had ended.
    pub(super) fn candidate(&self, node: &Node, gone: &[TaskId]) -> Option<Candidate> {
        node.session?;
        if node.resting.is_some() || !node.access.is_open() {
            return None;
        }
        let rate = |(kind, rate): (&String, &Rate)| Some((kind.clone(), rate.bytes_per_second()?));
        let mut holding = node.holding;
        for id in gone.iter().filter(|id| node.tasks.contains(id)) {
            if let Some(task) = self.job(id.job).and_then(|job| job.tasks.get(id.index as usize)) {
                holding -= task;
            }
        }
        Some(Candidate {
            node: node.id.clone(),
            offer: node.inventory.clone()?,
            load: holding.load(),
            reserved: false,
            rate: node.rate.bytes_per_second(),
            rates: node.rates.iter().filter_map(rate).collect(),
            inputs: node.inputs.clone(),
        })
    }
}

/// A node that is known and may not be given tasks.
fn absent(node: &Node) -> Option<Absent> {
    let why = match (node.session, node.resting) {
        (None, _) => Away::Silent,
        _ if !node.access.is_open() => Away::Cordoned,
        (Some(_), Some(_)) => Away::Leaving,
        (Some(_), None) => return None,
    };
    Some(Absent { node: node.id.clone(), offer: node.inventory.clone()?, why })
}

/// How many tasks of a class wait; of gangs, how many wait as a whole.
fn count(job: &Job, class: &Class, queue: &BTreeSet<u32>) -> u32 {
    let count = if class.gang == 1 { queue.len() } else { job.waiting_gangs(class).count() };
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn first(queue: Option<&BTreeSet<u32>>, count: u32) -> Vec<u32> {
    queue.into_iter().flatten().take(count as usize).copied().collect()
}

/// The mean of what is at the head of the queue: enough to tell long tasks from short ones, at a cost that does not grow
/// with the queue.
fn mean_bytes(job: &Job, queue: &BTreeSet<u32>) -> f64 {
    const HEAD: usize = 16;
    let bytes: Vec<f64> = queue
        .iter()
        .take(HEAD)
        .filter_map(|index| job.tasks.get(*index as usize))
        .map(|task| task.spec.demand.bytes as f64)
        .collect();
    bytes.iter().sum::<f64>() / bytes.len().max(1) as f64
}
