//! The store and the queue before it, as the runtime keeps them: what a step writes goes first, in transactions of at most a
//! hundred records; what leaves the coordinator is released afterwards. A crash forgets the rest of the queue.

use super::toy::Call;
use crate::{
    engine::{Effect, MAX_FAILURES, MAX_LOSSES, Records},
    model::{Change, JobPhase, JobRecord, TaskPhase, TaskRecord, decode, keys},
};
use braid_workload::MAX_RECORD;
use std::collections::{BTreeMap, VecDeque};

const TRANSACTION: usize = 100;

#[derive(Default)]
pub(crate) struct Durable {
    pub(crate) records: BTreeMap<String, Vec<u8>>,
    /// Calls of the workload whose effect is durable.
    pub(crate) calls: Vec<Call>,
    queue: VecDeque<Action>,
}

enum Action {
    Transaction(Vec<Change>, Vec<Call>),
    Release(Effect),
}

impl Durable {
    /// Takes in what a step wants, and which calls of the workload it made.
    pub(crate) fn push(&mut self, effects: Vec<Effect>, mut calls: Vec<Call>) {
        let (mut prepares, mut writes, mut releases) = (Vec::new(), Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                Effect::Prepare(change) => prepares.push(change),
                Effect::Write(change) => writes.push(change),
                other => releases.push(Action::Release(other)),
            }
        }
        assert!(calls.is_empty() || !writes.is_empty(), "the workload was asked and nothing was written: {calls:?}");
        for chunk in prepares.chunks(TRANSACTION) {
            self.queue.push_back(Action::Transaction(chunk.to_vec(), Vec::new()));
        }
        for chunk in writes.chunks(TRANSACTION) {
            self.queue.push_back(Action::Transaction(chunk.to_vec(), std::mem::take(&mut calls)));
        }
        self.queue.extend(releases);
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.queue.is_empty()
    }

    /// Does the next thing in the queue, and returns what is released by it.
    pub(crate) fn perform(&mut self) -> Option<Effect> {
        match self.queue.pop_front()? {
            Action::Release(effect) => return Some(effect),
            Action::Transaction(changes, calls) => {
                for change in changes {
                    self.apply(change);
                }
                self.calls.extend(calls);
            }
        }
        None
    }

    pub(crate) fn crash(&mut self) {
        self.queue.clear();
    }

    pub(crate) fn records(&self) -> Records {
        let under = |prefix: &str| {
            let records = self.records.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
            records.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        Records {
            jobs: under(keys::JOBS),
            specs: under(keys::SPECS),
            plans: under(keys::PLANS),
            tasks: under(keys::TASKS),
            nodes: under(keys::NODES),
            projects: under(keys::PROJECTS),
        }
    }

    fn apply(&mut self, change: Change) {
        let Change { key, value } = change;
        let old = self.records.get(&key);
        if let Some(value) = &value {
            assert!(value.len() <= MAX_RECORD, "{key} has {} bytes", value.len());
            if key.starts_with(keys::TASKS) {
                task_moves_forward(&key, old, value);
            } else if key.starts_with(keys::JOBS) {
                self.job_moves_forward(&key, old, value);
            }
        }
        match value {
            Some(value) => {
                self.records.insert(key, value);
            }
            None => {
                let old = self.records.remove(&key);
                if let (true, Some(old)) = (key.starts_with(keys::JOBS), old) {
                    self.nothing_is_left_of(&decode::<JobRecord>(&key, &old).unwrap());
                }
            }
        }
    }

    /// But for task lists that a crash left behind and no record ever counted.
    fn nothing_is_left_of(&self, job: &JobRecord) {
        let number = format!("/{:012}", job.id.0);
        let left: Vec<_> = self.records.keys().filter(|key| key.contains(&number)).collect();
        let uncounted =
            |key: &str| key.starts_with(keys::PLANS) && keys::numbered(key).is_some_and(|(_, chunk)| chunk >= job.chunks);
        assert!(left.iter().all(|key| uncounted(key)), "job {} is forgotten and leaves {left:?}", job.id);
    }

    fn job_moves_forward(&self, key: &str, old: Option<&Vec<u8>>, new: &[u8]) {
        let new: JobRecord = decode(key, new).unwrap();
        assert!(self.records.contains_key(&keys::spec(new.id)), "{key} has no spec");
        for chunk in 0..new.chunks {
            assert!(self.records.contains_key(&keys::plan(new.id, chunk)), "{key} counts chunk {chunk}, which is not there");
        }
        let Some(old) = old.map(|old| decode::<JobRecord>(key, old).unwrap()) else { return };
        assert_eq!(old.request_id, new.request_id, "{key} is used for another job");
        assert!(new.chunks >= old.chunks, "{key} loses tasks");
        match (&old.phase, &new.phase) {
            (JobPhase::Running, _) => {}
            (JobPhase::Ending(old), JobPhase::Ending(new) | JobPhase::Ended(new)) => assert_eq!(old, new, "{key}"),
            (old, new) => panic!("{key} goes from {old:?} to {new:?}"),
        }
    }
}

fn task_moves_forward(key: &str, old: Option<&Vec<u8>>, new: &[u8]) {
    let new: TaskRecord = decode(key, new).unwrap();
    assert!(new.failures <= MAX_FAILURES && new.losses <= MAX_LOSSES, "{key}: {new:?}");
    let Some(old) = old.map(|old| decode::<TaskRecord>(key, old).unwrap()) else { return };
    assert!(!matches!(old.phase, TaskPhase::Done | TaskPhase::Failed), "{key} is over and changes to {new:?}");
    assert!(new.failures >= old.failures && new.losses >= old.losses, "{key} forgets: {old:?} to {new:?}");
    match new.phase {
        TaskPhase::Assigned(_) => assert!(new.attempt > old.attempt, "{key} runs again as the same try: {old:?} to {new:?}"),
        _ => assert_eq!(new.attempt, old.attempt, "{key}"),
    }
}
