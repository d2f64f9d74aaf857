//! Several coordinators on one etcd: whichever dies, hangs or loses its store, jobs end as if nothing had happened.
//!
//! Tasks that ran are adopted by whoever leads next: the number of their attempt stays.

use crate::{
    harness::{Coordinator, CoordinatorSetup, Etcd, Family, Run, SMALL, Scratch, Size, Worker, command, eventually, finish},
    same_bytes::{Output, reference},
};
use rustix::process::Signal;
use std::{
    ffi::OsStr,
    thread::sleep,
    time::{Duration, Instant},
};

/// Enough work for an accident to find some: about 135 MB a checkpoint.
const WORK: Size = Size { layers: 6, hidden: 768, vocabulary: 16_384, ..SMALL };
const LEASE: Duration = Duration::from_secs(3);

/// Coordinators on one etcd, two workers, and what they are to make.
struct Fleet {
    scratch: Scratch,
    expected: Output,
    etcd: Etcd,
    coordinators: Vec<Coordinator>,
    workers: Vec<Worker>,
    addresses: String,
}

impl Fleet {
    fn new(etcd: Etcd, coordinators: usize) -> Self {
        let scratch = Scratch::new();
        let family = Family::write(scratch.path(), WORK, 7);
        let recipe = scratch.write("recipe.yml", family.recipe("dare_ties", 0.3));
        let expected = reference(&scratch, &recipe);
        let lease = Some(format!("{}s", LEASE.as_secs()));
        let setup = CoordinatorSetup { store: Some(etcd.url()), lease, ..CoordinatorSetup::default() };
        let coordinators: Vec<_> = (0..coordinators).map(|_| Coordinator::start(setup.clone())).collect();
        let addresses: Vec<_> = coordinators.iter().map(Coordinator::address).collect();
        let addresses = addresses.join(",");
        let workers = (0..2).map(|_| Worker::spawn(&addresses)).collect();
        let fleet = Self { scratch, expected, etcd, coordinators, workers, addresses };
        eventually("two nodes", || (fleet.braid(["node", "ls", "-o", "name"]).stdout.lines().count() == 2).then_some(()));
        fleet
    }

    /// Runs a verb that knows all coordinators.
    fn braid<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        let mut command = command(self.scratch.path());
        command.args(args).env("BRAID_COORDINATOR", &self.addresses).env("BRAID_INSECURE", "1");
        finish(command)
    }

    /// Submits the merge and waits until both workers have something to do.
    fn begin(&self) -> String {
        let job = self.braid(["merge", "recipe.yml", "out", "--detach"]).ok().stdout.trim().to_owned();
        eventually("tasks that run", || {
            (self.tasks(&job).iter().filter(|task| task.state == "running").count() >= 2).then_some(())
        });
        job
    }

    fn tasks(&self, job: &str) -> Vec<Task> {
        let tasks = self.braid(["job", "show", job, "--tasks", "-o", "json"]).ok().json();
        let of = |task: &serde_json::Value| Task {
            state: task["state"].as_str().unwrap().to_owned(),
            attempt: task["attempt"].as_u64().unwrap(),
        };
        tasks["tasks"].as_array().unwrap().iter().map(of).collect()
    }

    /// Where the leader is in the list of coordinators.
    fn leader(&self) -> usize {
        self.leader_beside(None)
    }

    /// The same when the one at a place is dead.
    fn leader_beside(&self, dead: Option<usize>) -> usize {
        let alive = || self.coordinators.iter().enumerate().filter(|(place, _)| Some(*place) != dead);
        eventually("a leader", || alive().find(|(_, coordinator)| coordinator.leads()).map(|(place, _)| place))
    }

    /// The job ends well, with the bytes that one process makes, and no task was begun twice.
    fn expect_the_end(&self, job: &str) {
        let waited = self.braid(["job", "wait", job, "--timeout", "50s"]);
        assert_eq!(waited.code, Some(0), "{waited}");
        assert_eq!(Output::read(&self.scratch.join("out")), self.expected);
        let again: Vec<_> = self.tasks(job).into_iter().filter(|task| task.attempt != 1).collect();
        assert!(again.is_empty(), "begun again: {again:?}");
    }

    /// Nothing is on its way to a worker when this returns: what was given to it has reached it.
    fn quiet(&self) {
        self.workers.iter().for_each(|worker| worker.signal(Signal::STOP));
        sleep(Duration::from_millis(300));
    }

    fn wake(&self) {
        self.workers.iter().for_each(|worker| worker.signal(Signal::CONT));
    }
}

#[derive(Debug)]
struct Task {
    state: String,
    attempt: u64,
}

fn the_leader_is_killed(etcd: Etcd) {
    let mut fleet = Fleet::new(etcd, 3);
    let job = fleet.begin();
    let leader = fleet.leader();
    fleet.quiet();
    fleet.coordinators[leader].kill9();
    let killed = Instant::now();
    fleet.wake();
    let next = fleet.leader_beside(Some(leader));
    let took = killed.elapsed();
    println!("coordinator {next} took over from {leader} after {took:?}");
    assert!(took < LEASE + Duration::from_secs(1), "{took:?}");
    fleet.expect_the_end(&job);
    // What was acknowledged before is known, and what comes now is taken.
    assert_eq!(fleet.braid(["bench", "--tasks", "10"]).ok().json()["job"], 2);

    fleet.coordinators[leader].restart();
    let address = fleet.coordinators[leader].address().to_owned();
    let seen = fleet.coordinators[leader].braid(["job", "ls", "-o", "name"]).ok().stdout;
    assert_eq!(seen, "1\n2\n", "a standby at {address} names the leader, and the client goes there");
}

#[test]
fn a_leader_that_is_killed_is_followed_by_another() {
    the_leader_is_killed(Etcd::spawn());
}

#[test]
fn a_leader_that_is_killed_is_followed_by_another_with_three_servers_of_etcd() {
    the_leader_is_killed(Etcd::cluster(3));
}

#[test]
fn a_leader_that_stood_still_for_longer_than_its_lease_stands_by() {
    let mut fleet = Fleet::new(Etcd::spawn(), 2);
    let job = fleet.begin();
    let leader = fleet.leader();
    fleet.quiet();
    fleet.coordinators[leader].signal(Signal::STOP);
    fleet.wake();
    let next = eventually("the next leader", || {
        let other = 1 - leader;
        fleet.coordinators[other].log().contains("this coordinator leads").then_some(other)
    });
    fleet.coordinators[leader].signal(Signal::CONT);
    eventually("the old leader to stand by", || fleet.coordinators[leader].log().contains("stands by").then_some(()));
    assert_eq!(fleet.leader(), next);
    fleet.expect_the_end(&job);
    assert!(fleet.coordinators.iter_mut().all(Coordinator::is_running));
}

#[test]
fn a_server_of_etcd_that_is_killed_is_not_missed() {
    let mut fleet = Fleet::new(Etcd::cluster(3), 2);
    let job = fleet.begin();
    // The one that all ask first.
    fleet.etcd.kill9_member(0);
    fleet.expect_the_end(&job);
}

fn the_store_is_away(how_long: Duration) {
    let mut fleet = Fleet::new(Etcd::spawn(), 2);
    let job = fleet.begin();
    fleet.quiet();
    fleet.etcd.signal(Signal::STOP);
    fleet.wake();
    sleep(how_long);
    assert!(fleet.workers.iter_mut().all(Worker::is_running), "no worker ends for want of a coordinator");
    fleet.etcd.signal(Signal::CONT);
    fleet.expect_the_end(&job);
    assert!(fleet.coordinators.iter_mut().all(Coordinator::is_running));
}

/// Longer than the lease: whoever led has stepped down, and leads or follows again.
#[test]
fn work_goes_on_while_the_store_is_away() {
    the_store_is_away(2 * LEASE);
}

#[test]
#[ignore = "takes more than half a minute; ./x slow runs it"]
fn work_goes_on_while_the_store_is_away_for_half_a_minute() {
    the_store_is_away(Duration::from_secs(30));
}
