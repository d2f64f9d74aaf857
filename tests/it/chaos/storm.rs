//! A fleet as one would run it (three coordinators with TLS, three members of etcd, two workers), of which something is
//! always killed, stopped or cut off while it merges: every merge ends, with the bytes of one that nothing disturbed.
//!
//! The seed is printed, and so is each fault. `BRAID_STORM=SEED:FAULTS` replaces both numbers. To cut processes off, each
//! lives on a host of its own, a network namespace; where there can be none, the test says so and does the rest.

use super::{
    WORK,
    fault::{Blow, COORDINATORS, Fault, MEMBERS, Victim, WORKERS, wave},
};
use crate::{
    harness::{
        Coordinator, CoordinatorSetup, Etcd, Family, Host, Network, Run, Scratch, Worker, WorkerSetup, command_on, eventually,
        finish,
    },
    same_bytes::{Output, reference},
};
use fastrand::Rng;
use rustix::process::Signal;
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    thread::sleep,
    time::{Duration, Instant},
};

const LEASE: Duration = Duration::from_secs(2);

/// The fleet, and what it is to make.
struct Storm {
    // Dropped in this order: what runs on a host ends before its network.
    coordinators: Vec<Coordinator>,
    workers: Vec<Worker>,
    etcd: Etcd,
    network: Option<Network>,
    scratch: Scratch,
    expected: Output,
    addresses: String,
    merges: Vec<Merge>,
}

struct Merge {
    job: String,
    out: String,
    over: bool,
}

impl Storm {
    fn begin() -> Self {
        let scratch = Scratch::new();
        let family = Family::write(scratch.path(), WORK, 7);
        let recipe = scratch.write("recipe.yml", family.recipe("dare_ties", 0.3));
        let expected = reference(&scratch, &recipe);
        let network = Network::of(MEMBERS + COORDINATORS + WORKERS + 1)
            .inspect_err(|why| println!("nothing is cut off: there can be no network namespaces here: {why}"))
            .ok();
        let host = |number: usize| network.as_ref().map(|network| network.host(number).clone());
        let etcd = Etcd::on((0..MEMBERS).map(|member| host(place(Victim::Member(member)))).collect());
        let coordinators: Vec<_> = (0..COORDINATORS)
            .map(|number| {
                let (store, lease) = (Some(etcd.url()), Some(format!("{}s", LEASE.as_secs())));
                let host = host(place(Victim::Coordinator(number)));
                let environment = vec![("BRAID_LOG".to_owned(), "info,braid_coordinator::leadership=debug".to_owned())];
                Coordinator::start(CoordinatorSetup {
                    store,
                    lease,
                    host,
                    secure: true,
                    environment,
                    ..CoordinatorSetup::default()
                })
            })
            .collect();
        let addresses: Vec<_> = coordinators.iter().map(Coordinator::address).collect();
        let addresses = addresses.join(",");
        let mut storm =
            Self { coordinators, workers: Vec::new(), etcd, network, scratch, expected, addresses, merges: Vec::new() };
        eventually("credentials", || storm.coordinators[0].credentials().exists().then_some(()));
        for number in 0..WORKERS {
            let token = Some(storm.braid(["token", "create", "--quiet"]).ok().stdout.trim().to_owned());
            let host = storm.host(Victim::Worker(number));
            let setup = WorkerSetup { token, secure: true, host, ..WorkerSetup::default() };
            storm.workers.push(Worker::start(&storm.addresses, setup));
        }
        eventually("all nodes", || (storm.braid(["node", "ls", "-o", "name"]).stdout.lines().count() == WORKERS).then_some(()));
        storm
    }

    fn host(&self, victim: Victim) -> Option<Host> {
        self.network.as_ref().map(|network| network.host(place(victim)).clone())
    }

    /// A verb on a host that is never cut off, as an admin who knows all coordinators.
    fn braid<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        let host = self.network.as_ref().map(|network| network.host(MEMBERS + COORDINATORS + WORKERS));
        let mut command = command_on(host, self.scratch.path());
        let credentials = self.coordinators[0].credentials();
        command.args(args).env("BRAID_COORDINATOR", &self.addresses).env("BRAID_CREDENTIALS", credentials);
        finish(command)
    }

    /// Makes sure that a merge runs. Nothing is amiss now.
    fn keep_busy(&mut self) {
        if let Some(Merge { job, over: false, .. }) = self.merges.last() {
            let state = self.braid(["job", "show", job, "-o", "json"]).ok().json()["state"].clone();
            if state == "running" {
                return;
            }
            self.finish_merge();
        }
        let out = format!("out-{}", self.merges.len());
        let job = self.braid(["merge", "recipe.yml", &out, "--detach"]).ok().stdout.trim().to_owned();
        self.merges.push(Merge { job, out, over: false });
    }

    /// Waits for the last merge, and compares what it made.
    fn finish_merge(&mut self) {
        let Some(Merge { job, out, over: false }) = self.merges.last() else { return };
        let waited = self.braid(["job", "wait", job, "--timeout", "50s"]);
        let seen = || format!("{}{}", self.braid(["job", "show", job, "--tasks"]), self.braid(["job", "ls"]));
        assert_eq!(waited.code, Some(0), "{waited}\n{}", seen());
        assert_eq!(Output::read(&self.scratch.join(out)), self.expected, "{out}");
        std::fs::remove_dir_all(self.scratch.join(out)).unwrap();
        if let Some(merge) = self.merges.last_mut() {
            merge.over = true;
        }
    }

    fn strike(&mut self, Fault { victim, blow, .. }: Fault) {
        match (blow, victim) {
            (Blow::Kill, Victim::Coordinator(which)) => self.coordinators[which].kill9(),
            (Blow::Kill, Victim::Worker(which)) => self.workers[which].kill9(),
            (Blow::Kill, Victim::Member(which)) => self.etcd.kill9_member(which),
            (Blow::Stop, victim) => self.signal(victim, Signal::STOP),
            (Blow::Cut, victim) => self.network(victim, Network::cut),
        }
    }

    fn mend(&mut self, Fault { victim, blow, .. }: Fault) {
        match (blow, victim) {
            (Blow::Kill, Victim::Coordinator(which)) => self.coordinators[which].restart(),
            (Blow::Kill, Victim::Worker(which)) => self.workers[which].restart(),
            (Blow::Kill, Victim::Member(which)) => self.etcd.restart_member(which),
            (Blow::Stop, victim) => self.signal(victim, Signal::CONT),
            (Blow::Cut, victim) => self.network(victim, Network::heal),
        }
    }

    fn signal(&self, victim: Victim, signal: Signal) {
        match victim {
            Victim::Coordinator(which) => self.coordinators[which].signal(signal),
            Victim::Worker(which) => self.workers[which].signal(signal),
            Victim::Member(which) => self.etcd.signal_member(which, signal),
        }
    }

    fn network(&self, victim: Victim, act: fn(&Network, &Host)) {
        let network = self.network.as_ref().expect("nothing is cut off where there is no network");
        act(network, network.host(place(victim)));
    }

    /// Every job that was acknowledged is known and done.
    fn expect_all_done(&self) {
        let jobs = self.braid(["job", "ls", "-o", "json"]).ok().json();
        let states: BTreeMap<_, _> =
            jobs["jobs"].as_array().unwrap().iter().map(|job| (job["id"].to_string(), job["state"].clone())).collect();
        let expected = self.merges.iter().map(|merge| (merge.job.clone(), "done".into())).collect();
        assert_eq!(states, expected);
        let left: Vec<_> =
            self.scratch.names().into_iter().filter(|name| name.starts_with(".out") || name.starts_with("out")).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

/// Which host it has.
fn place(victim: Victim) -> usize {
    match victim {
        Victim::Member(which) => which,
        Victim::Coordinator(which) => MEMBERS + which,
        Victim::Worker(which) => MEMBERS + COORDINATORS + which,
    }
}

fn rages(seed: u64, faults: usize) {
    let given = std::env::var("BRAID_STORM").ok();
    let given = given.as_deref().map(|given| given.split_once(':').expect("BRAID_STORM is SEED:FAULTS"));
    let (seed, faults) = given.map_or((seed, faults), |(seed, faults)| (seed.parse().unwrap(), faults.parse().unwrap()));
    println!("BRAID_STORM={seed}:{faults}");
    let mut rng = Rng::with_seed(seed);
    let mut storm = Storm::begin();
    let can_cut = storm.network.is_some();
    let (begun, mut struck, mut long) = (Instant::now(), 0, 0);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    while struck < faults {
        storm.keep_busy();
        sleep(Duration::from_millis(rng.u64(..300)));
        let (wave, start) = (wave(&mut rng, LEASE, can_cut), Instant::now());
        for fault in &wave {
            println!("{:6.1} s  {fault}", begun.elapsed().as_secs_f64());
            storm.strike(*fault);
            let kind = match fault.victim {
                Victim::Coordinator(_) => "coordinator",
                Victim::Worker(_) => "worker",
                Victim::Member(_) => "etcd member",
            };
            *counts.entry(format!("{:?} {kind}", fault.blow)).or_default() += 1;
            long += usize::from(fault.is_long(LEASE));
        }
        for fault in &wave {
            sleep(fault.lasts.saturating_sub(start.elapsed()));
            storm.mend(*fault);
        }
        struck += wave.len();
    }
    storm.finish_merge();
    storm.expect_all_done();
    println!(
        "{struck} faults, {long} of them longer than a lease, in {:.0} s, during {} merges, all with the same bytes: {counts:?}",
        begun.elapsed().as_secs_f64(),
        storm.merges.len(),
    );
}

#[test]
fn a_fleet_with_tls_outlives_what_befalls_it() {
    rages(1, 20);
}

#[test]
#[ignore = "takes ten minutes; ./x slow runs it"]
fn a_fleet_with_tls_outlives_two_hundred_faults() {
    rages(2, 200);
}
