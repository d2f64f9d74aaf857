//! Candidates around a store in a simulated world: messages are late and lost, watches fall silent for good, processes pause and
//! are killed, clocks run unequally.
//!
//! * At no moment may two coordinators answer: a tenure that holds is the only one.
//! * Whoever was given the seat by the store and not by another had it alone.
//! * When the world calms down, one leads within a lease and a little more.

use super::super::{
    Seat,
    step::{Ask, Effect, Event, Now, State, step},
};
use crate::store::{Revision, StoreLease};
use proptest::prelude::*;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::{Duration, Instant},
};

/// How long a lease lasts, in milliseconds.
const LASTS: u64 = 2000;
/// What it takes after that: late messages, a lease, the longest pause between two campaigns.
const CALM: u64 = 3000 + LASTS + 3000;
/// The world is unkind for so long.
const UNKIND: u64 = 60_000;
const CANDIDATES: usize = 3;

/// What happens at a moment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    /// A question reaches the store.
    Asked { who: usize, life: u32, ask: u8, number: i64, sent: u64 },
    /// An event reaches a candidate.
    Told { who: usize, life: u32, what: usize },
    /// Time for a candidate to look.
    Wake { who: usize, life: u32 },
    /// The store looks after its leases.
    Expire,
    /// Whoever leads stands still for long enough to lose the lead.
    Strike,
}

struct Candidate {
    state: State,
    life: u32,
    /// Its milliseconds for each of the world's.
    rate: f64,
    paused_until: u64,
    /// Until when it may answer, by its own clock.
    tenure: Option<u64>,
    /// When what it is shown next of the record can arrive: that stays in order.
    looks: u64,
    /// It is shown nothing any more, until it is started again.
    deaf: bool,
    /// When it is woken next.
    armed: u64,
}

struct World {
    now: u64,
    base: Instant,
    random: fastrand::Rng,
    queue: BinaryHeap<Reverse<(u64, u64, Happens)>>,
    count: u64,
    events: Vec<Event>,
    candidates: Vec<Candidate>,
    revision: u64,
    leases: BTreeMap<i64, u64>,
    last_lease: i64,
    seat: Option<Seat>,
    terms: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let base = Instant::now();
        let candidates = (0..CANDIDATES)
            .map(|who| Candidate {
                state: State::new(format!("c{who}"), Duration::from_millis(LASTS), base),
                life: 0,
                rate: 0.96 + 0.08 * random.f64(),
                paused_until: 0,
                tenure: None,
                looks: 0,
                deaf: false,
                armed: 0,
            })
            .collect();
        let mut world = Self {
            now: 0,
            base,
            random,
            queue: BinaryHeap::new(),
            count: 0,
            events: Vec::new(),
            candidates,
            revision: 1,
            leases: BTreeMap::new(),
            last_lease: 0,
            seat: None,
            terms: 0,
        };
        for who in 0..CANDIDATES {
            world.start(who);
        }
        world.at(100, Happens::Expire);
        world.at(UNKIND / 2, Happens::Strike);
        world
    }

    fn unkind(&self) -> bool {
        self.now < UNKIND
    }

    fn at(&mut self, after: u64, what: Happens) {
        self.count += 1;
        self.queue.push(Reverse((self.now + after, self.count, what)));
    }

    fn delay(&mut self) -> u64 {
        if self.unkind() && self.random.u8(..10) == 0 { self.random.u64(0..3000) } else { self.random.u64(0..30) }
    }

    /// The clock of a candidate.
    fn clock(&self, who: usize, at: u64) -> Instant {
        self.base + Duration::from_micros((at as f64 * 1000.0 * self.candidates[who].rate) as u64)
    }

    fn tell(&mut self, who: usize, after: u64, event: Event) {
        let life = self.candidates[who].life;
        self.events.push(event);
        let what = self.events.len() - 1;
        self.at(after, Happens::Told { who, life, what });
    }

    /// A candidate is shown the record as it is now.
    fn look(&mut self, who: usize) {
        if self.unkind() && self.random.u8(..20) == 0 {
            self.candidates[who].deaf = true;
        }
        if self.candidates[who].deaf {
            return;
        }
        let arrives = self.candidates[who].looks.max(self.now + self.delay());
        self.candidates[who].looks = arrives;
        self.tell(who, arrives - self.now, Event::Seen { at: Revision(self.revision), seat: self.seat.clone() });
    }

    /// A candidate begins to watch, and its clock to run.
    fn start(&mut self, who: usize) {
        self.look(who);
        let life = self.candidates[who].life;
        self.at(0, Happens::Wake { who, life });
    }

    fn changed(&mut self, seat: Option<Seat>) {
        self.seat = seat;
        (0..CANDIDATES).for_each(|who| self.look(who));
    }

    fn run(&mut self) {
        while let Some(Reverse((at, _, what))) = self.queue.pop() {
            // The store extends no lease by itself: whoever stays silent is out.
            if at > UNKIND + CALM {
                break;
            }
            self.now = at;
            match what {
                Happens::Asked { who, life, ask, number, sent } => self.asked(who, life, ask, number, sent),
                Happens::Told { who, life, what } => self.told(who, life, what),
                Happens::Wake { who, life } => self.deliver(who, life, Event::Tick, Happens::Wake { who, life }),
                Happens::Expire => self.expire(),
                Happens::Strike => {
                    for who in self.answering() {
                        self.candidates[who].paused_until = self.now + 3 * LASTS;
                    }
                }
            }
            self.check();
        }
    }

    fn told(&mut self, who: usize, life: u32, what: usize) {
        let event = self.events[what].clone();
        self.deliver(who, life, event, Happens::Told { who, life, what });
    }

    /// Steps a candidate, or puts it off while it is paused.
    fn deliver(&mut self, who: usize, life: u32, event: Event, again: Happens) {
        let candidate = &self.candidates[who];
        if candidate.life != life {
            return;
        }
        if candidate.paused_until > self.now {
            let wait = candidate.paused_until - self.now;
            return self.at(wait, again);
        }
        if self.unkind() {
            match self.random.u16(..2000) {
                0..20 => {
                    self.candidates[who].paused_until = (self.now + self.random.u64(0..6000)).min(UNKIND);
                    return self.at(0, again);
                }
                // Killed, and started again at once as the same coordinator.
                20..28 => {
                    let fresh = State::new(format!("c{who}"), Duration::from_millis(LASTS), self.clock(who, self.now));
                    let candidate = &mut self.candidates[who];
                    (candidate.state, candidate.tenure, candidate.deaf, candidate.armed) = (fresh, None, false, 0);
                    candidate.life += 1;
                    return self.start(who);
                }
                _ => {}
            }
        }
        let now = Now { at: self.clock(who, self.now), chance: self.random.f64() };
        let effects = step(&mut self.candidates[who].state, event, now);
        for effect in effects {
            self.perform(who, effect);
        }
        if let Some(wake) = self.candidates[who].state.wake() {
            let wait = (wake.saturating_duration_since(now.at).as_secs_f64() * 1000.0 / self.candidates[who].rate) as u64;
            let (life, due) = (self.candidates[who].life, self.now + wait + 1);
            if self.candidates[who].armed <= self.now || due < self.candidates[who].armed {
                self.candidates[who].armed = due;
                self.at(wait + 1, Happens::Wake { who, life });
            }
        }
    }

    fn perform(&mut self, who: usize, effect: Effect) {
        let micros = |world: &Self, until: Instant| (until - world.base).as_micros() as u64;
        match effect {
            Effect::Lead { until, .. } => {
                self.terms += 1;
                self.candidates[who].tenure = Some(micros(self, until));
            }
            Effect::Extend(until) => {
                let until = micros(self, until);
                self.candidates[who].tenure.iter_mut().for_each(|tenure| *tenure = until.max(*tenure));
            }
            Effect::StepDown(_) => {
                self.candidates[who].tenure = None;
                let term = self.candidates[who].state.term();
                let after = self.random.u64(0..20);
                self.tell(who, after, Event::TermEnded(term));
            }
            Effect::Ask(ask) => {
                let (kind, number) = match ask {
                    Ask::Grant => (0, 0),
                    Ask::Create(lease) => (1, lease.0),
                    Ask::Renew(lease) => (2, lease.0),
                    Ask::Revoke(lease) => (3, lease.0),
                    Ask::Remove(revision) => (4, revision.0 as i64),
                    Ask::Look => (5, 0),
                };
                let lost = self.unkind() && self.random.u8(..20) == 0;
                let (delay, life, sent) = (self.delay(), self.candidates[who].life, self.now);
                if !lost {
                    self.at(delay, Happens::Asked { who, life, ask: kind, number, sent });
                }
                // No answer in time is a failure, whatever became of the question.
                let late = lost || delay > 500;
                if late && kind != 3 {
                    self.tell(who, 500, Event::Failed(ask));
                }
            }
        }
    }

    /// The store takes a question in.
    fn asked(&mut self, who: usize, life: u32, ask: u8, number: i64, sent: u64) {
        let lease = StoreLease(number);
        let lasts = Duration::from_millis(LASTS);
        let at_candidate = self.clock(who, sent);
        let answer = match ask {
            0 => {
                self.last_lease += 1;
                self.leases.insert(self.last_lease, self.now + LASTS);
                Some(Event::Granted { lease: StoreLease(self.last_lease), sent: at_candidate, lasts })
            }
            1 if !self.leases.contains_key(&number) => Some(Event::Failed(Ask::Create(lease))),
            1 if self.seat.is_some() => self.seat.clone().map(|by| Event::Taken { lease, by }),
            1 => {
                self.revision += 1;
                let (instance, revision) = (format!("c{who}"), Revision(self.revision));
                self.changed(Some(Seat { instance, advertise: String::new(), lease, revision }));
                Some(Event::Created { lease, revision })
            }
            2 => Some(match self.leases.get_mut(&number) {
                None => Event::Expired { lease },
                Some(ends) => {
                    *ends = self.now + LASTS;
                    Event::Renewed { lease, sent: at_candidate, lasts }
                }
            }),
            3 => {
                self.end_lease(number);
                None
            }
            5 => Some(Event::Found { at: Revision(self.revision), seat: self.seat.clone() }),
            _ => {
                let revision = Revision(number as u64);
                Some(if self.seat.as_ref().is_some_and(|seat| seat.revision == revision) {
                    self.revision += 1;
                    self.changed(None);
                    Event::Removed { at: Revision(self.revision) }
                } else {
                    Event::Failed(Ask::Remove(revision))
                })
            }
        };
        let back = self.delay();
        // Lost on the way back, or too late to matter: the failure was told already, or is told now.
        let asked = match ask {
            0 => Ask::Grant,
            1 => Ask::Create(lease),
            2 => Ask::Renew(lease),
            5 => Ask::Look,
            _ => Ask::Remove(Revision(number as u64)),
        };
        if self.candidates[who].life != life || self.now - sent > 500 {
            return;
        }
        if let Some(answer) = answer {
            let answer = if self.now + back - sent > 500 { Event::Failed(asked) } else { answer };
            self.tell(who, back.min(500), answer);
        }
    }

    fn end_lease(&mut self, number: i64) {
        self.leases.remove(&number);
        if self.seat.as_ref().is_some_and(|seat| seat.lease.0 == number) {
            self.revision += 1;
            self.changed(None);
        }
    }

    fn expire(&mut self) {
        let over: Vec<i64> = self.leases.iter().filter(|(_, ends)| **ends <= self.now).map(|(number, _)| *number).collect();
        over.into_iter().for_each(|number| self.end_lease(number));
        self.at(50, Happens::Expire);
    }

    /// Who may answer now, by their own clocks.
    fn answering(&self) -> Vec<usize> {
        let holds = |who: &usize| {
            let local = (self.clock(*who, self.now) - self.base).as_micros() as u64;
            self.candidates[*who].tenure.is_some_and(|until| local < until)
        };
        (0..CANDIDATES).filter(holds).collect()
    }

    fn check(&self) {
        let answering = self.answering();
        assert!(answering.len() <= 1, "at {} ms {answering:?} may answer", self.now);
        for who in answering {
            let seat = self.seat.as_ref().map(|seat| seat.instance.as_str());
            assert_eq!(seat, Some(format!("c{who}").as_str()), "at {} ms c{who} answers without the seat", self.now);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn two_never_answer_and_one_always_will(seed in any::<u64>()) {
        let mut world = World::new(seed);
        world.run();
        prop_assert!(world.terms > 1, "a world without a change of leader shows nothing");
        prop_assert_eq!(world.answering().len(), 1, "nobody leads though nothing stands in the way");
    }
}
