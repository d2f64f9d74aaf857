//! The thread that plans while the driver goes on: the newest question wins, and the driver never waits for an answer.
//!
//! ```text
//!   driver ── newest problem ──▶ slot of one ──▶ thread ── plan ──▶ channel of one ──▶ driver
//! ```
//! A plan that takes too long is cancelled and there is none: whatever the driver decides without it holds.

use crate::placement::{
    Plan, Problem, plan,
    program::{Budget, Effort},
};
use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Nobody waits longer than this for a plan.
const CAP: Duration = Duration::from_secs(1);
/// From one plan to the next at least this long, and as long as the last one took: planning may take a part of one processor, not
/// all of it.
const PACE: Duration = Duration::from_millis(200);

/// The driver's end.
pub(super) struct Planning {
    shared: Arc<Shared>,
    plans: mpsc::Receiver<Answer>,
    /// Questions so far.
    asked: u64,
    /// When the last was asked.
    last: Option<Instant>,
}

/// A plan, with the number of its question.
pub(super) type Answer = (u64, Plan);

#[derive(Default)]
struct Shared {
    asked: Mutex<Asked>,
    wake: Condvar,
    cancel: Arc<AtomicBool>,
}

#[derive(Default)]
struct Asked {
    problem: Option<(u64, Problem)>,
    since: Option<Instant>,
    closed: bool,
}

impl Planning {
    /// Starts the thread; it ends soon after this end is dropped. Without a thread there are no plans.
    pub(super) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let (send, plans) = mpsc::channel(1);
        let theirs = Arc::clone(&shared);
        let started = thread::Builder::new().name("planning".into()).spawn(move || theirs.run(&send));
        if let Err(error) = started {
            tracing::warn!(%error, "there is no thread for planning: placement is greedy");
        }
        Self { shared, plans, asked: 0, last: None }
    }

    /// Whether a question asked now is looked at soon. A question of a large fleet takes a millisecond to put.
    pub(super) fn is_free(&self) -> bool {
        let rested = self.last.is_none_or(|last| last.elapsed() >= PACE);
        let asked = self.shared.lock();
        rested && asked.problem.is_none() && asked.since.is_none()
    }

    /// Asks for a plan; an older question that nobody has looked at is dropped. Returns the number of the question.
    pub(super) fn ask(&mut self, problem: Problem) -> u64 {
        self.asked += 1;
        self.last = Some(Instant::now());
        self.shared.lock().problem = Some((self.asked, problem));
        self.shared.wake.notify_one();
        self.asked
    }

    /// Cancels a plan that has taken too long. Called now and then.
    pub(super) fn check(&self) {
        if self.shared.lock().since.is_some_and(|since| since.elapsed() > CAP) {
            self.shared.cancel.store(true, Ordering::Relaxed);
        }
    }

    /// The next plan. Never resolves without a thread. May be dropped and called again without loss.
    pub(super) async fn next(&mut self) -> Answer {
        match self.plans.recv().await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Planning {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.cancel.store(true, Ordering::Relaxed);
        self.shared.wake.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Asked> {
        // What is inside is whole at any moment, whoever panicked.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, plans: &mpsc::Sender<Answer>) {
        while let Some((question, problem)) = self.next() {
            let start = Instant::now();
            let effort = Effort::running(problem.classes.len(), problem.nodes.len());
            let planned = plan(&problem, effort, Budget::cancellable(effort.work, Arc::clone(&self.cancel)));
            self.lock().since = None;
            match planned {
                Ok(plan) => {
                    if plans.blocking_send((question, plan)).is_err() {
                        return;
                    }
                }
                Err(cancelled) => tracing::debug!(%cancelled, "a plan took too long"),
            }
            let took = start.elapsed();
            thread::sleep(PACE.saturating_sub(took).max(took));
        }
    }

    /// The next question, or `None` when no more will come.
    fn next(&self) -> Option<(u64, Problem)> {
        let mut asked = self.lock();
        loop {
            if asked.closed {
                return None;
            }
            if let Some(problem) = asked.problem.take() {
                asked.since = Some(Instant::now());
                self.cancel.store(false, Ordering::Relaxed);
                return Some(problem);
            }
            asked = self.wake.wait(asked).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Class, Inventory},
        placement::{Candidate, Waiting},
    };
    use braid_workload::{JobId, NodeId};

    fn problem(job: u64) -> Problem {
        let class = Waiting {
            job: JobId(job),
            class: Class::default(),
            kind: "noop".into(),
            count: 4,
            bytes: 1e9,
            seconds: None,
            warm: Default::default(),
        };
        let offer = Arc::new(Inventory { threads: 2, kinds: ["noop".to_owned()].into(), ..Inventory::default() });
        let node = |name: &str| Candidate { node: NodeId(name.into()), offer: offer.clone(), ..Candidate::default() };
        Problem { classes: vec![class], nodes: vec![node("a"), node("b")], absent: vec![] }
    }

    #[tokio::test]
    async fn the_newest_question_is_answered_last_and_the_old_ones_may_not_be() {
        let mut planning = Planning::start();
        for job in 1..=100 {
            planning.ask(problem(job));
        }
        let mut plans = 0;
        loop {
            plans += 1;
            let (_, plan) = tokio::time::timeout(Duration::from_secs(20), planning.next()).await.expect("a plan comes soon");
            if plan.targets.keys().any(|(job, _)| *job == JobId(100)) {
                break;
            }
        }
        assert!(plans <= 3, "{plans} plans for questions that nobody waits for");
    }
}
