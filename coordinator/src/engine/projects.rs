//! What projects use, what placement is asked for them, and who makes room for a higher priority.
//!
//! A job of which nothing runs and nothing can be placed may take the place of jobs with a lower priority, whose kind can go
//! on where it was stopped: as few of their tasks as make room are told to stop, the least important and youngest first. They
//! report themselves given back and wait again; nothing is held against them. One such change is under way at a time.

use super::{
    Effect, Effects, Engine, Message, Refusal, State,
    fairness::{Claim, Ledger, divide},
};
use crate::{
    model::{Amount, Change, Class, DEFAULT_PROJECT, Job, JobPhase, Node, Precedence, Project, keys},
    placement::{Wait, Waiting},
};
use braid_workload::{JobId, TaskId};
use std::{cmp::Reverse, collections::BTreeMap};

/// Bytes of the name of a project.
const MAX_NAME: usize = 64;

impl Engine {
    pub(super) fn set_project(&mut self, name: String, project: Project, effects: &mut Effects) -> Result<(), Refusal> {
        check_name(&name)?;
        if project.weight == 0 {
            return Err(Refusal::BadProject { name, problem: "its weight must be at least 1".into() });
        }
        effects.push(Change::project(&name, &project).into());
        if project == Project::default() {
            self.state.projects.remove(&name);
        } else {
            self.state.projects.insert(name, project);
        }
        self.state.unplaced = true;
        Ok(())
    }

    /// Makes room for the most important of the jobs of which nothing could be placed.
    pub(super) fn preempt(&mut self, starved: &[JobId], effects: &mut Effects) {
        let running = || self.state.jobs.values().filter(|job| job.phase == JobPhase::Running && job.tally().assigned > 0);
        let least = running().map(|job| job.precedence.priority).min();
        let urgent = starved.iter().filter_map(|id| self.state.job(*id)).filter(|job| job.tally().assigned == 0);
        let urgent = urgent.max_by_key(|job| (job.precedence.priority, Reverse(job.id)));
        let Some(job) = urgent.filter(|job| least.is_some_and(|least| least < job.precedence.priority)) else { return };
        if self.state.jobs.values().flat_map(|job| &job.tasks).any(|task| task.stopping) {
            return;
        }
        for id in self.victims(job) {
            let Some(task) = self.state.jobs.get_mut(&id.job).and_then(|job| job.tasks.get_mut(id.index as usize)) else {
                continue;
            };
            task.stopping = true;
            let attempt = task.attempt;
            let session = task.assignment().and_then(|to| self.state.nodes.get(&to.node)).and_then(|node| node.session);
            let message = Message::Stop { task: id, attempt };
            effects.extend(session.map(|session| Effect::Send { session, message }));
        }
    }

    /// The fewest tasks whose end lets one task, or one gang, of a job start.
    fn victims(&self, job: &Job) -> Vec<TaskId> {
        let Some(class) = job.waiting().keys().next() else { return Vec::new() };
        let mut vacated: Vec<(Vec<TaskId>, u32)> = self
            .state
            .nodes
            .values()
            .filter(|node| node.inventory.as_ref().is_some_and(|offer| offer.could_run(&job.kind, class)))
            .filter_map(|node| self.vacate(node, job, class))
            .collect();
        // The cheapest place first.
        vacated.sort_by_key(|(tasks, room)| (tasks.len(), Reverse(*room)));
        let (mut victims, mut room) = (Vec::new(), 0);
        for (tasks, more) in vacated {
            victims.extend(tasks);
            room += more;
            if room >= class.gang {
                return victims;
            }
        }
        Vec::new() // not even this would do
    }

    /// What must end on a node so that at least one task starts there, and how many then would.
    fn vacate(&self, node: &Node, job: &Job, class: &Class) -> Option<(Vec<TaskId>, u32)> {
        let mut ours: Vec<TaskId> = node.tasks.iter().copied().filter(|task| self.gives_way(*task, job)).collect();
        let since = |task: &TaskId| self.state.job(task.job).and_then(|job| job.tasks.get(task.index as usize)?.assignment());
        ours.sort_by_key(|task| {
            let priority = self.state.job(task.job).map(|job| job.precedence.priority);
            (priority, since(task).map(|to| Reverse(to.since)))
        });
        for count in 0..=ours.len() {
            let (gone, _) = ours.split_at(count);
            let room = self.state.candidate(node, gone)?.free(class).min(class.gang);
            // A gang takes what it can get; a task alone needs one place.
            if room > 0 && (class.gang == 1 || count == ours.len() || room == class.gang) {
                return Some((gone.to_vec(), room));
            }
        }
        None
    }

    /// Whether a task may be stopped for a job.
    fn gives_way(&self, id: TaskId, to: &Job) -> bool {
        let Some(job) = self.state.job(id.job) else { return false };
        let ended = job.tasks.get(id.index as usize).is_none_or(|task| task.reported.is_some());
        let resumes = self.workloads.get(&job.kind).is_some_and(|workload| workload.is_resumable(&job.spec));
        job.phase == JobPhase::Running && job.precedence.priority < to.precedence.priority && resumes && !ended
    }
}

impl State {
    /// What waits in the order in which it should go; and what a quota holds, and why.
    pub(super) fn in_order(&self, waiting: Vec<Waiting>) -> (Vec<Waiting>, Vec<(JobId, Wait)>) {
        let precedence = |job: JobId| self.job(job).map(|job| job.precedence.clone()).unwrap_or_default();
        let first = waiting.first().map(|class| precedence(class.job));
        let alike = waiting.iter().all(|class| Some(precedence(class.job)) == first);
        if alike && self.projects.is_empty() {
            return (waiting, Vec::new()); // as it is: oldest first
        }
        let usual = self.usual_threads();
        let claims: Vec<Claim> = waiting
            .iter()
            .map(|class| {
                let Precedence { priority, project } = precedence(class.job);
                let each = Amount::of(&class.class, usual).times(class.class.gang);
                Claim { priority, project, each, count: class.count }
            })
            .collect();
        let division = divide(&claims, self.ledger());
        let job = |at: usize| waiting.get(at).map(|class| class.job);
        let held = |(at, limit): (usize, String)| {
            let project = claims.get(at).map(|claim| claim.project.clone()).unwrap_or_default();
            Some((job(at)?, Wait::Quota { project, limit }))
        };
        let of = |(at, count): (usize, u32)| waiting.get(at).map(|class| Waiting { count, ..class.clone() });
        (division.goes.into_iter().filter_map(of).collect(), division.held.into_iter().filter_map(held).collect())
    }

    /// What operators said about projects.
    pub fn projects(&self) -> impl Iterator<Item = (&str, &Project)> {
        self.projects.iter().map(|(name, project)| (name.as_str(), project))
    }

    /// What the tasks of each project use now.
    pub fn used(&self) -> BTreeMap<String, Amount> {
        self.ledger().used
    }

    /// What a task of a class uses on a node.
    pub(super) fn amount_on(node: &Node, class: &Class) -> Amount {
        Amount::of(class, node.inventory.as_ref().map_or(1, |offer| offer.threads.max(1)))
    }

    pub(super) fn ledger(&self) -> Ledger {
        let mut ledger = Ledger { projects: self.projects.clone(), ..Ledger::default() };
        for node in self.nodes.values() {
            if let Some(offer) = node.inventory.as_ref().filter(|_| node.session.is_some()) {
                let has = Amount { threads: offer.threads.into(), memory: offer.memory, gpus: offer.gpus.count.into() };
                ledger.fleet = ledger.fleet.plus(has);
            }
            for id in &node.tasks {
                let Some(job) = self.job(id.job) else { continue };
                let Some(task) = job.tasks.get(id.index as usize) else { continue };
                ledger.take(&job.precedence.project, Self::amount_on(node, &Class::from(&task.spec.demand)));
            }
        }
        ledger
    }

    /// The threads of a node, on average: what a task uses that spreads over one.
    fn usual_threads(&self) -> u32 {
        let offers = self.nodes.values().filter_map(|node| node.inventory.as_ref());
        let (count, threads) = offers.fold((0, 0), |(count, sum), offer| (count + 1, sum + u64::from(offer.threads.max(1))));
        u32::try_from(threads.checked_div(count).unwrap_or(1)).unwrap_or(u32::MAX)
    }
}

/// Checks the project that a job names; none is the default one.
pub(super) fn checked(mut precedence: Precedence) -> Result<Precedence, Refusal> {
    if precedence.project.is_empty() {
        precedence.project = DEFAULT_PROJECT.to_owned();
    }
    check_name(&precedence.project)?;
    Ok(precedence)
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(fine) {
        let problem = format!("a name has 1 to {MAX_NAME} letters, digits, dots, dashes or underscores");
        return Err(Refusal::BadProject { name: name.chars().take(MAX_NAME).collect(), problem });
    }
    Ok(())
}

/// What the records say about projects.
pub(super) fn recover(records: &[(String, Vec<u8>)]) -> Result<BTreeMap<String, Project>, crate::model::RecordError> {
    let of = |(key, value): &(String, Vec<u8>)| {
        let name = key.strip_prefix(keys::PROJECTS).unwrap_or(key);
        Ok((name.to_owned(), crate::model::decode(key, value)?))
    };
    records.iter().map(of).collect()
}
