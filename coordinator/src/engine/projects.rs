//! What projects use, and what placement is asked for them.

use super::{
    Effects, Engine, Refusal, State,
    fairness::{Claim, Ledger, divide},
};
use crate::{
    model::{Amount, Change, Class, DEFAULT_PROJECT, Node, Precedence, Project, is_project, keys},
    placement::{Wait, Waiting},
};
use braid_workload::JobId;
use std::collections::BTreeMap;

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
                let Precedence { priority, project, .. } = precedence(class.job);
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
    if is_project(name) {
        return Ok(());
    }
    let problem = "a name has 1 to 64 letters, digits, dots, dashes or underscores".to_owned();
    Err(Refusal::BadProject { name: name.chars().take(64).collect(), problem })
}

/// What the records say about projects.
pub(super) fn recover(records: &[(String, Vec<u8>)]) -> Result<BTreeMap<String, Project>, crate::model::RecordError> {
    let of = |(key, value): &(String, Vec<u8>)| {
        let name = key.strip_prefix(keys::PROJECTS).unwrap_or(key);
        Ok((name.to_owned(), crate::model::decode(key, value)?))
    };
    records.iter().map(of).collect()
}
