//! A simulated worker: it runs what it is given, keeps results until they are taken, and goes on without a coordinator.

use super::toy::ToySpec;
use crate::{
    engine::{Event, Held, Message, Report, Run, TaskProgress},
    model::{Inventory, SessionId},
};
use braid_workload::{AttemptId, Failure, NodeId, TaskId, TaskOutcome};
use std::{collections::BTreeMap, time::Duration};

pub(crate) struct Worker {
    pub(crate) node: NodeId,
    pub(crate) session: Option<SessionId>,
    attempts: BTreeMap<(TaskId, AttemptId), Attempt>,
}

struct Attempt {
    run: Run,
    stopped: bool,
    outcome: Option<TaskOutcome>,
}

impl Worker {
    pub(crate) fn new(node: NodeId) -> Self {
        Self { node, session: None, attempts: BTreeMap::new() }
    }

    /// Opens a session, forgetting any that it had.
    pub(crate) fn hello(&mut self, session: SessionId) -> Event {
        self.session = Some(session);
        let held = self.attempts.values().map(|attempt| attempt.run.held).collect();
        Event::Hello { session, node: self.node.clone(), inventory: inventory(), held }
    }

    /// Starts again without memory of what it ran.
    pub(crate) fn restart(&mut self) {
        self.session = None;
        self.attempts.clear();
    }

    /// Takes in a message of its session, and answers.
    pub(crate) fn receive(&mut self, session: SessionId, message: Message) -> Vec<Event> {
        match message {
            Message::Welcome { drop, .. } => {
                for held in drop {
                    self.attempts.remove(&(held.task, held.attempt));
                }
                return self.attempts.values().filter_map(|attempt| report(&self.node, session, attempt)).collect();
            }
            Message::Run(run) => {
                let attempt = Attempt { run: *run, stopped: false, outcome: None };
                let old = self.attempts.insert((attempt.run.held.task, attempt.run.held.attempt), attempt);
                assert!(old.is_none(), "{} is given the same try twice: {:?}", self.node, old.unwrap().run.held);
            }
            Message::Stop { task, attempt } => {
                if let Some(attempt) = self.attempts.get_mut(&(task, attempt)) {
                    attempt.stopped = true;
                }
            }
            Message::Taken { task, attempt } => {
                self.attempts.remove(&(task, attempt));
            }
        }
        Vec::new()
    }

    /// What it runs.
    pub(crate) fn running(&self) -> Vec<Held> {
        self.attempts.values().filter(|attempt| attempt.outcome.is_none()).map(|attempt| attempt.run.held).collect()
    }

    /// Ends an attempt, with what it comes to, or with the given failure unless it has trouble of its own. `None` when
    /// nobody is there to be told. `Err` when running it ends the worker.
    pub(crate) fn finish(&mut self, held: Held, failure: Option<Failure>) -> Result<Option<Event>, ()> {
        let Some(attempt) = self.attempts.get_mut(&(held.task, held.attempt)) else { return Ok(None) };
        let spec = ToySpec::read(&attempt.run.spec).unwrap();
        let outcome = match failure.filter(|_| spec.trouble.is_none()) {
            Some(failure) => TaskOutcome::Failed(failure),
            None if attempt.stopped => TaskOutcome::Failed(Failure::cancelled()),
            None => spec.run(&attempt.run.payload).ok_or(())?,
        };
        attempt.outcome = Some(outcome);
        Ok(self.session.and_then(|session| report(&self.node, session, attempt)))
    }

    pub(crate) fn keep_alive(&self) -> Option<Event> {
        let progress = self.attempts.values().map(|attempt| {
            let Held { task, attempt, .. } = attempt.run.held;
            TaskProgress { task, attempt, done: 10, reused: 0 }
        });
        Some(Event::KeepAlive { session: self.session?, progress: progress.collect() })
    }
}

pub(crate) fn inventory() -> Inventory {
    Inventory { threads: 2, memory: 1 << 30, kinds: ["toy".to_owned()].into(), exchange: "host:1".into(), ..Inventory::default() }
}

fn report(node: &NodeId, session: SessionId, attempt: &Attempt) -> Option<Event> {
    let outcome = attempt.outcome.clone()?;
    let report =
        Report { node: node.clone(), held: attempt.run.held, outcome, ran: Duration::from_millis(3), done: 500, reused: 1 };
    Some(Event::Finished { session, report })
}
