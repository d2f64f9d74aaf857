//! Whatever happens, in whatever order: every accepted job ends with the right result, and each task takes effect once.
//!
//! Each seed is a world of its own. A failure prints `BRAID_SIM=PROFILE:SEED`; with that in the environment the test runs
//! only this world and prints what happens in it. `BRAID_SIM_SEEDS` sets the number of worlds of each profile.

use super::harness::{
    Cut, LEASE, Seen, World, checks,
    toy::{ToySpec, Trouble},
};
use crate::{
    engine::{Event, NodeWish, ReplyId},
    model::{Millis, Precedence, Project, Quota},
    placement::{Lp, program::Effort},
};
use braid_workload::{Failure, TaskId};
use fastrand::Rng;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// What kind of world it is: how often things go wrong, in a thousand steps.
#[derive(Clone, Copy)]
struct Profile {
    name: &'static str,
    /// How many there are of it unless the environment says otherwise.
    worlds: u64,
    workers: usize,
    jobs: usize,
    steps: usize,
    /// How many queued writes or releases are done for one step, at most: few lets results pile up that a crash undoes.
    performs: usize,
    crash: u32,
    kill: u32,
    drop: u32,
    pause: u32,
    /// The network of one worker delivers nothing for a while, now and then that of all.
    partition: u32,
    /// The store takes nothing for a while.
    outage: u32,
    cancel: u32,
    /// Operators say something about a node.
    upkeep: u32,
    fail: u32,
    trouble: u32,
    /// Most milliseconds between two steps: lease ends are rare where it is small.
    tick: u64,
}

const CALM: Profile = Profile {
    name: "calm",
    worlds: 100,
    workers: 3,
    jobs: 12,
    steps: 1200,
    performs: 6,
    crash: 0,
    kill: 0,
    drop: 0,
    pause: 0,
    partition: 0,
    outage: 0,
    cancel: 0,
    upkeep: 0,
    fail: 0,
    trouble: 0,
    tick: 2,
};

const PROFILES: [Profile; 5] = [
    CALM,
    Profile {
        name: "workers",
        worlds: 250,
        kill: 4,
        drop: 10,
        pause: 3,
        cancel: 3,
        upkeep: 10,
        fail: 20,
        trouble: 300,
        tick: 10,
        ..CALM
    },
    Profile { name: "coordinator", worlds: 250, performs: 3, outage: 3, crash: 8, cancel: 3, trouble: 200, ..CALM },
    Profile {
        name: "network",
        worlds: 300,
        workers: 4,
        partition: 12,
        outage: 3,
        crash: 1,
        drop: 4,
        cancel: 3,
        fail: 10,
        trouble: 150,
        tick: 15,
        ..CALM
    },
    Profile {
        name: "storm",
        worlds: 300,
        workers: 5,
        performs: 3,
        crash: 6,
        kill: 6,
        drop: 20,
        pause: 3,
        partition: 6,
        outage: 2,
        cancel: 6,
        upkeep: 10,
        fail: 30,
        trouble: 300,
        tick: 20,
        ..CALM
    },
];

struct Run {
    world: World,
    rng: Rng,
    profile: Profile,
    failed: BTreeMap<TaskId, u32>,
    /// The store takes nothing until then.
    outage_ends: Millis,
}

impl Run {
    fn new(profile: Profile, seed: u64) -> Self {
        let mut world = World::new(profile.workers);
        // Every other world is placed by LP.
        if seed % 2 == 1 {
            world.placer = Box::new(Lp { effort: Effort { work: 500_000, columns: 50, ..Effort::QUICK } });
        }
        Self { world, rng: Rng::with_seed(seed), profile, failed: BTreeMap::new(), outage_ends: Millis(0) }
    }

    fn chance(&mut self, in_a_thousand: u32) -> bool {
        self.rng.u32(0..1000) < in_a_thousand
    }

    /// One thing happens.
    fn act(&mut self) {
        let Profile { crash, kill, drop, pause, partition, outage, cancel, upkeep, tick, performs, .. } = self.profile;
        self.world.now = Millis(self.world.now.0 + self.rng.u64(0..=tick));
        self.world.endure();
        if self.outage_ends <= self.world.now {
            for _ in 0..self.rng.usize(0..=performs) {
                self.world.perform();
            }
        }
        let worker = self.rng.usize(0..self.world.workers.len());
        if self.chance(crash) {
            // The streams hold what the coordinator had sent; some of it arrives.
            for _ in 0..self.rng.usize(0..10) {
                self.network();
            }
            return self.world.crash();
        }
        if self.chance(kill) {
            return self.world.kill(worker);
        }
        if self.chance(pause) {
            // Everybody is silent for so long that some leases end; who was lost does not know it.
            self.world.now = Millis(self.world.now.0 + self.rng.u64(0..1500));
            return self.world.step(Event::Tick);
        }
        if self.chance(partition) {
            return self.partition(worker);
        }
        if self.chance(outage) {
            self.outage_ends = self.moment();
            self.world.seen.outages += 1;
        }
        if self.chance(drop)
            && let Some(session) = self.world.workers[worker].session
        {
            return self.cut(session);
        }
        if self.chance(cancel)
            && let Some(wish) = self.rng.usize(0..=self.world.clients.wishes.len()).checked_sub(1)
            && let Some(event) = self.world.clients.cancel(wish)
        {
            return self.world.step(event);
        }
        if self.chance(upkeep) {
            return self.upkeep(worker);
        }
        match self.rng.u8(0..16) {
            0 => self.submit(),
            1 => self.world.step(Event::Tick),
            2 if self.world.workers[worker].session.is_none() => self.world.connect(worker),
            // Even one that has a session may open a newer one.
            2 if self.chance(drop) => self.world.connect(worker),
            2 if self.chance(100) => self.world.break_off(worker),
            2 | 3 => {
                let event = self.world.workers[worker].keep_alive();
                self.world.tell(event, worker);
            }
            4 | 5 => self.world.place(),
            6 | 7 => self.decide(),
            8..=10 => self.finish(worker),
            _ => self.network(),
        }
    }

    /// A moment that is as likely within a lease as it is long after.
    fn moment(&mut self) -> Millis {
        let lease = LEASE.as_millis() as u64;
        let lasts = if self.rng.bool() { self.rng.u64(0..lease) } else { self.rng.u64(lease..3 * lease) };
        Millis(self.world.now.0 + lasts)
    }

    fn partition(&mut self, worker: usize) {
        let (cut, heals) = ([Cut::Up, Cut::Down, Cut::Both, Cut::Both][self.rng.usize(0..4)], self.moment());
        let all = self.rng.u8(0..8) == 0;
        let workers = if all { 0..self.world.workers.len() } else { worker..worker + 1 };
        for worker in workers {
            self.world.partition(worker, cut, heals);
        }
    }

    /// Half of what is said opens the node again, so that work goes on.
    fn upkeep(&mut self, worker: usize) {
        let wish = match self.rng.u8(0..8) {
            0 => NodeWish::Cordon,
            1 => NodeWish::Drain(None),
            2 => NodeWish::Drain(Some(Duration::from_millis(self.rng.u64(0..1000)))),
            3 => NodeWish::Label([("rack".to_owned(), self.rng.bool().then(|| "7".to_owned()))].into()),
            _ => NodeWish::Uncordon,
        };
        let node = self.world.workers[worker].node.clone();
        self.world.step(Event::ChangeNode { reply: ReplyId(0), node, wish });
    }

    fn submit(&mut self) {
        let known = self.world.clients.wishes.len();
        let wish = if known == self.profile.jobs || (known > 0 && self.rng.u8(0..4) == 0) {
            self.rng.usize(0..known)
        } else {
            let spec = self.spec(known);
            let precedence = self.precedence();
            self.world.clients.wish(spec, precedence)
        };
        let event = self.world.clients.submit(wish);
        self.world.step(event);
    }

    /// Three projects, of which one may use little, and three priorities.
    fn precedence(&mut self) -> Precedence {
        let project = ["default", "large", "small"][self.rng.usize(0..3)].to_owned();
        Precedence { priority: self.rng.i32(-1..2), project, ..Precedence::default() }
    }

    fn spec(&mut self, number: usize) -> ToySpec {
        const TROUBLES: [Trouble; 7] = [
            Trouble::Poison,
            Trouble::Fatal,
            Trouble::Killer,
            Trouble::Garbage,
            Trouble::Huge,
            Trouble::HugeTask,
            Trouble::Stall,
        ];
        let trouble = self.chance(self.profile.trouble).then(|| self.rng.choice(TROUBLES)).flatten();
        let parts = self.rng.u64(0..8).max(u64::from(trouble.is_some()));
        ToySpec {
            tag: format!("job-{number}"),
            parts,
            further: if trouble == Some(Trouble::Stall) { 0 } else { self.rng.u64(0..3) },
            gang: self.rng.u32(0..5),
            quiet: self.rng.bool(),
            stubborn: self.rng.bool(),
            exclusive: self.rng.bool().then(|| format!("out-{}", self.rng.u8(0..3))),
            padding: if self.rng.u8(0..4) == 0 { 10_000 } else { 0 },
            trouble,
        }
    }

    fn decide(&mut self) {
        let Some(decision) = self.world.decisions.pop_front() else { return };
        // Now and then an answer comes twice, or long after its question.
        match self.rng.u8(0..8) {
            0 => self.world.decisions.push_back(decision.clone()),
            1 => return self.world.decisions.push_back(decision),
            _ => {}
        }
        self.world.step(Event::Placed(decision));
    }

    fn finish(&mut self, worker: usize) {
        let running = self.world.workers[worker].running();
        let Some(held) = self.rng.choice(running) else { return };
        let failure = if self.chance(self.profile.fail) {
            let failed = self.failed.entry(held.task).or_default();
            *failed += 1;
            // So few that a job without trouble does not fail of them.
            if *failed < super::super::MAX_FAILURES { Some(Failure::retry("bad luck")) } else { Some(Failure::cancelled()) }
        } else {
            None
        };
        match self.world.workers[worker].finish(held, failure) {
            Ok(event) => self.world.tell(event, worker),
            Err(()) => self.world.kill(worker),
        }
    }

    fn network(&mut self) {
        let sessions: Vec<_> = self.world.links.keys().copied().collect();
        let Some(session) = self.rng.choice(sessions) else { return };
        if self.rng.bool() { self.world.read(session) } else { self.world.deliver(session) }
    }

    /// Cuts a stream; what is on its way up is lost from some point on.
    fn cut(&mut self, session: crate::model::SessionId) {
        if let Some(link) = self.world.links.get_mut(&session) {
            link.up.truncate(self.rng.usize(0..=link.up.len()));
        }
        self.world.close(session);
    }

    fn whole(&mut self) {
        if self.profile.upkeep > 0 {
            let quota = Quota { threads: Some(checks::SMALL), ..Quota::default() };
            for (name, project) in
                [("large", Project { weight: 3, ..Project::default() }), ("small", Project { weight: 1, quota })]
            {
                self.world.step(Event::SetProject { reply: ReplyId(0), name: name.into(), project });
            }
        }
        for _ in 0..self.profile.steps {
            self.act();
        }
        for worker in 0..self.world.workers.len() {
            let node = self.world.workers[worker].node.clone();
            self.world.step(Event::ChangeNode { reply: ReplyId(0), node, wish: NodeWish::Uncordon });
        }
        self.world.settle();
        let World { clients, engine, durable, seen, .. } = &mut self.world;
        clients.judge(engine.state(), &durable.calls);
        seen.ends(engine.state());
        checks::recoverable(self.world.engine.state(), &self.world.durable.records(), LEASE);
    }
}

/// Says on a failure how to see it again.
struct Replay(&'static str, u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("see it again with BRAID_SIM={}:{}", self.0, self.1);
        }
    }
}

fn simulate(profile: Profile) {
    let only = std::env::var("BRAID_SIM").ok();
    let only = only.as_deref().and_then(|only| only.split_once(':')).map(|(name, seed)| (name, seed.parse::<u64>().unwrap()));
    if only.is_some_and(|(name, _)| name != profile.name) {
        return;
    }
    let seeds = std::env::var("BRAID_SIM_SEEDS").map_or(profile.worlds, |seeds| seeds.parse().unwrap());
    let seeds = only.map_or(0..seeds, |(_, seed)| seed..seed + 1);
    let (start, mut seen) = (Instant::now(), Seen::default());
    for seed in seeds.clone() {
        let _replay = Replay(profile.name, seed);
        let mut run = Run::new(profile, seed);
        run.world.trace = only.is_some();
        run.whole();
        seen.add(&run.world.seen);
    }
    let rate = seen.steps as f64 / start.elapsed().as_secs_f64();
    eprintln!("{}: {} worlds, {rate:.0} steps/s, {seen:?}", profile.name, seeds.clone().count());
    // What never happens is not tested.
    if seeds.count() >= 20 {
        assert!(seen.done > 0 && seen.lost + seen.unknown > 0 || profile.kill + profile.drop + profile.crash == 0);
        assert!(profile.drop == 0 || (seen.kept > 0 && seen.dropped > 0 && seen.stale > 0 && seen.replaced > 0), "{seen:?}");
        assert!(seen.reported > 0 && (profile.kill == 0 || seen.regathered > 0), "{seen:?}");
        assert!(profile.crash == 0 || (seen.crashes > 0 && seen.adopted > 0), "{seen:?}");
        let delayed = seen.rode_out > 0 && seen.cut_off > 0 && seen.broken_off > 0 && seen.overtaken > 0 && seen.repeated > 0;
        assert!(profile.partition == 0 || delayed, "{seen:?}");
        assert!(profile.outage == 0 || seen.outages > 0, "{seen:?}");
        assert!(profile.trouble == 0 || (seen.failed > 0 && seen.cancelled > 0 && seen.stops > 0), "{seen:?}");
    }
}

#[test]
fn in_a_calm_world_every_job_has_its_result() {
    simulate(PROFILES[0]);
}

#[test]
fn workers_that_fail_lose_nothing() {
    simulate(PROFILES[1]);
}

#[test]
fn coordinators_that_crash_lose_nothing() {
    simulate(PROFILES[2]);
}

#[test]
fn networks_that_hold_back_and_reorder_lose_nothing() {
    simulate(PROFILES[3]);
}

#[test]
fn all_at_once_lose_nothing() {
    simulate(PROFILES[4]);
}

/// What CI runs is at least a thousand worlds.
#[test]
fn there_are_a_thousand_worlds() {
    assert!(PROFILES.iter().map(|profile| profile.worlds).sum::<u64>() >= 1000);
}
