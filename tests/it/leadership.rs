//! Several coordinators on one etcd: whichever dies, hangs or loses its store, jobs end as if nothing had happened.
//!
//! Tasks that ran are adopted by whoever leads next: none is begun twice. An assignment that was written and never sent is
//! another matter: whoever leads next may give that task to a worker as a second attempt, though no worker has seen the first.

use crate::{
    harness::{
        Coordinator, CoordinatorSetup, Etcd, Family, Run, SMALL, Scratch, Size, Worker, WorkerSetup, command, eventually, finish,
    },
    same_bytes::{Output, reference},
};
use rustix::process::Signal;
use std::{
    ffi::OsStr,
    process::{Child, Command, Stdio},
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
    secure: bool,
}

impl Fleet {
    fn new(etcd: Etcd, coordinators: usize) -> Self {
        Self::start(etcd, coordinators, false)
    }

    /// `secure`: with TLS, an admin's token for the verbs and a token to join with for each worker.
    fn start(etcd: Etcd, coordinators: usize, secure: bool) -> Self {
        let scratch = Scratch::new();
        let family = Family::write(scratch.path(), WORK, 7);
        let recipe = scratch.write("recipe.yml", family.recipe("dare_ties", 0.3));
        let expected = reference(&scratch, &recipe);
        let lease = Some(format!("{}s", LEASE.as_secs()));
        let setup = CoordinatorSetup { store: Some(etcd.url()), lease, secure, ..CoordinatorSetup::default() };
        let coordinators: Vec<_> = (0..coordinators).map(|_| Coordinator::start(setup.clone())).collect();
        let addresses: Vec<_> = coordinators.iter().map(Coordinator::address).collect();
        let addresses = addresses.join(",");
        let workers = Vec::new();
        let mut fleet = Self { scratch, expected, etcd, coordinators, workers, addresses, secure };
        for _ in 0..2 {
            let token = secure.then(|| fleet.braid(["token", "create", "--quiet"]).ok().stdout.trim().to_owned());
            let environment = vec![("BRAID_LOG".to_owned(), "info,braid_worker::executor=debug".to_owned())];
            let setup = WorkerSetup { token, secure, environment, ..WorkerSetup::default() };
            fleet.workers.push(Worker::start(&fleet.addresses, setup));
        }
        eventually("two nodes", || (fleet.braid(["node", "ls", "-o", "name"]).stdout.lines().count() == 2).then_some(()));
        fleet
    }

    /// Runs a verb that knows all coordinators.
    fn braid<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        finish(self.command(args))
    }

    fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = command(self.scratch.path());
        command.args(args).env("BRAID_COORDINATOR", &self.addresses);
        if self.secure {
            let credentials = self.coordinators[0].credentials();
            eventually("credentials", || credentials.exists().then_some(()));
            command.env("BRAID_CREDENTIALS", credentials);
        } else {
            command.env("BRAID_INSECURE", "1");
        }
        command
    }

    /// Submits the merge and waits until both workers have something to do.
    fn begin(&self) -> String {
        let job = self.braid(["merge", "recipe.yml", "out", "--detach"]).ok().stdout.trim().to_owned();
        eventually("tasks that run", || {
            (self.states(&job).iter().filter(|state| *state == "running").count() >= 2).then_some(())
        });
        job
    }

    fn states(&self, job: &str) -> Vec<String> {
        let tasks = self.braid(["job", "show", job, "--tasks", "-o", "json"]).ok().json();
        tasks["tasks"].as_array().unwrap().iter().map(|task| task["state"].as_str().unwrap().to_owned()).collect()
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
        let mut begun: Vec<_> = self.workers.iter().flat_map(|worker| tasks_begun(&worker.log())).collect();
        assert!(begun.len() >= self.states(job).len(), "{begun:?}");
        begun.sort_unstable();
        let again: Vec<_> = begun.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(again.is_empty(), "begun again: {again:?} of {begun:?}");
    }

    /// Small tasks, some of which are done when this returns.
    fn bench(&self, tasks: u32) -> Child {
        let mut command = self.command(["bench", "--tasks", &tasks.to_string(), "--millis", "8"]);
        let bench = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The process that submits the job may not have come so far yet.
        let done = || {
            let shown = self.braid(["job", "show", "last", "-o", "json"]);
            (shown.code == Some(0)).then(|| shown.json()["task_counts"]["done"].as_u64().unwrap_or(0))
        };
        let before = eventually("tasks that are done", || done().filter(|done| *done > 0));
        assert!(before < tasks.into(), "all were done too early");
        bench
    }

    /// They end well.
    fn expect_all_done(&self, mut bench: Child, tasks: u32) {
        let ended = eventually("the end of the tasks", || bench.try_wait().unwrap());
        assert!(ended.success(), "{:?}", bench.wait_with_output());
        let job = self.braid(["job", "show", "last", "-o", "json"]).ok().json();
        assert_eq!((&job["state"], &job["task_counts"]["done"]), (&"done".into(), &tasks.into()), "{job}");
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

/// The tasks that a worker began, by its log.
fn tasks_begun(log: &str) -> Vec<String> {
    let begun = log.lines().filter_map(|line| line.split_once("begins ")?.1.split_once(" (attempt "));
    begun.map(|(task, _)| task.to_owned()).collect()
}

fn the_leader_is_killed(etcd: Etcd, secure: bool) {
    let mut fleet = Fleet::start(etcd, 3, secure);
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
    the_leader_is_killed(Etcd::spawn(), false);
}

#[test]
fn a_leader_that_is_killed_is_followed_by_another_with_tls() {
    the_leader_is_killed(Etcd::spawn(), true);
}

#[test]
fn a_leader_that_is_killed_is_followed_by_another_with_three_servers_of_etcd() {
    the_leader_is_killed(Etcd::cluster(3), false);
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

/// Small tasks need the store all the time; a member that dies and comes back is no matter to them.
#[test]
fn a_thousand_tasks_run_while_a_server_of_etcd_is_killed() {
    let mut fleet = Fleet::new(Etcd::cluster(3), 1);
    let bench = fleet.bench(1000);
    fleet.etcd.kill9_member(0);
    sleep(Duration::from_millis(300));
    fleet.etcd.restart_member(0);
    fleet.expect_all_done(bench, 1000);
}

/// Whoever loses the store while it writes never learns of these writes. It ends its term nevertheless, and leads again: here
/// nobody else can.
#[test]
fn the_only_coordinator_leads_again_that_lost_its_store_while_it_wrote() {
    let fleet = Fleet::new(Etcd::spawn(), 1);
    let bench = fleet.bench(1500);
    fleet.etcd.signal(Signal::STOP);
    sleep(2 * LEASE);
    fleet.etcd.signal(Signal::CONT);
    let back = Instant::now();
    let log = || fleet.coordinators[0].log();
    assert!(log().contains("steps down"), "{}", log());
    eventually("the next term", || (log().matches("this coordinator leads").count() > 1).then_some(()));
    println!("it leads again {:?} after the store is back", back.elapsed());
    fleet.expect_all_done(bench, 1500);
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
