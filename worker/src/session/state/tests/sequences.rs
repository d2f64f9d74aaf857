//! Random sequences of events against a model: a coordinator that may say anything, and an executor that ends what it was
//! given in any order.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone)]
enum Op {
    Pass {
        millis: u64,
    },
    Welcome {
        drop: Vec<Key>,
    },
    Run(Key),
    Stop(Key),
    Taken(Key),
    Heard,
    Lose,
    /// A session is lost and the next one comes to be.
    Again {
        drop: Vec<Key>,
    },
    Room {
        times: u8,
    },
    /// The executor ends one of the attempts that it runs.
    End {
        which: usize,
    },
    Say,
}

fn any_key() -> impl Strategy<Value = Key> {
    (0..4u32, 1..3u32).prop_map(|(index, attempt)| key(index, attempt))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => prop_oneof![Just(1), 0..300u64, 3000..12_000u64].prop_map(|millis| Op::Pass { millis }),
        4 => prop::collection::vec(any_key(), 0..3).prop_map(|drop| Op::Welcome { drop }),
        6 => any_key().prop_map(Op::Run),
        2 => any_key().prop_map(Op::Stop),
        3 => any_key().prop_map(Op::Taken),
        1 => Just(Op::Heard),
        1 => Just(Op::Lose),
        3 => prop::collection::vec(any_key(), 0..5).prop_map(|drop| Op::Again { drop }),
        4 => (0..6u8).prop_map(|times| Op::Room { times }),
        4 => any::<usize>().prop_map(|which| Op::End { which }),
        1 => Just(Op::Say),
    ]
}

/// What must be true, kept in the plainest way.
#[derive(Default)]
struct Model {
    /// What the executor runs, under which lease, and whether for anybody.
    running: BTreeMap<Key, (u64, bool)>,
    /// Ends that are not safe, in their order.
    ends: Vec<(Key, u64)>,
    /// Ends sent in this session.
    sent: Vec<Key>,
    lines: usize,
    lease: u64,
}

impl Model {
    fn held(&self) -> BTreeMap<Key, LeaseId> {
        let running = self.running.iter().filter(|(_, (_, wanted))| *wanted).map(|(key, (lease, _))| (*key, *lease));
        running.chain(self.ends.iter().copied()).map(|(key, lease)| (key, LeaseId(lease))).collect()
    }

    fn forget_end(&mut self, key: Key) {
        self.ends.retain(|(other, _)| *other != key);
        self.sent.retain(|other| *other != key);
    }

    /// Takes the event in before the state does.
    fn expect(&mut self, event: &Event, live: bool, greeting: bool) -> Result<Option<Key>, TestCaseError> {
        match event {
            Event::Received(Incoming::Welcome { drop, .. }) if greeting => {
                for key in drop {
                    self.forget_end(*key);
                    self.running.entry(*key).and_modify(|(_, wanted)| *wanted = false);
                }
            }
            Event::Received(Incoming::Taken(key)) if live => self.forget_end(*key),
            Event::Received(Incoming::Run { assignment, .. }) if live => {
                let key = assignment.key;
                let known = self.running.contains_key(&key) || self.ends.iter().any(|(other, _)| *other == key);
                return Ok((!known).then_some(key));
            }
            Event::Ended(ended) => {
                let (lease, wanted) =
                    self.running.remove(&ended.key).ok_or_else(|| TestCaseError::fail("ends what does not run"))?;
                if wanted {
                    self.ends.push((ended.key, lease));
                }
            }
            Event::Line(_) => self.lines += 1,
            _ => {}
        }
        Ok(None)
    }

    fn check(&mut self, effects: Vec<Effect>, starts: Option<Key>) -> Result<(), TestCaseError> {
        let mut started = None;
        for effect in effects {
            match effect {
                Effect::Open(held) => {
                    let count = held.len();
                    let held: BTreeMap<_, _> = held.into_iter().collect();
                    prop_assert_eq!(held.len(), count, "announced twice");
                    prop_assert_eq!(held, self.held());
                    self.sent.clear();
                }
                Effect::Start(assignment) => {
                    started = Some(assignment.key);
                    let before = self.running.insert(assignment.key, (self.lease, true));
                    prop_assert!(before.is_none(), "{} runs twice", assignment.key);
                }
                Effect::Cancel(key) => prop_assert!(self.running.contains_key(&key)),
                Effect::Send(Outgoing::Ended(lease, ended)) => match ended.outcome {
                    Ok(_) => {
                        prop_assert!(self.ends.contains(&(ended.key, lease.0)), "{} was taken or dropped", ended.key);
                        prop_assert!(!self.sent.contains(&ended.key), "{} is sent twice in a session", ended.key);
                        self.sent.push(ended.key);
                    }
                    Err(failure) => prop_assert_eq!(failure.kind, braid_workload::FailureKind::Cancelled),
                },
                Effect::Send(Outgoing::Line(_)) => self.lines -= 1,
                Effect::Send(Outgoing::KeepAlive(running)) => {
                    for (key, _) in running {
                        prop_assert!(self.running.get(&key).is_some_and(|(_, wanted)| *wanted));
                    }
                }
                Effect::Close(_) => {}
            }
        }
        prop_assert_eq!(started, starts);
        Ok(())
    }
}

struct Play {
    desk: Desk,
    model: Model,
}

impl Play {
    fn apply(&mut self, event: Event) -> Result<(), TestCaseError> {
        let greeting = matches!(self.desk.state.phase, Phase::Greeting { .. });
        let starts = self.model.expect(&event, self.desk.state.is_live(), greeting)?;
        let now = Now { at: self.desk.start + Duration::from_millis(self.desk.millis), chance: 0.5 };
        let effects = step(&mut self.desk.state, event, now);
        self.model.check(effects, starts)?;
        let announced: BTreeSet<Key> = self.desk.state.held.list().into_iter().map(|(key, _)| key).collect();
        prop_assert_eq!(announced, self.model.held().into_keys().collect::<BTreeSet<_>>());
        Ok(())
    }

    fn welcome(&mut self, drop: Vec<Key>) -> Result<(), TestCaseError> {
        self.apply(Event::Received(Incoming::Welcome { patience: Duration::from_secs(9), drop }))
    }

    fn play(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Pass { millis } => {
                self.desk.millis += millis;
                let progress = self.model.running.keys().map(|key| (*key, Bytes { done: self.desk.millis, reused: 0 }));
                self.apply(Event::Tick(progress.collect()))
            }
            Op::Welcome { drop } => self.welcome(drop),
            Op::Run(key) => {
                self.model.lease += 1;
                self.apply(run_of(key, self.model.lease))
            }
            Op::Stop(key) => self.apply(Event::Received(Incoming::Stop(key))),
            Op::Taken(key) => self.apply(Event::Received(Incoming::Taken(key))),
            Op::Heard => self.apply(Event::Received(Incoming::Heard)),
            Op::Lose => self.apply(Event::Lost),
            Op::Again { drop } => {
                self.apply(Event::Lost)?;
                self.play(Op::Pass { millis: 10_000 })?;
                self.welcome(drop)
            }
            Op::Room { times } => (0..times).try_for_each(|_| self.apply(Event::Room)),
            Op::End { which } => {
                let running: Vec<Key> = self.model.running.keys().copied().collect();
                let Some(key) = running.get(which % running.len().max(1)) else { return Ok(()) };
                self.apply(Event::Ended(end_of(*key)))
            }
            Op::Say => self.apply(line_of(key(0, 1), "x")),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// No attempt runs twice, no end is lost before it is taken or dropped nor sent after, what is announced is what is
    /// held, and a session that lasts delivers everything, ends in the order in which they came.
    #[test]
    fn nothing_is_lost_or_doubled(ops in prop::collection::vec(op(), 0..150)) {
        let mut play = Play { desk: Desk::new(), model: Model::default() };
        for op in ops {
            play.play(op)?;
        }
        play.play(Op::Again { drop: vec![] })?;
        while play.desk.state.has_outgoing() {
            play.apply(Event::Room)?;
        }
        let ends: Vec<Key> = play.model.ends.iter().map(|(key, _)| *key).collect();
        prop_assert_eq!(&play.model.sent, &ends);
        prop_assert_eq!(play.model.lines, 0);
    }
}
