//! Job state is linearizable while coordinators are killed: several clients submit, cancel and look at once, and one order of
//! all they did explains every answer that they had.
//!
//! Each case prints its seed; `BRAID_LINEAR_SEED=n` runs another. The checker is shown forged histories, too.

mod clients;
mod history;

use crate::harness::{Coordinator, CoordinatorSetup, Worker};
use clients::Clients;
use fastrand::Rng;
use history::{Cancel, Moment, Op, Phase, Recorded};
use std::{thread::sleep, time::Duration};

const CLIENTS: u64 = 4;

fn seed() -> u64 {
    let seed = std::env::var("BRAID_LINEAR_SEED").map_or(1, |seed| seed.parse().expect("BRAID_LINEAR_SEED is a number"));
    println!("BRAID_LINEAR_SEED={seed}");
    seed
}

fn pause(rng: &mut Rng, millis: std::ops::Range<u64>) {
    sleep(Duration::from_millis(rng.u64(millis)));
}

/// The history has an order, has in it what it is about, and forgeries of it have none.
fn judge(recorded: &Recorded) {
    let count = |which: fn(&Op) -> bool| recorded.ops.iter().filter(|op| which(op)).count();
    let unanswered = count(|op| matches!(op, Op::Submit { certain: false, .. } | Op::Cancel { answer: Cancel::NoAnswer, .. }));
    let cancelled = count(|op| matches!(op, Op::Cancel { answer: Cancel::Accepted, .. }));
    let late = count(|op| matches!(op, Op::Cancel { answer: Cancel::TooLate, .. }));
    println!("{} operations, {unanswered} without an answer, {cancelled} accepted cancels, {late} too late", recorded.ops.len());
    assert!(unanswered > 0 && cancelled > 0 && late > 0, "what does not happen is not tested");
    assert!(recorded.is_linearizable(), "no order explains these answers:\n{}", recorded.text());
    for (what, forged) in [
        ("an acknowledged job is lost", recorded.without_a_job()),
        ("an end is undone", recorded.with_an_end_undone()),
        ("a repeated request has another number", recorded.with_another_number()),
    ] {
        assert!(!forged.is_linearizable(), "{what}, and nobody sees it");
    }
}

/// Forgeries. Each is of the last list, which all operations but it were answered before.
impl Recorded {
    fn forge(&self, change: impl FnOnce(&mut Op)) -> Self {
        let mut forged = self.clone();
        let last = forged.moments.iter().rev().find_map(|moment| match moment {
            Moment::Answered(index) => Some(*index),
            Moment::Called(_) => None,
        });
        change(&mut forged.ops[last.expect("something was answered")]);
        forged
    }

    fn without_a_job(&self) -> Self {
        self.forge(|op| {
            let Op::List { seen } = op else { panic!("the last is {op:?}") };
            seen.pop_first().expect("there is a job");
        })
    }

    fn with_an_end_undone(&self) -> Self {
        let ended = |op: &Op| match op {
            Op::Get { id, seen: Phase::Done } | Op::Cancel { id, answer: Cancel::Accepted | Cancel::TooLate } => Some(*id),
            _ => None,
        };
        let ended = self.ops.iter().find_map(ended).expect("a job ended");
        self.forge(|op| {
            let Op::List { seen } = op else { panic!("the last is {op:?}") };
            seen.insert(ended, Phase::Running);
        })
    }

    fn with_another_number(&self) -> Self {
        let mut forged = self.clone();
        let again = forged.ops.iter_mut().rev().find_map(|op| match op {
            Op::Submit { id, certain: true, .. } => Some(id),
            _ => None,
        });
        *again.expect("a job was submitted") += 1000;
        forged
    }

    /// One line a moment.
    fn text(&self) -> String {
        let line = |moment: &Moment| match moment {
            Moment::Called(index) => format!("{index:5} called   {:?}\n", self.ops[*index]),
            Moment::Answered(index) => format!("{index:5} answered\n"),
        };
        self.moments.iter().map(line).collect()
    }
}

#[test]
fn jobs_are_linearizable_while_the_coordinator_is_killed() {
    let seed = seed();
    let mut rng = Rng::with_seed(seed);
    let mut coordinator = Coordinator::start(CoordinatorSetup { lease: Some("2s".into()), ..CoordinatorSetup::default() });
    let _workers: Vec<_> = (0..2).map(|_| Worker::spawn(coordinator.address())).collect();
    coordinator.wait_for_nodes(2);
    let clients = Clients::start(vec![coordinator.address().to_owned()], CLIENTS, seed);
    for _ in 0..6 {
        pause(&mut rng, 300..900);
        coordinator.kill9();
        pause(&mut rng, 0..300);
        coordinator.restart();
    }
    pause(&mut rng, 300..900);
    judge(&clients.finish());
}

#[cfg(feature = "etcd")]
#[test]
fn jobs_are_linearizable_while_leaders_are_killed() {
    use crate::harness::{Etcd, eventually};

    let seed = seed();
    let mut rng = Rng::with_seed(seed);
    let etcd = Etcd::spawn();
    let setup = CoordinatorSetup { store: Some(etcd.url()), lease: Some("1s".into()), ..CoordinatorSetup::default() };
    let mut coordinators: Vec<_> = (0..3).map(|_| Coordinator::start(setup.clone())).collect();
    let addresses: Vec<_> = coordinators.iter().map(|coordinator| coordinator.address().to_owned()).collect();
    let _workers: Vec<_> = (0..2).map(|_| Worker::spawn(&addresses.join(","))).collect();
    let leader = |coordinators: &[Coordinator]| eventually("a leader", || coordinators.iter().position(Coordinator::leads));
    let first = leader(&coordinators);
    coordinators[first].wait_for_nodes(2);
    let clients = Clients::start(addresses, CLIENTS, seed);
    for _ in 0..3 {
        pause(&mut rng, 500..1500);
        let leader = leader(&coordinators);
        coordinators[leader].kill9();
        pause(&mut rng, 0..2000);
        coordinators[leader].restart();
    }
    leader(&coordinators);
    pause(&mut rng, 500..1500);
    judge(&clients.finish());
}
